"""Statistics of any item as of any instant, from events known strictly before it.

One row per event holds the item's decayed counts with that event counted in, so a question is one binary search.

    reference_k = max(reference_{k-1}, event time_k)
    counts_k    = counts_{k-1} * decay(reference_k - reference_{k-1}) + decay(reference_k - event time_k)

Axes: E events ordered by (item, known time), I items, N asked items, H half-lives, B behaviors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.scoring.decay import decay
from mmrec.scoring.profile import NEVER_S
from mmrec.training.known_before import num_known_before

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemHistory:
    """Decayed counts of every item after each of its events."""

    known_times_E: FloatArray
    """Of the whole log, ascending: gives an instant its position in the log."""
    keys_E: IntArray
    """item row * (E + 1) + position of the event in the log, ascending."""
    counts_EHB: FloatArray
    """Counts with the event counted in, aligned with `keys_E`."""
    reference_times_E: FloatArray
    """Instants `counts_EHB` are as of."""
    decay_per_day_H: FloatArray

    def as_of(self, rows_N: npt.NDArray[np.integer], time_s: float) -> tuple[FloatArray, FloatArray]:
        """(counts_NHB, reference_times_N) of items from events with known_time_s < `time_s`.

        Counts are 0 and the reference time NEVER_S where nothing was known.
        """
        num_known = int(num_known_before(self.known_times_E, time_s))
        stride = len(self.known_times_E) + 1
        rows = np.asarray(rows_N, dtype=np.int64)
        found = np.searchsorted(self.keys_E, rows * stride + num_known, side="left") - 1
        hit = (found >= 0) & (rows >= 0)
        hit &= self.keys_E[np.maximum(found, 0)] // stride == rows if len(self.keys_E) else False
        counts_NHB = np.zeros((len(rows), *self.counts_EHB.shape[1:]))
        reference_times_N = np.full(len(rows), NEVER_S)
        counts_NHB[hit] = self.counts_EHB[found[hit]]
        reference_times_N[hit] = self.reference_times_E[found[hit]]
        return counts_NHB, reference_times_N

    def num_known(self, rows_N: npt.NDArray[np.integer], time_s: float) -> IntArray:
        """How many events of each item (row < 0: of none) were known strictly before `time_s`, shape (N,)."""
        stride = len(self.known_times_E) + 1
        first_N = np.asarray(rows_N, dtype=np.int64) * stride
        end_N = first_N + int(num_known_before(self.known_times_E, time_s))
        num_N: IntArray = np.searchsorted(self.keys_E, end_N) - np.searchsorted(self.keys_E, first_N)
        return np.where(first_N >= 0, num_N, 0)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Columns by name, for a folder of examples."""
        return {f"item_history.{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "ItemHistory":
        """What arrays() gave."""
        return cls(**{f.name: arrays[f"item_history.{f.name}"] for f in fields(cls)})


def item_history(
    *,
    item_rows_E: npt.NDArray[np.integer],
    behavior_index_E: npt.NDArray[np.integer],
    event_times_E: FloatArray,
    known_times_E: FloatArray,
    num_behaviors: int,
    decay_per_day_H: FloatArray,
) -> ItemHistory:
    """The history of all items.

    Args:
        item_rows_E: Item of each event, >= 0, events in any order.
        behavior_index_E: Position on axis B of each event's behavior.
        event_times_E: When it happened.
        known_times_E: When it was known.
        num_behaviors: Length of axis B.
        decay_per_day_H: Rate of each half-life.
    """
    num_events = len(item_rows_E)
    by_known = np.lexsort((event_times_E, known_times_E))
    position_E = np.empty(num_events, dtype=np.int64)
    position_E[by_known] = np.arange(num_events)
    keys = np.asarray(item_rows_E, dtype=np.int64) * (num_events + 1) + position_E
    order = np.argsort(keys)
    items_E, times_E = np.asarray(item_rows_E)[order], event_times_E[order]
    behaviors_E = np.asarray(behavior_index_E, dtype=np.int64)[order]
    counts_EHB = np.zeros((num_events, len(decay_per_day_H), num_behaviors))
    starts = np.flatnonzero(np.append(True, items_E[1:] != items_E[:-1])) if num_events else np.zeros(0, dtype=np.int64)
    lengths = np.diff(np.append(starts, num_events))
    references_E = times_E.copy()
    # One step for the k-th event of every item at once; items with many events come last in `starts`.
    by_length = np.argsort(lengths, kind="stable")
    starts, lengths = starts[by_length], lengths[by_length]
    for k in range(int(lengths.max(initial=0))):
        here = starts[np.searchsorted(lengths, k, side="right") :] + k
        if k:
            references_E[here] = np.maximum(references_E[here - 1], times_E[here])
            ages = references_E[here] - references_E[here - 1]
            counts_EHB[here] = counts_EHB[here - 1] * decay(ages[:, None], decay_per_day=decay_per_day_H)[:, :, None]
        added = decay((references_E[here] - times_E[here])[:, None], decay_per_day=decay_per_day_H)
        counts_EHB[here, :, behaviors_E[here]] += added
    return ItemHistory(
        known_times_E=known_times_E[by_known],
        keys_E=keys[order],
        counts_EHB=counts_EHB,
        reference_times_E=references_E,
        decay_per_day_H=np.asarray(decay_per_day_H, dtype=np.float64),
    )
