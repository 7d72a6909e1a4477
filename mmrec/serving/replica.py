"""One recommender replica: a request side that reads arrays, and one thread that keeps them up to date.

    replica = Replica(parts)
    replica.start()
    replica.recommend(message, now_s=..., deadline=...)

The thread follows `item-embeddings`, looks at the release pointer every second, and reads counts and neighbors in
small portions, so that it never holds a request up for long. A request takes one reference to the state and one
profile from the store.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.clock import Clock
from mmrec.config import Settings
from mmrec.errors import IncompatibleStateError, MmrecError
from mmrec.events.producer import TopicRecord
from mmrec.features.assemble import feature_names
from mmrec.features.stores import FeatureStore
from mmrec.index.vectors import VectorStore
from mmrec.models.bundle import ModelBundle
from mmrec.pipeline import Deadline, ReplicaState, recommend, similar
from mmrec.release import Release, ReleaseStore
from mmrec.scoring.profile import UserProfile
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.keeper import CatalogueKeeper
from mmrec.serving.messages import (
    item_filter,
    list_request,
    list_response,
    number_of_items,
    recommended_items,
    serving_state,
)
from mmrec.telemetry import StatusFile, get_logger
from mmrec.v1 import recommender_pb2

log = get_logger(__name__)
PORTION = 200
"""Items read at a time: about 2 ms of the store."""
PUBLISH_S = 0.5
"""Pause between two publications: a change after a quiet time is seen at once, the next ones together."""
RELEASE_CHECK_S = 1.0
STATUS_S = 1.0
Follow = Callable[[Mapping[int, int] | None, Callable[[], bool]], Iterator[list[TopicRecord]]]
"""(first offset per partition, stop) -> records of item-embeddings as they arrive, an empty list where none came."""


@dataclass(frozen=True, kw_only=True)
class ReplicaParts:
    """What a replica is made of."""

    settings: Settings
    open_features: Callable[[], FeatureStore]
    """Opens the online store; called once for requests and once for the thread."""
    open_vectors: Callable[[], VectorStore]
    releases: ReleaseStore
    follow: Follow
    topic_name: Callable[[], str]
    """"cluster id/topic id" of item-embeddings as it is now."""
    clock: Clock


@dataclass
class Counters:
    """Figures for `mmrec status`."""

    num_requests: int = 0
    num_failed: int = 0
    num_degraded: int = 0
    num_item_updates: int = 0
    num_broken_updates: int = 0
    degraded_by_reason: dict[str, int] = field(default_factory=dict)


@dataclass
class _Cursor:
    """Walks around the catalogue at an even pace."""

    position: int = 0
    moved_s: float = 0.0

    def next(self, item_ids: tuple[str, ...], round_s: float, now_s: float) -> tuple[str, ...]:
        """The items that are due when a round takes `round_s`, at most PORTION."""
        due = min(PORTION, int(len(item_ids) * (now_s - self.moved_s) / round_s) + 1)
        self.moved_s = now_s
        start = self.position if self.position < len(item_ids) else 0
        self.position = start + due
        return item_ids[start : start + due]


def _refresh_all(keeper: CatalogueKeeper, store: FeatureStore) -> None:
    for start in range(0, len(keeper.item_ids), PORTION):
        portion = keeper.item_ids[start : start + PORTION]
        keeper.refresh_statistics(store, portion)
        keeper.refresh_neighbors(store, portion)


class Replica:
    """Holds one release and answers requests."""

    def __init__(self, parts: ReplicaParts) -> None:
        self._parts = parts
        settings = parts.settings
        self._rates_H = np.log(2.0) / np.array(settings.statistics.half_lives_days, dtype=np.float64)
        self._features = parts.open_features()
        self._keeper = self._new_keeper(None)
        self._release: Release | None = None
        self._model: ModelBundle | None = None
        self._unusable = ""
        self._state = self._new_state()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._counts_cursor, self._neighbors_cursor = _Cursor(), _Cursor()
        self._status = StatusFile(settings.stores.status, "recommender")
        self._thread = threading.Thread(target=self._keep_up, name="replica-keeper", daemon=True)
        self.counters = Counters()

    def start(self) -> None:
        """Start keeping up; requests are answered from now on, with more from the first portion on."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the first look at releases and items was done in time."""
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        self._thread.join(10)

    @property
    def state(self) -> ReplicaState:
        """What a request that came now would see."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether the first look at releases and items is done."""
        return self._ready.is_set()

    def recommend(
        self, message: recommender_pb2.RecommendItemsRequest, *, deadline: Deadline
    ) -> recommender_pb2.RecommendItemsResponse:
        """Answer RecommendItems; errors as pipeline.recommend()."""
        now_s, state = self._parts.clock.now_s(), self._state
        request = list_request(message, now_s=now_s)
        found = recommend(request, state=state, read_profile=self._read_profile, deadline=deadline)
        response = list_response(
            message,
            request,
            found,
            request_id=uuid.uuid4().hex,
            release_id=state.release_id,
            behaviors=state.scoring.behaviors,
        )
        self._count(response.state)
        return response

    def similar(self, message: recommender_pb2.SimilarItemsRequest) -> recommender_pb2.SimilarItemsResponse:
        """Answer SimilarItems; errors as pipeline.similar()."""
        now_s, state = self._parts.clock.now_s(), self._state
        found = similar(
            message.item_id,
            num_items=number_of_items(message.num_items),
            excluded_item_ids=tuple(message.excluded_item_ids),
            item_filter=item_filter(message.filter),
            state=state,
        )
        response = recommender_pb2.SimilarItemsResponse(
            request_id=uuid.uuid4().hex,
            release_id=state.release_id,
            items=recommended_items(found, behaviors=state.scoring.behaviors, first_rank=1, with_explanations=False),
            state=serving_state(found, as_of_s=now_s),
        )
        self._count(response.state)
        return response

    def _count(self, state: recommender_pb2.ServingState) -> None:
        self.counters.num_requests += 1
        if state.degraded:
            self.counters.num_degraded += 1
            for reason in state.degraded_reasons:
                by_reason = self.counters.degraded_by_reason
                by_reason[reason] = by_reason.get(reason, 0) + 1

    def _read_profile(self, user_key: str) -> UserProfile | None:
        return self._features.read_profiles([user_key]).get(user_key)

    def _new_keeper(self, model: ModelBundle | None) -> CatalogueKeeper:
        return CatalogueKeeper(behaviors=self._parts.settings.behaviors, decay_per_day_H=self._rates_H, tower=model)

    def _new_state(self) -> ReplicaState:
        settings = self._parts.settings
        return ReplicaState(
            catalogue=self._keeper.catalogue,
            model=self._model,
            release_id=self._release.release_id if self._release else "",
            unusable_release=bool(self._unusable),
            scoring=settings.scoring,
            num_candidates=settings.serving.num_candidates,
            hide_behaviors=settings.serving.hide_behaviors,
            diversity=settings.serving.diversity,
        )

    # From here on: the keeper's thread.

    def _keep_up(self) -> None:
        store: FeatureStore | None = None
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

    def _first_look(self, store: FeatureStore) -> None:
        self._introduce_popular(store)
        _refresh_all(self._keeper, store)
        self._publish()
        self._ready.set()
        self._write_status()

    def _follow_items(self, store: FeatureStore) -> None:
        """Until the release changes."""
        start = None
        if self._release is not None and self._release.embedding_topic == self._parts.topic_name():
            start = {int(partition): offset for partition, offset in self._release.embedding_offsets.items()}
        next_check_s = next_status_s = time.monotonic() + PUBLISH_S
        next_publish_s = 0.0
        changed = threading.Event()
        for records in self._parts.follow(start, lambda: self._stopping.is_set() or changed.is_set()):
            self._keeper.take(self._updates(records))
            self._refresh_portion(store)
            began_s = time.monotonic()
            if began_s >= next_publish_s and self._publish():
                now_s = time.monotonic()
                # A large catalogue gets at most half of the thread's time, which is time that requests lack.
                next_publish_s = now_s + max(PUBLISH_S, now_s - began_s)
            if time.monotonic() >= next_check_s:
                next_check_s = time.monotonic() + RELEASE_CHECK_S
                self._introduce_popular(store)
                pointed = self._pointed()
                if self._unusable and pointed == self._state.release_id:
                    self._unusable = ""
                    self._state = self._new_state()
                elif pointed not in {self._state.release_id, self._unusable}:
                    changed.set()
            if time.monotonic() >= next_status_s:
                next_status_s = time.monotonic() + STATUS_S
                self._write_status()

    def _updates(self, records: list[TopicRecord]) -> list[ItemUpdate]:
        updates = []
        for record in records:
            try:
                updates.append(read_item_update(record.key, record.value))
            except Exception as error:  # whatever it holds, one record must not hold up those behind it
                self.counters.num_broken_updates += 1
                log.warning("item_update_refused", partition=record.partition, offset=record.offset, error=str(error))
        self.counters.num_item_updates += len(updates)
        return updates

    def _refresh_portion(self, store: FeatureStore) -> None:
        """The next few items of a round that takes about as long as the jobs take to build anew."""
        every, item_ids, now_s = self._parts.settings.statistics, self._keeper.item_ids, time.monotonic()
        self._keeper.refresh_statistics(store, self._counts_cursor.next(item_ids, every.refresh_s, now_s))
        self._keeper.refresh_neighbors(store, self._neighbors_cursor.next(item_ids, every.neighbors_refresh_s, now_s))

    def _introduce_popular(self, store: FeatureStore) -> None:
        """Before anything was encoded, popular lists are where items are heard of."""
        popular = store.read_popular("")
        fresh = self._keeper.undescribed(popular.item_ids) if popular is not None else []
        if fresh:
            self._keeper.introduce(fresh, store.read_item_content(fresh))

    def _pointed(self) -> str:
        return self._parts.releases.current()

    def _take_release(self, store: FeatureStore) -> None:
        """Load what the pointer names; what cannot be used is said in every answer, and the one before goes on."""
        release_id = self._pointed()
        if not release_id or release_id in {self._state.release_id, self._unusable}:
            return
        started_s = time.monotonic()
        try:
            release, model, keeper = self._load_release(release_id, store)
        except MmrecError as error:
            self._unusable = release_id
            log.error("release_unusable", release_id=release_id, error=str(error))
            self._state = self._new_state()
            return
        self._release, self._model, self._keeper, self._unusable = release, model, keeper, ""
        log.info(
            "release_loaded",
            release_id=release_id,
            num_items=len(keeper.item_ids),
            seconds=round(time.monotonic() - started_s, 3),
        )

    def _load_release(self, release_id: str, store: FeatureStore) -> tuple[Release, ModelBundle, CatalogueKeeper]:
        parts = self._parts
        release = parts.releases.read(release_id)
        names = feature_names(parts.settings.behaviors, num_half_lives=len(self._rates_H))
        if tuple(release.feature_names) != names:
            raise IncompatibleStateError(
                f"release {release_id!r} ranks {len(release.feature_names)} features, this configuration has "
                f"{len(names)} of other names; train and publish again"
            )
        if release.feature_fingerprint != store.fingerprint:
            raise IncompatibleStateError(
                f"release {release_id!r} was made for features {release.feature_fingerprint!r}, the store holds "
                f"{store.fingerprint!r}; train and publish again"
            )
        model = ModelBundle.load(Path(parts.releases.model_folder(release_id)))
        stored = parts.open_vectors().load(release.collection)
        keeper = self._new_keeper(model)
        entries = {}
        for start in range(0, len(stored.item_ids), PORTION):
            entries.update(store.read_item_content(stored.item_ids[start : start + PORTION]))
        keeper.load(stored, entries)
        _refresh_all(keeper, store)
        keeper.publish()
        return release, model, keeper

    def _publish(self) -> bool:
        changed = self._keeper.publish() or self._state.release_id != (self._release.release_id if self._release else "")
        if changed:
            self._state = self._new_state()
        return changed

    def _write_status(self, *, error: str = "") -> None:
        catalogue = self._state.catalogue
        figures: dict[str, Any] = {
            "ready": self.ready,
            "release_id": self._state.release_id,
            "unusable_release_id": self._unusable,
            "num_items": len(catalogue.item_ids),
            "num_items_indexed": int(catalogue.embedded_I.sum()),
            "num_items_counted": int(np.isfinite(catalogue.reference_times_I).sum()),
            "has_neighbors": catalogue.neighbors is not None,
            "num_unusable_vectors": self._keeper.num_unusable_vectors,
            **vars(self.counters),
        }
        if error:
            figures["error"] = error
        self._status.write(figures, now_s=self._parts.clock.now_s())
