"""One recommender replica: requests read arrays, and one thread keeps these up to date.

    replica = Replica(parts)
    replica.start()
    replica.recommend(message, now_s=..., deadline=...)

The thread follows `item-embeddings`, checks the release pointer and the stream's progress every second, and reads
counts and neighbors in small portions, so that it never delays a request for long. A request takes one reference to
the state and reads one profile from the store.

A release that does not fit is not tried again; one that an engine failed to deliver is, after 1, 2, 4 ... 60 seconds.
Every answer says so, and the status has the reason; the previous release stays in use, new items included.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from mmrec.clock import Clock
from mmrec.collecting.overlay import Overlay
from mmrec.config import Settings
from mmrec.content.query_encoder import EncodesQueries, NoQueryEncoder
from mmrec.errors import IncompatibleStateError, NotFoundError
from mmrec.events.producer import TopicRecord
from mmrec.features.ports import ServingFeatures
from mmrec.index.vectors import VectorStore
from mmrec.publishing.release import ReleaseStore
from mmrec.recall.fusion import OWN_WEIGHTS
from mmrec.scoring.item_statistics import decay_rates
from mmrec.scoring.profile import NEVER_S
from mmrec.serving.asked_items import explain_answer, rank_answer
from mmrec.serving.batch_answer import batch_answers
from mmrec.serving.cursor import Cursor
from mmrec.serving.fresh_profile import FreshProfile
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.serving.live_weights import LiveWeights
from mmrec.serving.messages import list_request, list_response
from mmrec.serving.near_places import NearPlaces
from mmrec.serving.profile_reads import READ_S, SHARE, OpenedReads, ProfileReads
from mmrec.serving.recommend import Deadline, ReplicaState, recommend
from mmrec.serving.release_loading import RELEASE_CHECK_S, LoadedRelease, Refused, load_release, refresh_all
from mmrec.serving.rows_answer import rows_answer
from mmrec.serving.search_content import NamedAlignment
from mmrec.serving.search_request import likeness_request, search_request
from mmrec.serving.search_side import SearchSide
from mmrec.serving.similar_answer import similar_answer
from mmrec.serving.topic_place import CATCH_UP_S, TopicPlace
from mmrec.telemetry.logs import StatusFile, get_logger
from mmrec.v1 import recommender_pb2

log = get_logger(__name__)
PUBLISH_S = 0.1
"""Least time between two publications: a change after a quiet time is visible at once, the next ones together."""
PUBLISH_SHARE = 0.1
"""At most this share of the thread's time goes into publications, since requests go without that time."""
STATUS_S = 1.0
MAX_RETRY_S = 60.0
Answer = TypeVar("Answer")
Follow = Callable[[Mapping[int, int] | None, Callable[[], bool]], Iterator[list[TopicRecord]]]
"""(first offset per partition, stop) -> records of item-embeddings as they arrive, an empty list where none arrived."""


@dataclass(frozen=True, kw_only=True)
class ReplicaParts:
    """What a replica is made of."""

    settings: Settings
    open_features: Callable[[], ServingFeatures]
    """Opens the online store; called twice, for requests and for the thread."""
    open_vectors: Callable[[], VectorStore]
    releases: ReleaseStore
    follow: Follow
    topic_name: Callable[[], str]
    """"cluster id/topic id" of item-embeddings as it is now."""
    clock: Clock
    ends: Callable[[], Mapping[int, int]] = dict
    """Partition of item-embeddings -> next offset as it is now."""
    num_skipped_batches: Callable[[], int] = lambda: 0
    """Batches of item-embeddings that `follow` could not decode and left out."""
    open_overlay: Callable[[], Overlay] | None = None
    """Opens the overlay of acknowledged events; None where nobody writes one."""
    read_past: Callable[[], Iterable[TopicRecord]] = tuple
    """All records of item-embeddings up to now."""
    encoder: EncodesQueries = field(default_factory=NoQueryEncoder)
    """Makes vectors of queries."""
    open_alignment: Callable[[], NamedAlignment | None] = lambda: None
    """Reads the alignment of texts and pictures; None where there is none."""


