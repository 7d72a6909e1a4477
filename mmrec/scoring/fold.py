"""Adds accepted events to profiles: counts, totals, newest events, pruning. *apply* decides, this file sums.

Every count moves to the newest event time of its item, every total to that of its user (decay.count_events). A user
has only a few events per batch, too few for array operations to pay. So the sums of all users are computed together,
and only the parts that differ in length are assembled one by one.

Axes: U users, A accepted events (those of one user stand together), S touched (user, item) slots (likewise), I items,
X items of all users, H half-lives, B behaviors, L newest events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.scoring.as_of import stored_affinity
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.caps import RateWindow
from mmrec.scoring.decay import count_events
from mmrec.scoring.names import Names
from mmrec.scoring.profile import NEVER_S, FloatArray, UserProfile, align_behaviors
from mmrec.scoring.recent import Recent, columns_of, each_of, newest_events
from mmrec.scoring.ring import IdArray
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source

IntArray = npt.NDArray[np.int64]


CHUNK = 4_096
"""Profiles whose arrays are joined at a time: bounds the memory of a batch."""


@dataclass(kw_only=True, slots=True)
class Addition:
    """What is to be added to one profile; all additions of a fold have the same axis B."""

    profile: UserProfile
    rows: list[int]
    """Accepted events of the batch, at least one."""
    marks: dict[Source, int]
    ring: tuple[IdArray, FloatArray]
    """The ring, with the ids of these events."""
    newest_ingest_time_s: float
    rate: RateWindow | None
    """None where no cap is configured."""


@dataclass(kw_only=True, slots=True)
class Items:
    """The item part of a profile."""

    names: Names
    reference_times_I: FloatArray
    counts_IHB: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slots:
    """Which items the accepted events touch."""

    slot_A: IntArray
    place_S: list[int]
    """Position among the user's items of each slot; new items follow those the profile has."""
    new_ids: list[tuple[str, ...]]
    """Per user, items the profile does not have."""
    sizes: list[int]
    """Slots of each user."""


def fold(additions: Sequence[Addition], events: EventBatch, *, config: ScoringConfig) -> list[UserProfile]:
    """The profiles with their events counted, in the order of `additions`.

    The resulting profiles share memory with each other: pack what is to be kept for long.

    Raises:
        ValueError: an event has a behavior id that is neither configured nor on the profiles' axis.
    """
    return [
        profile
        for start in range(0, len(additions), CHUNK)
        for profile in _folded(additions[start : start + CHUNK], events, config)
    ]


def _folded(additions: Sequence[Addition], events: EventBatch, config: ScoringConfig) -> list[UserProfile]:
    profiles = [addition.profile for addition in additions]
    ids_B = profiles[0].behavior_ids_B
    rows_A = np.fromiter(chain.from_iterable([addition.rows for addition in additions]), dtype=np.int64)
    sizes_U = np.array([len(addition.rows) for addition in additions], dtype=np.int64)
    first_U = np.cumsum(sizes_U) - sizes_U
    user_A = np.repeat(np.arange(len(additions)), sizes_U)
    times_A = events.event_times_N[rows_A]
    column_A = behavior_columns(ids_B, events.behavior_ids_N[rows_A], config)
    totals_HB = profiles[0].totals_HB
    totals_UHB, newest_U = count_events(
        np.concatenate([profile.totals_HB for profile in profiles]).reshape(-1, *totals_HB.shape),
        np.array([profile.newest_event_time_s for profile in profiles]),
        slot_A=user_A,
        column_A=column_A,
        times_A=times_A,
        decay_per_day_H=config.decay_per_day,
    )
    newest = newest_U.tolist()
    slots = _touched(additions, events.item_ids[rows_A].tolist())
    items = _counted_items(profiles, slots, column_A, times_A, newest=newest, config=config)
    recents = each_of(
        newest_events(columns_of(profiles), events, rows_A, user_A, first_U, max_recent=config.max_recent)
    )
    oldest = np.minimum.reduceat(times_A, first_U).tolist()
    return [
        _profile(
            addition,
            items=kept,
            num_pruned=num_pruned,
            recent=recent,
            totals_HB=totals_HB,
            newest_s=newest_s,
            oldest_s=oldest_s,
        )
        for addition, (kept, num_pruned), recent, totals_HB, newest_s, oldest_s in zip(
            additions, items, recents, totals_UHB, newest, oldest, strict=True
        )
    ]


