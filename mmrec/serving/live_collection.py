"""The collection of the live release, kept up to the catalogue: what a replica that starts later reads (METHODS M27).

    live = LiveCollection(parts)
    live.start()                a thread follows `item-embeddings` and the release pointer until close()

One process does it, the one that encodes items: it has the records first, and replicas would write the same rows. New
and changed items go through the release's item tower; removed ones are taken out; an item without an embedding gets a
zero vector, so that it is known. Where the collection is, stands beside the release (live.json) after everything up to
there is in it: whatever ends in between is done again, and the same again changes nothing. A release that is promoted,
or promoted again, is brought up from where its own collection was.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmrec.events.producer import TopicRecord
from mmrec.index.vectors import WEIGHT_FIELD, VectorStore
from mmrec.models.bundle import ModelBundle
from mmrec.publishing.release import CollectionMark, Release, ReleaseStore, check_collection
from mmrec.serving.embedded_updates import ItemTower, embed_updates
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
CHECK_S: Final = 1.0
"""Between two looks for a release while there is none, and before the first retry."""
MAX_RETRY_S: Final = 60.0
TOGETHER_S: Final = 0.2
"""Pause between two writes: what the store takes for one item and for several is about the same."""
_POLLS_PER_LOOK: Final = 3
"""Polls, of about 0.2 s each where nothing arrives, between two looks at the release pointer."""
Follow = Callable[[Mapping[int, int] | None, Callable[[], bool]], Iterator[list[TopicRecord]]]
"""(first offset per partition, stop) -> records of item-embeddings as they arrive, an empty list where none arrived."""


class CollectionWriter:
    """Brings one release's collection up to the records of `item-embeddings`."""

    def __init__(
        self, release: Release, *, tower: ItemTower, vectors: VectorStore, releases: ReleaseStore, topic: str
    ) -> None:
        """Nothing is written yet.

        Args:
            topic: "cluster id/topic id" of the records that take() will get.

        Raises:
            IncompatibleStateError: the collection was made for another release.
            NotFoundError: it was dropped.
        """
        check_collection(release, vectors)
        self._release, self._tower, self._vectors, self._releases = release, tower, vectors, releases
        self._known = set(vectors.load(release.collection).item_ids)
        self.start = releases.collection_mark(release).start(topic)
        """First offset per partition of the records to take; None where all of them are."""
        self._mark = CollectionMark(topic=topic, offsets=self.start or {})

    def take(self, records: Sequence[TopicRecord]) -> int:
        """Write what records say; how many items they speak of."""
        updates: dict[str, list[ItemUpdate]] = {}
        removed: dict[str, None] = {}
        for record in records:
            try:
                update = read_item_update(record.key, record.value)
            except Exception as error:  # replicas leave it out as well, and say so
                log.warning("item_update_refused", partition=record.partition, offset=record.offset, error=str(error))
                continue
            updates[update.item_id] = [*updates.get(update.item_id, ()), update] if update.entry is not None else []
            if update.entry is None:
                removed[update.item_id] = None
        if not self._releases.is_followed(self._release.release_id):
            self._releases.keep_collection_mark(self._release.release_id, self._mark)
        self._remove(list(removed))
        self._write([update for since_removal in updates.values() for update in since_removal])
        offsets = dict(self._mark.offsets)
        for record in records:
            offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
        self._mark = replace(self._mark, offsets=offsets)
        self._releases.keep_collection_mark(self._release.release_id, self._mark)
        return len(updates)

    def _remove(self, item_ids: Sequence[str]) -> None:
        gone = [item_id for item_id in item_ids if item_id in self._known]
        if gone:
            self._vectors.delete(self._release.collection, gone)
            self._known.difference_update(gone)

    def _write(self, updates: Sequence[ItemUpdate]) -> None:
        """Embeddings of these items; those without one keep theirs, or are written without."""
        embedded = embed_updates(updates, self._tower)
        titles = {update.item_id: update.entry.title for update in updates if update.entry is not None}
        bare = [item_id for item_id in titles.keys() - set(embedded.item_ids) if item_id not in self._known]
        item_ids = [*embedded.item_ids, *bare]
        if not item_ids:
            return
        nothing_ND = np.zeros((len(bare), self._release.embedding_dim), dtype=np.float32)
        shares = {
            f"{WEIGHT_FIELD}{name}": [*(f"{share:.4f}" for share in shares_N.tolist()), *[""] * len(bare)]
            for name, shares_N in embedded.modality_weights.items()
        }
        self._vectors.upsert(
            self._release.collection,
            item_ids,
            np.concatenate([embedded.vectors_ND, nothing_ND]),
            {"title": [titles[item_id] for item_id in item_ids], **shares},
        )
        self._known.update(item_ids)


@dataclass(frozen=True, kw_only=True)
class LiveCollectionParts:
    """What a LiveCollection is made of."""

    releases: ReleaseStore
    open_vectors: Callable[[], VectorStore]
    follow: Follow
    topic_name: Callable[[], str]
    """"cluster id/topic id" of item-embeddings as it is now."""


@dataclass
class LiveCollectionCounts:
    """What a process did since it started."""

    release_id: str = ""
    """The release whose collection is kept up; empty while there is none, or it cannot be."""
    num_items: int = 0
    """Changes of items that were written."""
    num_failures: int = 0
    error: str = ""
    """Why nothing is written now."""


@dataclass
class LiveCollection:
    """The thread that keeps the live release's collection up."""

    parts: LiveCollectionParts
    counts: LiveCollectionCounts = field(default_factory=LiveCollectionCounts)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _vectors: VectorStore | None = None
    """Opened once: a connection each time would pile up where a release cannot be used for long."""

    def start(self) -> None:
        """Begin in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="live-collection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; what is under way is completed, or done again by the next process."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    def figures(self) -> dict[str, Any]:
        """For the status file."""
        return dict(vars(self.counts))

    def _run(self) -> None:
        wait_s = CHECK_S
        while not self._stopping.is_set():
            try:
                self._keep_up()
                wait_s = CHECK_S
            except Exception as error:  # a lost engine or a release that does not fit must not end the thread
                self.counts.num_failures += 1
                self.counts.release_id, self.counts.error = "", repr(error)
                log.warning("live_collection_interrupted", error=repr(error), retry_in_s=wait_s)
                self._stopping.wait(wait_s)
                wait_s = min(MAX_RETRY_S, 2 * wait_s)

    def _keep_up(self) -> None:
        """Follow the release that is live now, until another one is; waits a moment where there is none."""
        parts = self.parts
        release_id = parts.releases.current()
        if not release_id:
            self.counts.release_id = ""
            self._stopping.wait(CHECK_S)
            return
        release = parts.releases.read(release_id)
        self._vectors = self._vectors or parts.open_vectors()
        writer = CollectionWriter(
            release,
            tower=ModelBundle.load(Path(parts.releases.model_folder(release_id))),
            vectors=self._vectors,
            releases=parts.releases,
            topic=parts.topic_name(),
        )
        self.counts.release_id, self.counts.error = release_id, ""
        log.info("live_collection_followed", release_id=release_id, collection=release.collection)
        for number, records in enumerate(parts.follow(writer.start, self._stopping.is_set), start=1):
            if records:
                self.counts.num_items += writer.take(records)
                self._stopping.wait(TOGETHER_S)  # what comes meanwhile is written together
            if number % _POLLS_PER_LOOK == 0 and parts.releases.current() != release_id:
                return