@dataclass
class Counters:
    """Figures for `mmrec status`."""

    num_requests: int = 0
    num_failed: int = 0
    num_degraded: int = 0
    num_overlay_events: int = 0
    """Acknowledged events that lists used before the stream had stored them."""
    num_item_updates: int = 0
    num_broken_updates: int = 0
    degraded_by_reason: dict[str, int] = field(default_factory=dict)


class Replica:
    """Holds one release and answers requests."""

    def __init__(
        self,
        parts: ReplicaParts,
        *,
        figures: Callable[[], Mapping[str, Any]] = dict,
        after_load: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the online store; one that is away is opened later.

        Args:
            figures: More figures for the status file.
            after_load: Called by the thread after the first look and after each release, when all of it is in memory.
        """
        self._parts = parts
        self._figures, self._after_load = figures, after_load
        settings = parts.settings
        self._weights, self._scoring = LiveWeights(settings), settings.scoring
        self._keeper = CatalogueKeeper(
            behaviors=settings.behaviors,
            decay_per_day_H=decay_rates(settings.statistics.half_lives_days),
            trusts_inferred=settings.content.trust_inferred,
        )
        self._loaded: LoadedRelease | None = None
        self._refused = Refused()
        self._place: TopicPlace | None = None
        self._stream_ingest_time_s = NEVER_S
        self._state = self._new_state()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._search_side = SearchSide(
            encoder=parts.encoder,
            alignment=parts.open_alignment(),
            cleaning=settings.content.text_cleaning,
            read_past=parts.read_past,
            stopping=self._stopping,
        )
        self._counts_cursor, self._neighbors_cursor = Cursor(), Cursor()
        self._store = OpenedReads(parts.open_features)  # for requests, and for nobody else
        self.reads = ProfileReads(
            overlay=parts.open_overlay() if parts.open_overlay is not None else None,
            read_profiles=self._store,
            config=lambda: self._state.scoring,
            in_thread=settings.stores.online_store == "redis",
        )
        self._places = NearPlaces(settings.statistics.popular_by)
        self._status = StatusFile(settings.stores.status, "recommender")
        self._thread = threading.Thread(target=self._keep_up, name="replica-keeper", daemon=True)
        self.counters = Counters()

    def start(self) -> None:
        """Start the thread. Requests are answered from now on, and better once the first portion was read."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the first look at releases and items was done in time."""
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        """Stop the threads."""
        self._stopping.set()
        self._thread.join(10)
        self.reads.close()

    @property
    def state(self) -> ReplicaState:
        """The state that a request would use now."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether releases and items were read once, the thread runs, and a release is in use if one is promoted.

        A replica that uses an older release is ready: its lists are as good as before, and they say what is wrong. One
        that has no release although one is promoted is not ready, though it answers with popular items.
        """
        is_empty_handed = self._loaded is None and bool(self._refused.release_id)
        return self._ready.is_set() and self._thread.is_alive() and not is_empty_handed

    def recommend(
        self, message: recommender_pb2.RecommendItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.RecommendItemsResponse:
        """Answer RecommendItems; errors as mmrec.serving.recommend.recommend()."""
        now_s, state = self._parts.clock.now_s(), self._state
        request = list_request(message, now_s=now_s, bounds=self._parts.settings.events, near=self._places.of)
        read = partial(self.read_profile, deadline=deadline)
        found = recommend(request, state=state, read_profile=read, deadline=deadline)
        self.counters.num_overlay_events += found.num_overlay_events
        response = list_response(
            message,
            request,
            found,
            request_id=uuid.uuid4().hex,
            release_id=state.release_id,
            stream_ingest_time_s=state.stream_ingest_time_s,
        )
        self._count(response.state)
        return response

    def search(
        self, message: recommender_pb2.SearchItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.SearchItemsResponse:
        """Answer SearchItems; errors as mmrec.serving.search.search() and search_request.search_request()."""
        now_s, state = self._parts.clock.now_s(), self._state
        request = search_request(message, now_s=now_s, limits=self._parts.settings.search)
        response = recommender_pb2.SearchItemsResponse()
        read = partial(self.read_profile, deadline=deadline)
        self._search_side.answer(request, response, state=state, read_profile=read, deadline=deadline)
        self._count(response.state)
        return response

    def alike(
        self, message: recommender_pb2.SimilarItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.SimilarItemsResponse:
        """Answer SimilarItems that weighs modalities; errors as search() and search_request.likeness_request()."""
        now_s, state = self._parts.clock.now_s(), self._state
        request = likeness_request(message, now_s=now_s)
        response = recommender_pb2.SimilarItemsResponse()
        read = partial(self.read_profile, deadline=deadline)
        self._search_side.answer(request, response, state=state, read_profile=read, deadline=deadline)
        self._count(response.state)
        return response

    def similar(
        self, message: recommender_pb2.SimilarItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.SimilarItemsResponse:
        """Answer SimilarItems; errors as mmrec.serving.similar.similar()."""
        answer = partial(
            similar_answer,
            read_neighbors=self._store.read_neighbors,
            substitutes_share=self._parts.settings.serving.substitutes_share,
        )
        return self._for_user(answer, message, deadline)

    def rank_items(
        self, message: recommender_pb2.RankItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.RankItemsResponse:
        """Answer RankItems; errors as mmrec.serving.rank_items.rank_items()."""
        return self._for_user(rank_answer, message, deadline)

    def explain_item(
        self, message: recommender_pb2.ExplainItemRequest, *, deadline: Deadline
    ) -> recommender_pb2.ExplainItemResponse:
        """Answer ExplainItem; errors as mmrec.serving.explain_item.explain_item()."""
        return self._for_user(explain_answer, message, deadline)

    def recommend_rows(
        self, message: recommender_pb2.RecommendRowsRequest, *, deadline: Deadline
    ) -> recommender_pb2.RecommendRowsResponse:
        """Answer RecommendRows; errors as mmrec.serving.rows.recommend_rows()."""
        return self._for_user(partial(rows_answer, near=self._places.of), message, deadline)

    def recommend_batch(
        self, message: recommender_pb2.RecommendBatchRequest, *, deadline: Deadline
    ) -> Iterator[recommender_pb2.RecommendBatchResponse]:
        """Answer RecommendBatch; errors as mmrec.serving.batch_answer.batch_answers()."""
        now_s, read = self._parts.clock.now_s(), partial(self.read_profile, deadline=deadline)
        answers = batch_answers(message, state=self._state, read_profile=read, deadline=deadline, now_s=now_s)
        for answer in answers:
            for each in answer.lists:
                self._count(each.list.state)
            yield answer

    def _for_user(self, answer: Callable[..., Answer], message: Any, deadline: Deadline) -> Answer:
        now_s, state, bounds = self._parts.clock.now_s(), self._state, self._parts.settings.events
        read = partial(self.read_profile, deadline=deadline)
        response = answer(message, state=state, read_profile=read, deadline=deadline, now_s=now_s, bounds=bounds)
        self._count(response.state)  # type: ignore[attr-defined]
        return response

    def _count(self, state: recommender_pb2.ServingState) -> None:
        self.counters.num_requests += 1
        if state.degraded:
            self.counters.num_degraded += 1
            for reason in state.degraded_reasons:
                by_reason = self.counters.degraded_by_reason
                by_reason[reason] = by_reason.get(reason, 0) + 1

    def read_profile(self, user_key: str, *, deadline: Deadline | None = None) -> FreshProfile:
        """The profile that a request would use for a user now; StoreError where the online store fails or is away."""
        return self.reads.read(user_key, within_s=READ_S if deadline is None else SHARE * deadline.left_s())

    @property
    def _release_id(self) -> str:
        return self._loaded.release.release_id if self._loaded is not None else ""

    def _new_state(self) -> ReplicaState:
        settings, loaded = self._parts.settings, self._loaded
        return ReplicaState(
            catalogue=self._keeper.catalogue,
            model=loaded.model if loaded is not None else None,
            release_id=self._release_id,
            unusable_release=bool(self._refused.release_id),
            scoring=self._scoring,
            num_candidates=settings.serving.num_candidates,
            diversity=settings.serving.diversity,
            ranker_behaviors=loaded.behaviors if loaded is not None else None,
            stream_ingest_time_s=self._stream_ingest_time_s,
            source_weights=loaded.model.source_weights if loaded is not None else OWN_WEIGHTS,
        )

    # The methods below run in the replica's thread.

    def _keep_up(self) -> None:
        store: ServingFeatures | None = None
        while not self._stopping.is_set():
            try:
                store = store or self._parts.open_features()
                self._take_release(store)
                self._first_look(store)
                self._follow_items(store)
            except Exception as error:  # a lost broker or store must not end the thread
                log.warning("keeper_interrupted", error=repr(error))
                self._write_status(error=repr(error))
                self._stopping.wait(1.0)

    def _take_weights(self) -> None:
        """Use the weights that the configuration file has now for recall; the ranker keeps its release's weights."""
        behaviors = self._weights.behaviors()
        if behaviors is not self._scoring.behaviors:
            self._scoring = replace(self._scoring, behaviors=behaviors)
        self._keeper.weigh(behaviors)

    def _first_look(self, store: ServingFeatures) -> None:
        is_new = not self._ready.is_set() or self._state.release_id != self._release_id
        self._take_weights()
        self._introduce_popular(store)
        refresh_all(self._keeper, store)
        self._read_progress(store)
        self._publish()
        if is_new:
            self._after_load()
        self._ready.set()
        self._write_status()

    def _follow_items(self, store: ServingFeatures) -> None:
        """Follow records of items until the release changes."""
        place = self._next_place()
        next_check_s = next_status_s = time.monotonic() + PUBLISH_S
        next_publish_s = 0.0
        for records in self._parts.follow(place.start, self._stopping.is_set):
            updates = self._updates(records)
            self._keeper.take(updates)
            self._search_side.content.take(updates)
            place.passed(records)
            self._search_side.introduce(self._state.catalogue)
            self._refresh_portion(store)
            began_s = time.monotonic()
            if began_s >= next_publish_s and self._publish():
                now_s = time.monotonic()
                next_publish_s = now_s + max(PUBLISH_S, (now_s - began_s) / PUBLISH_SHARE)
            if time.monotonic() >= next_check_s:
                self._take_weights()
                self._introduce_popular(store)
                self._places.refresh(store, now_s=time.monotonic())
                self._read_progress(store)
                if self._take_release(store):
                    return
                next_check_s = time.monotonic() + RELEASE_CHECK_S
            if time.monotonic() >= next_status_s:
                next_status_s = time.monotonic() + STATUS_S
                self._write_status()

    def _next_place(self) -> TopicPlace:
        """Where the last reading for this collection ended; for another collection or topic a new beginning."""
        topic = self._parts.topic_name()
        if self._place is None or self._place.topic != topic:
            start = self._loaded.mark.start(topic) if self._loaded is not None else None
            # From the beginning on, all that can be searched comes by itself.
            self._search_side.follows_from(start)
            ends = self._parts.ends() if start is not None else {}
            self._place = TopicPlace(topic=topic, start=start, ends=ends, give_up_s=time.monotonic() + CATCH_UP_S)
        return self._place

    def _updates(self, records: list[TopicRecord]) -> list[ItemUpdate]:
        updates = []
        for record in records:
            try:
                updates.append(read_item_update(record.key, record.value))
            except Exception as error:  # whatever a record holds, it must not block those after it
                self.counters.num_broken_updates += 1
                log.warning("item_update_refused", partition=record.partition, offset=record.offset, error=str(error))
        self.counters.num_item_updates += len(updates)
        return updates

    def _refresh_portion(self, store: ServingFeatures) -> None:
        """Read the next few items; a whole round takes about as long as the jobs take to build the views again."""
        every, item_ids, now_s = self._parts.settings.statistics, self._keeper.item_ids, time.monotonic()
        self._keeper.refresh_statistics(store, self._counts_cursor.next(item_ids, every.refresh_s, now_s))
        self._keeper.refresh_neighbors(store, self._neighbors_cursor.next(item_ids, every.neighbors_refresh_s, now_s))

    def _introduce_popular(self, store: ServingFeatures) -> None:
        """Add the items of popular lists: before anything was encoded, items are known only from there."""
        popular = store.read_popular("")
        fresh = self._keeper.undescribed(popular.item_ids) if popular is not None else []
        if fresh:
            self._keeper.introduce(fresh, store.read_item_content(fresh))

    def _read_progress(self, store: ServingFeatures) -> None:
        progress = store.read_progress()
        if progress is not None and progress.newest_ingest_time_s > self._stream_ingest_time_s:
            self._stream_ingest_time_s = progress.newest_ingest_time_s
            self._state = replace(self._state, stream_ingest_time_s=self._stream_ingest_time_s)

    def _take_release(self, store: ServingFeatures) -> bool:
        """Load the release that the pointer names; returns whether a new one is in use.

        If it cannot be loaded, every answer says so, and the previous release stays in use.
        """
        started_s = time.monotonic()
        release_id, refused = "", self._refused
        try:
            release_id = self._parts.releases.current()
            if release_id == self._release_id:
                self._refuse(Refused())
                return False
            if not release_id or (release_id == refused.release_id and started_s < refused.retry_at_s):
                return False
            parts = self._parts
            loaded = load_release(
                release_id,
                settings=parts.settings,
                releases=parts.releases,
                open_vectors=parts.open_vectors,
                features=store,
            )
        except (IncompatibleStateError, NotFoundError) as error:
            log.error("release_unusable", release_id=release_id, error=str(error))
            self._refuse(Refused(release_id=release_id, error=str(error)))
            return False
        except Exception as error:  # whatever an engine raises; it may succeed the next time
            wait_s = min(MAX_RETRY_S, 2 * refused.wait_s) if release_id == refused.release_id else RELEASE_CHECK_S
            log.error("release_not_loaded", release_id=release_id, error=repr(error), retry_in_s=wait_s)
            retry_at_s = time.monotonic() + wait_s
            self._refuse(Refused(release_id=release_id, error=repr(error), retry_at_s=retry_at_s, wait_s=wait_s))
            return False
        self._loaded, self._keeper, self._refused, self._place = loaded, loaded.keeper, Refused(), None
        log.info(
            "release_loaded",
            release_id=release_id,
            num_items=len(loaded.keeper.item_ids),
            seconds=round(time.monotonic() - started_s, 3),
        )
        return True

    def _refuse(self, refused: Refused) -> None:
        self._refused = refused
        if self._state.unusable_release != bool(refused.release_id):
            self._state = replace(self._state, unusable_release=bool(refused.release_id))

    def _publish(self) -> bool:
        if self._place is not None and self._place.is_behind(time.monotonic()):
            return False
        changed = self._keeper.publish() or self._state.release_id != self._release_id
        if changed:
            self._state = self._new_state()
        return changed

    def _write_status(self, *, error: str = "") -> None:
        catalogue, now_s = self._state.catalogue, self._parts.clock.now_s()
        num_to_come, next_publish_s = catalogue.to_come(now_s)
        figures: dict[str, Any] = {
            # Stricter than health: people must see that the release they promoted is not in use.
            "ready": self.ready and not self._refused.release_id,
            "release_id": self._state.release_id,
            "unusable_release_id": self._refused.release_id,
            "num_items": len(catalogue.item_ids),
            "num_items_indexed": int(catalogue.embedded_I.sum()),
            "num_items_to_come": num_to_come,
            "next_publish_s": next_publish_s if num_to_come else None,
            "num_items_counted": int(np.isfinite(catalogue.reference_times_I).sum()),
            "has_neighbors": catalogue.neighbors is not None,
            "num_unusable_vectors": self._keeper.num_unusable_vectors,
            "num_skipped_batches": self._parts.num_skipped_batches(),
            **self._search_side.figures(),
            **vars(self.counters),
            **self.reads.figures(),
            **self._figures(),
        }
        if error or self._refused.error:
            figures["error"] = error or self._refused.error
        try:
            self._status.write(figures, now_s=now_s)
        except (OSError, RuntimeError) as failure:  # a full disk, or a counter added meanwhile; retried soon
            log.warning("status_not_written", error=repr(failure))