def _touched(additions: Sequence[Addition], item_ids_A: list[str]) -> _Slots:
    slot_A: list[int] = []
    place_S: list[int] = []
    new_ids: list[tuple[str, ...]] = []
    sizes: list[int] = []
    at = 0
    for addition in additions:
        names = addition.profile.names
        num_items = len(names)
        places: Mapping[str, int] | None = None
        if len(addition.rows) > _FEW:
            places = dict(zip(names.all, range(num_items), strict=True))
        slot_of: dict[str, int] = {}
        fresh: list[str] = []
        for item_id in item_ids_A[at : at + len(addition.rows)]:
            slot = slot_of.get(item_id)
            if slot is None:
                slot = slot_of[item_id] = len(place_S)
                place = names.position(item_id) if places is None else places.get(item_id, -1)
                if place < 0:
                    place = num_items + len(fresh)
                    fresh.append(item_id)
                place_S.append(place)
            slot_A.append(slot)
        at += len(addition.rows)
        new_ids.append(tuple(fresh))
        sizes.append(len(slot_of))
    return _Slots(slot_A=np.array(slot_A, dtype=np.int64), place_S=place_S, new_ids=new_ids, sizes=sizes)


_FEW = 40
"""Up to this number of events, searching the text of the ids is cheaper than making a dictionary of them."""


def _counted_items(
    profiles: Sequence[UserProfile],
    slots: _Slots,
    column_A: IntArray,
    times_A: FloatArray,
    *,
    newest: list[float],
    config: ScoringConfig,
) -> list[tuple[Items, int]]:
    """Per profile, the items it keeps and how many it lost to its bounds."""
    num_new = [len(ids) for ids in slots.new_ids]
    # All items of all users in one array, each user's new ones behind the old ones.
    nothing_HB = np.zeros((max(num_new), *profiles[0].totals_HB.shape))
    never = np.full(max(num_new), NEVER_S)
    reference_parts: list[FloatArray] = []
    counts_parts: list[FloatArray] = []
    for profile, number in zip(profiles, num_new, strict=True):
        reference_parts.append(profile.reference_times_I)
        counts_parts.append(profile.counts_IHB)
        if number:
            reference_parts.append(never[:number])
            counts_parts.append(nothing_HB[:number])
    reference_X, counts_XHB = np.concatenate(reference_parts), np.concatenate(counts_parts)
    size_U = np.array([profile.num_items for profile in profiles], dtype=np.int64) + num_new
    end_U = np.cumsum(size_U)
    start_U = end_U - size_U
    at_S = np.repeat(start_U, slots.sizes) + np.array(slots.place_S, dtype=np.int64)
    counts_XHB[at_S], reference_X[at_S] = count_events(
        counts_XHB[at_S],
        reference_X[at_S],
        slot_A=slots.slot_A,
        column_A=column_A,
        times_A=times_A,
        decay_per_day_H=config.decay_per_day,
    )
    full_U = (size_U > config.max_items) if config.max_items else np.zeros(len(size_U), dtype=np.bool_)
    if config.idle_horizon_s:
        full_U |= np.minimum.reduceat(reference_X, start_U) < np.array(newest) - config.idle_horizon_s
    found: list[tuple[Items, int]] = []
    for profile, new_ids, start, end, full, newest_s in zip(
        profiles, slots.new_ids, start_U.tolist(), end_U.tolist(), full_U.tolist(), newest, strict=True
    ):
        items = Items(
            names=profile.names.plus(new_ids),
            reference_times_I=reference_X[start:end],
            counts_IHB=counts_XHB[start:end],
        )
        kept = kept_items(items, profile.behavior_ids_B, newest_s, config) if full else items
        found.append((kept, end - start - len(kept.names)))
    return found


def kept_items(items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig) -> Items:
    """The items within the idle horizon before the profile's own clock, and of those the most valuable ones."""
    places = kept_places(items, ids_B, newest_s, config)
    return items if places is None else _chosen(items, places)


def kept_places(items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig) -> list[int] | None:
    """Positions of the items that kept_items() keeps, in the same order; None where it keeps all."""
    fresh: list[int] | None = None
    if config.idle_horizon_s and len(items.names):
        fresh_I = items.reference_times_I >= newest_s - config.idle_horizon_s
        if not fresh_I.all():
            fresh = np.flatnonzero(fresh_I).tolist()
            items = _chosen(items, fresh)
    valuable = _most_valuable(items, ids_B, newest_s, config)
    return fresh if valuable is None else valuable if fresh is None else [fresh[place] for place in valuable]


def _chosen(items: Items, places: list[int]) -> Items:
    item_ids = items.names.all
    return Items(
        names=Names([item_ids[place] for place in places]),
        reference_times_I=items.reference_times_I[places],
        counts_IHB=items.counts_IHB[places],
    )


