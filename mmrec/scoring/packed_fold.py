"""Adds accepted events to profiles held as columns: the sums of mmrec/scoring/fold.py without a profile object.

Only two things are processed one user at a time: the texts of ids, and profiles beyond their bounds.

Axes: U users, A accepted events (those of one user stand together), S touched (user, item) slots (likewise), X items of
all users, R ring entries of all, H half-lives, B behaviors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.scoring.batch import EventBatch
from mmrec.scoring.decay import count_events
from mmrec.scoring.fold import Items, behavior_columns, kept_places
from mmrec.scoring.names import SEPARATOR, Names
from mmrec.scoring.packed_columns import ProfileColumns
from mmrec.scoring.profile import NEVER_S, FloatArray
from mmrec.scoring.ragged import lengthened
from mmrec.scoring.recent import RecentColumns, newest_events
from mmrec.scoring.settings import ScoringConfig

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainUsers:
    """What is to be added to U profiles, at least one event to each."""

    rows_A: IntArray
    """Accepted events of the batch."""
    user_A: IntArray
    """Position on axis U of each, ascending."""
    newest_ingest_times_U: FloatArray
    """Newest ingest time of each user's events in the batch, repeats included; later than all the profile has seen."""
    marks: list[tuple[int, bytes, bytes]]
    """Number of marks, their block and text (packing.pack_marks) of each profile as it will be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slots:
    """Which items the accepted events touch."""

    slot_A: IntArray
    user_S: IntArray
    place_S: IntArray
    """Position among the user's items; new ones follow those the profile has."""
    num_new_U: IntArray
    names: list[bytes]
    """Texts of item ids with the new ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    """The item part of the profiles."""

    sizes_U: IntArray
    reference_times_X: FloatArray
    counts_XHB: FloatArray
    names: list[bytes]
    num_pruned_U: IntArray


def fold_columns(
    before: ProfileColumns, users: PlainUsers, events: EventBatch, *, config: ScoringConfig
) -> ProfileColumns:
    """The profiles with their events counted."""
    rows_A, user_A = users.rows_A, users.user_A
    num_events_U = np.bincount(user_A, minlength=len(before))
    first_U = np.cumsum(num_events_U) - num_events_U
    times_A = events.event_times_N[rows_A]
    column_A = behavior_columns(before.axes.behavior_ids_B, events.behavior_ids_N[rows_A], config)
    totals_UHB, newest_U = count_events(
        before.totals_UHB,
        before.header_U["newest_event_time_s"],
        slot_A=user_A,
        column_A=column_A,
        times_A=times_A,
        decay_per_day_H=config.decay_per_day,
    )
    items = _counted_items(before, users, events, column_A, newest_U=newest_U, config=config)
    recent = newest_events(_recent_of(before), events, rows_A, user_A, first_U, max_recent=config.max_recent)
    ring_sizes_U, ring_times_R, ring_ids_R = _extended_rings(before, users, events, config)
    recent_names = [names.text for names in recent.names]
    header_U = before.header_U.copy()
    oldest_U = np.minimum.reduceat(times_A, first_U)
    is_new_U = header_U["num_events"] == 0
    header_U["first_event_time_s"] = np.where(is_new_U, oldest_U, np.minimum(header_U["first_event_time_s"], oldest_U))
    header_U["num_events"] += num_events_U.astype(np.uint64)
    header_U["num_pruned_items"] += items.num_pruned_U.astype(np.uint32)
    header_U["newest_event_time_s"] = newest_U
    header_U["newest_ingest_time_s"] = users.newest_ingest_times_U
    header_U["num_items"] = items.sizes_U
    header_U["num_recent"] = recent.sizes_U
    header_U["num_ring"] = ring_sizes_U
    header_U["num_marks"] = [number for number, _, _ in users.marks]
    header_U["items_size"] = [len(text) for text in items.names]
    header_U["recent_size"] = [len(text) for text in recent_names]
    return ProfileColumns(
        axes=before.axes,
        header_U=header_U,
        reference_times_X=items.reference_times_X,
        counts_XHB=items.counts_XHB,
        totals_UHB=totals_UHB,
        recent_event_times_K=recent.event_times_K,
        recent_known_times_K=recent.known_times_K,
        recent_behavior_ids_K=recent.behavior_ids_K,
        ring_times_R=ring_times_R,
        ring_ids_R=ring_ids_R,
        marks=[block for _, block, _ in users.marks],
        names=items.names,
        recent_names=recent_names,
        owners=[text for _, _, text in users.marks],
    )


def _touched(before: ProfileColumns, users: PlainUsers, events: EventBatch) -> _Slots:
    code_of: dict[str, int] = {}
    item_ids = events.item_ids[users.rows_A].tolist()
    code_A = np.fromiter(
        (code_of.setdefault(item_id, len(code_of)) for item_id in item_ids), dtype=np.int64, count=len(item_ids)
    )
    _, first_P, slot_A = np.unique(users.user_A * len(code_of) + code_A, return_index=True, return_inverse=True)
    # Slots come by user, and in the order of their first event.
    order_S = np.argsort(first_P)
    rank_P = np.empty_like(order_S)
    rank_P[order_S] = np.arange(len(order_S))
    user_S, code_S = users.user_A[first_P[order_S]], code_A[first_P[order_S]]
    needles = [b"".join((SEPARATOR, item_id.encode(), SEPARATOR)) for item_id in code_of]
    texts, codes = before.names, code_S.tolist()
    places: list[int] = []
    for user, code in zip(user_S.tolist(), codes, strict=True):
        text = texts[user]
        at = text.find(needles[code])
        places.append(text.count(SEPARATOR, 0, at) if at >= 0 else -1)
    place_S = np.array(places, dtype=np.int64)
    new_S = np.flatnonzero(place_S < 0)
    num_new_U = np.bincount(user_S[new_S], minlength=len(before))
    end_U = np.cumsum(num_new_U)
    first_U = end_U - num_new_U
    place_S[new_S] = before.sizes("num_items")[user_S[new_S]] + np.arange(len(new_S)) - first_U[user_S[new_S]]
    names = list(texts)
    added = [needles[codes[slot]][1:] for slot in new_S.tolist()]
    grown = np.flatnonzero(num_new_U)
    for user, start, end in zip(grown.tolist(), first_U[grown].tolist(), end_U[grown].tolist(), strict=True):
        names[user] = b"".join((texts[user], *added[start:end]))
    return _Slots(slot_A=rank_P[slot_A], user_S=user_S, place_S=place_S, num_new_U=num_new_U, names=names)


def _counted_items(
    before: ProfileColumns,
    users: PlainUsers,
    events: EventBatch,
    column_A: IntArray,
    *,
    newest_U: FloatArray,
    config: ScoringConfig,
) -> _Counted:
    slots = _touched(before, users, events)
    old_U = before.sizes("num_items")
    sizes_U = old_U + slots.num_new_U
    start_U = np.cumsum(sizes_U) - sizes_U
    # All items of all users in one array, each user's new ones behind the old ones.
    old_X = np.arange(len(before.reference_times_X)) + np.repeat(start_U - (np.cumsum(old_U) - old_U), old_U)
    reference_X = np.full(int(sizes_U.sum()), NEVER_S)
    counts_XHB = np.zeros((len(reference_X), *before.counts_XHB.shape[1:]))
    reference_X[old_X], counts_XHB[old_X] = before.reference_times_X, before.counts_XHB
    at_S = start_U[slots.user_S] + slots.place_S
    counts_XHB[at_S], reference_X[at_S] = count_events(
        counts_XHB[at_S],
        reference_X[at_S],
        slot_A=slots.slot_A,
        column_A=column_A,
        times_A=events.event_times_N[users.rows_A],
        decay_per_day_H=config.decay_per_day,
    )
    full_U = (sizes_U > config.max_items) if config.max_items else np.zeros(len(sizes_U), dtype=np.bool_)
    if config.idle_horizon_s:
        full_U |= np.minimum.reduceat(reference_X, start_U) < newest_U - config.idle_horizon_s
    kept_X = np.ones(len(reference_X), dtype=np.bool_)
    names = slots.names
    for user in np.flatnonzero(full_U).tolist():
        start, end = start_U[user], start_U[user] + sizes_U[user]
        ids = Names.stored(names[user], end - start)
        items = Items(names=ids, reference_times_I=reference_X[start:end], counts_IHB=counts_XHB[start:end])
        places = kept_places(items, before.axes.behavior_ids_B, float(newest_U[user]), config)
        if places is not None:
            kept_X[start:end] = False
            kept_X[start:end][places] = True
            names[user] = Names([ids.all[place] for place in places]).text
    num_pruned_U = np.zeros(len(sizes_U), dtype=np.int64)
    if not kept_X.all():
        num_pruned_U = np.add.reduceat(~kept_X, start_U, dtype=np.int64)
        reference_X, counts_XHB = reference_X[kept_X], counts_XHB[kept_X]
    return _Counted(
        sizes_U=sizes_U - num_pruned_U,
        reference_times_X=reference_X,
        counts_XHB=counts_XHB,
        names=names,
        num_pruned_U=num_pruned_U,
    )


def _recent_of(before: ProfileColumns) -> RecentColumns:
    sizes_U = before.sizes("num_recent")
    return RecentColumns(
        names=[Names.stored(text, size) for text, size in zip(before.recent_names, sizes_U.tolist(), strict=True)],
        sizes_U=sizes_U,
        behavior_ids_K=before.recent_behavior_ids_K,
        event_times_K=before.recent_event_times_K,
        known_times_K=before.recent_known_times_K,
    )


def _extended_rings(
    before: ProfileColumns, users: PlainUsers, events: EventBatch, config: ScoringConfig
) -> tuple[IntArray, FloatArray, npt.NDArray[np.uint64]]:
    """(ids of each ring, ingest times, ids) with the added ids behind, by (ingest time, id), within size and window."""
    user_A = users.user_A
    times_A, ids_A = events.ingest_times_N[users.rows_A], events.event_hashes_N[users.rows_A]
    if np.any((np.diff(times_A) <= 0) & (user_A[1:] == user_A[:-1])):
        order = np.lexsort((ids_A, times_A, user_A))
        times_A, ids_A = times_A[order], ids_A[order]
    oldest_U = users.newest_ingest_times_U - config.ring_window_s
    in_window_A = times_A >= oldest_U[user_A]
    user_R = np.repeat(np.arange(len(before)), before.sizes("num_ring"))
    found = lengthened(
        user_R,
        user_A[in_window_A],
        kept_K=before.ring_times_R >= oldest_U[user_R],
        num_users=len(before),
        max_size=config.ring_size,
    )
    return (
        np.diff(found.ends, prepend=0),
        np.concatenate((before.ring_times_R, times_A[in_window_A]))[found.take_X],
        np.concatenate((before.ring_ids_R, ids_A[in_window_A]))[found.take_X],
    )
