"""The overlay: acknowledged events that the stored profiles may not have yet. The port, and a reference in memory.

    overlay.add(entries)                 the collector, once Kafka has the events and before it acknowledges them
    found = overlay.read(["ann"])        a request: overlay FIRST, then the profile, then *apply* beyond the marks
    overlay.prune(progress.marks)        the collector, every second: removes what the stored progress has passed

In that order nothing is lost or counted twice: an entry that was pruned between the two reads is in the profile that is
read afterwards, and one that is in both is at or below the profile's mark. Losing the overlay costs freshness, never
data, so no engine here waits for a disk.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from mmrec.scoring.batch import EventBatch, event_hashes
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.source import Source

MAX_ENTRIES: Final = 1_000_000
"""Entries an overlay keeps; beyond that the oldest are removed first and counted as dropped."""
MAX_READ: Final = 5_000
"""Entries of one user key that a read returns, the newest ones, so that no request has to process more."""


class OverlayEntry(NamedTuple):
    """One acknowledged record, as far as scoring needs it."""

    user_key: str
    source: Source
    offset: int
    behavior: str
    """Name of a configured behavior, or of a control record (mmrec.events.control)."""
    item_id: str
    """For identify, the other profile key, so that each of the two keys leads to the other. Empty for forget."""
    event_id: str
    event_time_s: float
    known_time_s: float
    ingest_time_s: float
    """Append time of the broker."""
    exempt: bool = False
    """Whether rate cap and bot rule do not apply to it."""


class OverlayFigures(NamedTuple):
    """How full an overlay is."""

    num_entries: int
    num_dropped: int
    """Entries removed because there were too many, since this process opened the overlay."""


class Overlay(Protocol):
    """Entries by user key. Every process sees what another one has added as soon as add() has returned.

    Every method raises StoreError where the engine fails; the next call tries again.
    """

    def add(self, entries: Sequence[OverlayEntry]) -> None:
        """Add entries; one that is there already (same key, source and offset) is replaced."""
        ...

    def read(self, user_keys: Iterable[str]) -> dict[str, list[OverlayEntry]]:
        """Entries by user key, in the order of (source, offset), at most MAX_READ of each; absent keys are left out."""
        ...

    def prune(self, marks: Mapping[Source, int]) -> int:
        """Remove entries at or below the mark of their source; returns how many."""
        ...

    def keep_topic(self, cluster_id: str, topic_id: str) -> int:
        """Remove entries of every other topic: the stream will never read the records of a deleted one."""
        ...

    def forget(self, user_key: str, request: OverlayEntry | None = None, *, known_up_to_s: float = math.inf) -> int:
        """Remove every entry of a user key, bytes included; returns how many.

        Args:
            request: The request to forget. It stays, and so do entries that came after it.
            known_up_to_s: Entries known later stay, too.
        """
        ...

    def figures(self) -> OverlayFigures:
        """Figures as of the last change this process made; asks no engine."""
        ...

    def close(self) -> None:
        """Close the engine."""
        ...


def overlay_batch(entries: Sequence[OverlayEntry], behaviors: BehaviorSet) -> EventBatch:
    """Entries as *apply* reads them, without control entries and behaviors that are no longer configured."""
    events = [entry for entry in entries if entry.behavior in behaviors]
    sources = tuple(sorted({entry.source for entry in events}))
    place_of = {source: place for place, source in enumerate(sources)}
    ids_B = behaviors.ids_B
    exempt_N = np.array([e.exempt for e in events], dtype=np.bool_)
    return EventBatch(
        user_keys=_objects([e.user_key for e in events]),
        item_ids=_objects([e.item_id for e in events]),
        behavior_ids_N=np.array([ids_B[behaviors.index(e.behavior)] for e in events], dtype=np.uint8),
        event_times_N=np.array([e.event_time_s for e in events], dtype=np.float64),
        known_times_N=np.array([e.known_time_s for e in events], dtype=np.float64),
        ingest_times_N=np.array([e.ingest_time_s for e in events], dtype=np.float64),
        event_hashes_N=event_hashes([e.event_id for e in events]),
        sources=sources,
        source_index_N=np.array([place_of[e.source] for e in events], dtype=np.int32),
        offsets_N=np.array([e.offset for e in events], dtype=np.int64),
        exempt_N=exempt_N if exempt_N.any() else None,
    )


def _objects(values: list[str]) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


class MemoryOverlay:
    """Entries in one process, oldest first. Safe to use from several threads."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[str, Source, int], OverlayEntry] = OrderedDict()
        self._num_dropped = 0
        self._lock = threading.Lock()

    def add(self, entries: Sequence[OverlayEntry]) -> None:
        """Add at the end; remove the oldest where there are too many."""
        with self._lock:
            for entry in entries:
                self._entries[entry.user_key, entry.source, entry.offset] = entry
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
                self._num_dropped += 1

    def read(self, user_keys: Iterable[str]) -> dict[str, list[OverlayEntry]]:
        """Entries by user key."""
        found: dict[str, list[OverlayEntry]] = {key: [] for key in user_keys}
        with self._lock:
            for entry in self._entries.values():
                if entry.user_key in found:
                    found[entry.user_key].append(entry)
        return {key: in_order(entries) for key, entries in found.items() if entries}

    def prune(self, marks: Mapping[Source, int]) -> int:
        """Remove what the marks have passed."""
        return self._remove(lambda entry: entry.offset <= marks.get(entry.source, -1))

    def keep_topic(self, cluster_id: str, topic_id: str) -> int:
        """Remove entries of other topics."""
        return self._remove(lambda entry: (entry.source.cluster_id, entry.source.topic_id) != (cluster_id, topic_id))

    def forget(self, user_key: str, request: OverlayEntry | None = None, *, known_up_to_s: float = math.inf) -> int:
        """Remove a user's entries."""
        return self._remove(lambda entry: entry.user_key == user_key and not outlives(entry, request, known_up_to_s))

    def figures(self) -> OverlayFigures:
        """How full it is."""
        with self._lock:
            return OverlayFigures(len(self._entries), self._num_dropped)

    def close(self) -> None:
        """Nothing to let go of."""

    def _remove(self, which: "Predicate") -> int:
        with self._lock:
            gone = [place for place, entry in self._entries.items() if which(entry)]
            for place in gone:
                del self._entries[place]
        return len(gone)


class Predicate(Protocol):
    """Chooses entries."""

    def __call__(self, entry: OverlayEntry, /) -> bool: ...


def outlives(entry: OverlayEntry, request: OverlayEntry | None, known_up_to_s: float) -> bool:
    """Whether an entry stays when a user is forgotten: see Overlay.forget()."""
    if entry.known_time_s > known_up_to_s:
        return True
    if request is None:
        return False
    if entry.source == request.source:
        return entry.offset >= request.offset
    return entry.ingest_time_s > request.ingest_time_s


def in_order(entries: list[OverlayEntry]) -> list[OverlayEntry]:
    """By source and offset; of more than MAX_READ the newest by ingest time."""
    if len(entries) > MAX_READ:
        entries = sorted(entries, key=lambda entry: (entry.ingest_time_s, entry.offset))[-MAX_READ:]
    return sorted(entries, key=lambda entry: (entry.source, entry.offset))