def _most_valuable(
    items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig
) -> list[int] | None:
    """Positions of at most `max_items` items, those of highest affinity at the profile's own clock; None for all.

    Items that the user said not to want come before all others, so that they stay off the lists. The order of
    affinities is the same at every later instant, since all decay alike; ties go to the newer item, then to the
    greater id. Behaviors that are no longer configured have no weight.
    """
    num_dropped = len(items.names) - config.max_items
    if not config.max_items or num_dropped <= 0:
        return None
    ages_I = newest_s - items.reference_times_I
    affinity_I = stored_affinity(items.counts_IHB[:, 0, :], ids_B, ages_I, config=config)
    if config.behaviors.unwanting:
        counts_IB = align_behaviors(items.counts_IHB[:, 0, :], ids_B, config.behaviors)
        affinity_I = np.where((counts_IB[:, config.behaviors.unwanting] > 0).any(axis=1), np.inf, affinity_I)
    last_dropped = np.partition(affinity_I, num_dropped - 1)[num_dropped - 1]
    kept_I = affinity_I > last_dropped
    tied = np.flatnonzero(affinity_I == last_dropped).tolist()
    tied.sort(key=lambda place: (items.reference_times_I[place], items.names.all[place]))
    kept_I[tied[len(tied) + int(np.sum(kept_I)) - config.max_items :]] = True
    places: list[int] = np.flatnonzero(kept_I).tolist()
    return places


def _profile(
    addition: Addition,
    *,
    items: Items,
    num_pruned: int,
    recent: Recent,
    totals_HB: FloatArray,
    newest_s: float,
    oldest_s: float,
) -> UserProfile:
    profile = addition.profile
    rate = addition.rate or profile
    return UserProfile(
        behavior_ids_B=profile.behavior_ids_B,
        names=items.names,
        reference_times_I=items.reference_times_I,
        counts_IHB=items.counts_IHB,
        recent_names=recent.names,
        recent_behavior_ids_L=recent.behavior_ids_L,
        recent_event_times_L=recent.event_times_L,
        recent_known_times_L=recent.known_times_L,
        totals_HB=totals_HB,
        num_events=profile.num_events + len(addition.rows),
        num_pruned_items=profile.num_pruned_items + num_pruned,
        first_event_time_s=min(profile.first_event_time_s, oldest_s) if profile.num_events else oldest_s,
        newest_event_time_s=newest_s,
        newest_ingest_time_s=addition.newest_ingest_time_s,
        marks=addition.marks,
        ring_ids_R=addition.ring[0],
        ring_ingest_times_R=addition.ring[1],
        window_start_s=rate.window_start_s,
        window_events=rate.window_events,
        full_windows=rate.full_windows,
        bot_until_s=rate.bot_until_s,
        merged_into=profile.merged_into,
        merged_from=profile.merged_from,
    )


def widened_axis(profile: UserProfile, behaviors: BehaviorSet) -> UserProfile:
    """The profile with every configured behavior on its axis; behaviors that are no longer configured stay."""
    if profile.behavior_ids_B is behaviors.ids_B or profile.behavior_ids_B.tobytes() == behaviors.ids_B.tobytes():
        return profile
    ids_B = np.union1d(profile.behavior_ids_B, behaviors.ids_B).astype(np.uint8)
    if np.array_equal(ids_B, profile.behavior_ids_B):
        return profile
    kept = np.searchsorted(ids_B, profile.behavior_ids_B)
    counts_IHB = np.zeros((*profile.counts_IHB.shape[:2], len(ids_B)))
    counts_IHB[:, :, kept] = profile.counts_IHB
    totals_HB = np.zeros((profile.totals_HB.shape[0], len(ids_B)))
    totals_HB[:, kept] = profile.totals_HB
    fields: dict[str, Any] = {name: getattr(profile, name) for name in profile.__dataclass_fields__}
    return UserProfile(**{**fields, "behavior_ids_B": ids_B, "counts_IHB": counts_IHB, "totals_HB": totals_HB})


def behavior_columns(
    ids_B: npt.NDArray[np.uint8], behavior_ids_A: npt.NDArray[np.uint8], config: ScoringConfig
) -> IntArray:
    """Position on axis B of each behavior id."""
    column_of = np.full(256, -1, dtype=np.int64)
    column_of[ids_B] = np.arange(len(ids_B))
    column_A: IntArray = column_of[behavior_ids_A]
    if column_A.size and column_A.min() < 0:
        known = ", ".join(f"{b.behavior_id} ({b.name})" for b in config.behaviors)
        unknown = int(behavior_ids_A[column_A < 0][0])
        raise ValueError(f"an event has behavior id {unknown}, which is not configured; known: {known}")
    return column_A
