"""The ring of recent event ids, which finds duplicates made by producers.

An id is remembered while it is among the `size` newest ids by (ingest time, id) and at most `window_s` older than the
newest ingest time seen. That is a property of the set of counted ids, not of the order in which they came, so the ring
is the same however the events were cut into batches.

Axis: R ring, oldest first.
"""

from bisect import bisect_right, insort

import numpy as np
import numpy.typing as npt

from mmrec.scoring.profile import FloatArray

IdArray = npt.NDArray[np.uint64]


def _bounded(
    ids_R: IdArray, times_R: FloatArray, *, newest_s: float, size: int, window_s: float
) -> tuple[IdArray, FloatArray]:
    """Entries within size and window; the given ones are ordered by time."""
    first = max(len(times_R) - size, 0)
    if first < len(times_R) and times_R[first] < newest_s - window_s:
        first = max(first, int(np.searchsorted(times_R, newest_s - window_s, side="left")))
    return (ids_R, times_R) if first == 0 else (ids_R[first:], times_R[first:])


def united(
    one: tuple[IdArray, FloatArray],
    other: tuple[IdArray, FloatArray],
    *,
    newest_s: float,
    size: int,
    window_s: float,
) -> tuple[IdArray, FloatArray]:
    """Two stored rings, (ids, ingest times) each, as one within size and window; an id of both keeps its later time."""
    ids_R, times_R = np.concatenate((one[0], other[0])), np.concatenate((one[1], other[1]))
    order = np.lexsort((ids_R, times_R))
    ids_R, times_R = ids_R[order], times_R[order]
    _, last = np.unique(ids_R[::-1], return_index=True)
    kept = np.sort(len(ids_R) - 1 - last)
    ids_R, times_R = ids_R[kept], times_R[kept]
    return _bounded(ids_R, times_R, newest_s=newest_s, size=size, window_s=window_s)


class IdRing:
    """Ids of one user while a batch is applied: what was stored, and what this batch adds."""

    __slots__ = (
        "_added",
        "_by_time",
        "_ids_R",
        "_last_time_s",
        "_latest",
        "_newest_s",
        "_size",
        "_sorted",
        "_stored",
        "_times_R",
        "_window_s",
    )

    def __init__(self, ids_R: IdArray, times_R: FloatArray, *, newest_s: float, size: int, window_s: float) -> None:
        self._ids_R = ids_R
        self._times_R = times_R
        self._stored = set(ids_R.tolist())
        self._added: list[tuple[int, float]] = []
        self._newest_s = newest_s
        self._last_time_s = float(times_R[-1]) if len(times_R) else -np.inf
        self._sorted = True
        self._size = size
        self._by_time: list[tuple[float, int]] | None = None
        self._latest: dict[int, float] = {}
        self._window_s = window_s

    def holds(self, event_hash: int, ingest_time_s: float) -> bool:
        """Whether the id is remembered when an event of this ingest time comes; a repeat moves the window, too."""
        newest_s = max(ingest_time_s, self._newest_s)
        if event_hash in self._stored and self._remembered(event_hash, newest_s):
            self._newest_s = newest_s
            return True
        return False

    def add(self, event_hash: int, ingest_time_s: float) -> None:
        """Remember an id that is not held."""
        self._newest_s = max(ingest_time_s, self._newest_s)
        self._stored.add(event_hash)
        self._added.append((event_hash, ingest_time_s))
        if self._by_time is not None:
            insort(self._by_time, (ingest_time_s, event_hash))
            self._latest[event_hash] = max(ingest_time_s, self._latest.get(event_hash, -np.inf))
        # Equal times are sorted by id at the end, so only a strictly later time keeps the order.
        if ingest_time_s <= self._last_time_s:
            self._sorted = False
        self._last_time_s = ingest_time_s

    def _remembered(self, event_hash: int, newest_s: float) -> bool:
        """Rare path: the id is known, but may have fallen out of window or size since."""
        if self._by_time is None:  # sorted once per batch; from here on additions keep it sorted
            entries = [*zip(self._ids_R.tolist(), self._times_R.tolist(), strict=True), *self._added]
            self._by_time = sorted((time_s, known) for known, time_s in entries)
            self._latest = {known: time_s for time_s, known in self._by_time}
        time_s = self._latest[event_hash]
        if time_s < newest_s - self._window_s:
            return False
        num_newer = len(self._by_time) - bisect_right(self._by_time, (time_s, event_hash))
        return num_newer < self._size

    def arrays(self) -> tuple[IdArray, FloatArray]:
        """(ids, ingest times) to store, oldest first, within size and window."""
        ids_R, times_R = self._ids_R, self._times_R
        if self._added:
            ids_R = np.concatenate((ids_R, np.array([known for known, _ in self._added], dtype=np.uint64)))
            times_R = np.concatenate((times_R, np.array([time for _, time in self._added], dtype=np.float64)))
            if not self._sorted:
                order = np.lexsort((ids_R, times_R))
                ids_R, times_R = ids_R[order], times_R[order]
        return _bounded(ids_R, times_R, newest_s=self._newest_s, size=self._size, window_s=self._window_s)
