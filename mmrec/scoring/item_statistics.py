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
from mmrec.scoring.affinity import affinity
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import LN_2, count_events, decay
from mmrec.scoring.profile import NEVER_S, FloatArray, align_behaviors, align_columns

POPULARITY_HALF_LIFE: Final = 1
"""Position on axis H that popularity uses, where there is more than one half-life."""
FORMAT: Final = 1
"""Version of the packed form; another number in stored bytes is an IncompatibleStateError."""
_HEADER: Final = struct.Struct("<BBBdq")


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
    return LN_2 / np.asarray(half_lives_days, dtype=np.float64)


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
        events: Any order; each is counted, so the caller must pass every event only once.
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
    before = [table.get(item_id) for item_id in item_ids]
    old_IHB = np.zeros((len(item_ids), len(half_lives_days), len(behavior_ids_B)))
    old_times_I = np.full(len(item_ids), NEVER_S)
    num_events_I = np.bincount(item_N, minlength=len(item_ids))
    for row, old in enumerate(before):
        if old is not None:
            old_IHB[row] = align_columns(old.counts_HB, old.behavior_ids_B, behavior_ids_B)
            old_times_I[row] = old.reference_time_s
            num_events_I[row] += old.num_events
    counts_IHB, reference_I = count_events(
        old_IHB,
        old_times_I,
        slot_A=item_N,
        column_A=index_B,
        times_A=times_N,
        decay_per_day_H=decay_rates(half_lives_days),
    )
    return {
        item_id: ItemStatistics(
            reference_time_s=reference_s,
            behavior_ids_B=behavior_ids_B,
            counts_HB=counts_HB.copy(),  # a view would keep the counts of all items in memory
            num_events=num_events,
        )
        for item_id, reference_s, counts_HB, num_events in zip(
            item_ids.tolist(), reference_I.tolist(), counts_IHB, num_events_I.tolist(), strict=True
        )
    }


def popularities(
    counts_IHB: FloatArray, reference_times_I: FloatArray, *, weights_B: FloatArray, decay_per_day_H: FloatArray
) -> FloatArray:
    """Affinity of all users together for I items, as of the newest of their counts; later all shrink alike.

        popularity_i = sum_b  weight_b * count_ib,  counts at the second half-life

    Args:
        reference_times_I: Instants the counts are as of; not finite where nothing was counted, which gives 0.
        weights_B: Affinity that one event of each behavior adds.
        decay_per_day_H: Rate of each half-life.
    """
    h = min(POPULARITY_HALF_LIFE, len(decay_per_day_H) - 1)
    counted_I = np.isfinite(reference_times_I)
    popularity_I = np.zeros(len(reference_times_I))
    if counted_I.any():
        ages = reference_times_I[counted_I].max() - reference_times_I[counted_I]
        popularity_I[counted_I] = affinity(
            counts_IHB[counted_I, h], ages, weights_B, decay_per_day=float(decay_per_day_H[h])
        )
    return popularity_I


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
    reference_I = np.array([table[item_id].reference_time_s for item_id in item_ids])
    rates_H = decay_rates(half_lives_days)
    h = min(POPULARITY_HALF_LIFE, len(rates_H) - 1)
    popularity_I = popularities(
        np.array([align_behaviors(table[i].counts_HB, table[i].behavior_ids_B, behaviors) for i in item_ids]),
        reference_I,
        weights_B=behaviors.weights_B,
        decay_per_day_H=rates_H,
    ) * decay(max(as_of_s - reference_I.max(), 0.0), decay_per_day=rates_H[h])
    order = np.argsort(-popularity_I, kind="stable")
    return tuple(item_ids[row] for row in order.tolist()), popularity_I[order]


def pack_statistics(statistics: ItemStatistics) -> bytes:
    """One versioned value for the feature store."""
    num_half_lives, num_behaviors = statistics.counts_HB.shape
    return b"".join(
        (
            _HEADER.pack(FORMAT, num_half_lives, num_behaviors, statistics.reference_time_s, statistics.num_events),
            statistics.behavior_ids_B.astype("u1").tobytes(),
            statistics.counts_HB.astype("<f8").tobytes(),
        )
    )


def unpack_statistics(packed: bytes) -> ItemStatistics:
    """The statistics that pack_statistics wrote.

    Raises:
        IncompatibleStateError: another version, or not as long as its header says.
    """
    if len(packed) < _HEADER.size or packed[0] != FORMAT:
        version = packed[0] if packed else "none"
        raise IncompatibleStateError(f"item statistics have version {version}; this code reads version {FORMAT}")
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
