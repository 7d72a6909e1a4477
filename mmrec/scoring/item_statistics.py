"""Decayed counts of all users per item, over several half-lives: what popularity and trend features read.

    table |= accumulate(table, events, half_lives_days=..., behavior_ids_B=...)

Axes: N events, I items, H half-lives, B behaviors. Counts are kept as of each item's newest event and moved by
scoring.decay, so batches may come in any order and of any size and give the same sums.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import IncompatibleStateError
from mmrec.events.behaviors import BehaviorSet
from mmrec.scoring.affinity import affinity
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.decay import decay
from mmrec.scoring.profile import FloatArray, align_behaviors

POPULARITY_HALF_LIFE: Final = 1
"""Position on axis H that popularity uses, where there are that many."""
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<BBBdq")
_LN_2: Final = 0.6931471805599453


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemStatistics:
    """What all users did with one item."""

    reference_time_s: float
    """Event time of the newest event: counts are as of then."""
    behavior_ids_B: npt.NDArray[np.uint8]
    """Stable ids of the behaviors on axis B, ascending."""
    counts_HB: FloatArray
    """Decayed counts."""
    num_events: int = 0
    """Events ever counted."""


def decay_rates(half_lives_days: tuple[float, ...]) -> FloatArray:
    """Decay rates per day of half-lives in days, shape (H,)."""
    return _LN_2 / np.asarray(half_lives_days, dtype=np.float64)


def accumulate(
    table: Mapping[str, ItemStatistics],
    events: EventBatch,
    *,
    half_lives_days: tuple[float, ...],
    behavior_ids_B: npt.NDArray[np.uint8],
) -> dict[str, ItemStatistics]:
    """Add events to item statistics.

        counts_hb = sum over events of behavior b   2 ** (-(reference - event_time) / half_life_h)

    Args:
        table: Statistics so far, by item id; not changed.
        events: Any order; each is counted, so the caller hands every event over once.
        behavior_ids_B: Behaviors to count, ascending; events of others are left out.

    Returns:
        New statistics of the items that `events` touch.
    """
    index_B = np.searchsorted(behavior_ids_B, events.behavior_ids_N)
    known_N = behavior_ids_B[np.minimum(index_B, len(behavior_ids_B) - 1)] == events.behavior_ids_N
    if not known_N.any():
        return {}
    item_ids, item_N = np.unique(events.item_ids[known_N].astype(object), return_inverse=True)
    index_B, times_N = index_B[known_N], events.event_times_N[known_N]
    num_items, num_half_lives, num_behaviors = len(item_ids), len(half_lives_days), len(behavior_ids_B)
    newest_I = np.full(num_items, -np.inf)
    np.maximum.at(newest_I, item_N, times_N)
    before = [table.get(item_id) for item_id in item_ids]
    old_I = np.array([-np.inf if s is None else s.reference_time_s for s in before])
    reference_I = np.maximum(newest_I, old_I)
    cell_N = item_N * num_behaviors + index_B
    counts_IHB = np.empty((num_items, num_half_lives, num_behaviors))
    rates_H = decay_rates(half_lives_days)
    for h, rate in enumerate(rates_H):
        left_N = decay(reference_I[item_N] - times_N, decay_per_day=rate)
        counts_IHB[:, h] = np.bincount(cell_N, left_N, num_items * num_behaviors).reshape(num_items, num_behaviors)
    num_events_I = np.bincount(item_N, minlength=num_items)
    changed = {}
    for row, (item_id, old) in enumerate(zip(item_ids.tolist(), before, strict=True)):
        counts_HB = counts_IHB[row]
        num_events = int(num_events_I[row])
        if old is not None:
            kept_HB = _aligned(old, behavior_ids_B)
            counts_HB = counts_HB + kept_HB * decay(reference_I[row] - old_I[row], decay_per_day=rates_H)[:, None]
            num_events += old.num_events
        changed[item_id] = ItemStatistics(
            reference_time_s=float(reference_I[row]),
            behavior_ids_B=behavior_ids_B,
            counts_HB=counts_HB,
            num_events=num_events,
        )
    return changed


def _aligned(statistics: ItemStatistics, behavior_ids_B: npt.NDArray[np.uint8]) -> FloatArray:
    if np.array_equal(statistics.behavior_ids_B, behavior_ids_B):
        return statistics.counts_HB
    aligned_HB = np.zeros((len(statistics.counts_HB), len(behavior_ids_B)))
    _, theirs, ours = np.intersect1d(statistics.behavior_ids_B, behavior_ids_B, return_indices=True)
    aligned_HB[:, ours] = statistics.counts_HB[:, theirs]
    return aligned_HB


def popularity(
    table: Mapping[str, ItemStatistics], *, behaviors: BehaviorSet, half_lives_days: tuple[float, ...], as_of_s: float
) -> tuple[tuple[str, ...], FloatArray]:
    """Affinity of all users together for every item, most popular first.

        popularity_i = sum_b  weight_b * count_ib,  counts as of `as_of_s` at the second half-life

    Args:
        as_of_s: Epoch seconds; where an item has a newer event, that event's time is used for all.

    Returns:
        Item ids and their popularity, descending; equal ones by item id.
    """
    item_ids = sorted(table)
    if not item_ids:
        return (), np.empty(0)
    h = min(POPULARITY_HALF_LIFE, len(half_lives_days) - 1)
    counts_IB = np.array([align_behaviors(table[i].counts_HB[h], table[i].behavior_ids_B, behaviors) for i in item_ids])
    reference_I = np.array([table[item_id].reference_time_s for item_id in item_ids])
    ages_I = max(as_of_s, float(reference_I.max())) - reference_I
    popularity_I = affinity(
        counts_IB, ages_I, behaviors.weights_B, decay_per_day=float(decay_rates(half_lives_days)[h])
    )
    order = np.argsort(-popularity_I, kind="stable")
    return tuple(item_ids[row] for row in order.tolist()), popularity_I[order]


def pack_statistics(statistics: ItemStatistics) -> bytes:
    """One versioned value for the feature store."""
    num_half_lives, num_behaviors = statistics.counts_HB.shape
    return b"".join(
        (
            _HEADER.pack(_VERSION, num_half_lives, num_behaviors, statistics.reference_time_s, statistics.num_events),
            statistics.behavior_ids_B.astype("u1").tobytes(),
            statistics.counts_HB.astype("<f8").tobytes(),
        )
    )


def unpack_statistics(packed: bytes) -> ItemStatistics:
    """The statistics that pack_statistics wrote.

    Raises:
        IncompatibleStateError: other version, or not as long as its header says.
    """
    if len(packed) < _HEADER.size or packed[0] != _VERSION:
        version = packed[0] if packed else "none"
        raise IncompatibleStateError(f"item statistics have version {version}; this code reads version {_VERSION}")
    _, num_half_lives, num_behaviors, reference_time_s, num_events = _HEADER.unpack_from(packed)
    if len(packed) != _HEADER.size + num_behaviors + 8 * num_half_lives * num_behaviors:
        raise IncompatibleStateError(f"item statistics have {len(packed)} bytes, which is not what their header says")
    counts = np.frombuffer(packed, "<f8", num_half_lives * num_behaviors, _HEADER.size + num_behaviors)
    return ItemStatistics(
        reference_time_s=reference_time_s,
        behavior_ids_B=np.frombuffer(packed, np.uint8, num_behaviors, _HEADER.size),
        counts_HB=counts.astype(np.float64).reshape(num_half_lives, num_behaviors),
        num_events=num_events,
    )
