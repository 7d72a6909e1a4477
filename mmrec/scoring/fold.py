"""Adds accepted events to profiles: counts, totals, newest events, pruning. *apply* decides, this file sums.

Every count moves to the newest event time of its item, every total to that of its user (decay.count_events). A user
has a handful of events per batch, too few for an array to pay; so the sums of all users are made at once, and only the
parts that differ in length are put together one by one.

Axes: U users, A accepted events (those of one user stand together), S touched (user, item) slots (likewise), I items,
H half-lives, B behaviors, F = H*B, L newest events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.events.behaviors import BehaviorSet
from mmrec.scoring.affinity import affinity
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.caps import RateWindow
from mmrec.scoring.decay import count_events
from mmrec.scoring.profile import NEVER_S, FloatArray, Source, UserProfile, align_behaviors
from mmrec.scoring.recent import Recent, newest_events
from mmrec.scoring.settings import ScoringConfig

IntArray = npt.NDArray[np.int64]
IdArray = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Addition:
    """What is to be added to one profile; all additions of a fold have the same axis B."""

    profile: UserProfile
    rows: list[int]
    """Accepted events of the batch, at least one."""
    marks: dict[Source, int]
    ring_ids_R: IdArray
    ring_ingest_times_R: FloatArray
    newest_ingest_time_s: float
    rate: RateWindow | None
    """None where no cap is configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slots:
    """Which items the accepted events touch."""

    slot_A: IntArray
    new_ids: list[list[str]]
    """Per user, items the profile does not have; their slots follow those of its old items."""
    old_positions: list[list[int]]
    """Per user, positions of touched items the profile has."""
    starts: list[int]
    """First slot of each user, and the number of slots at the end."""


def fold(additions: Sequence[Addition], events: EventBatch, *, config: ScoringConfig) -> list[UserProfile]:
    """The profiles with their events counted, in the order of `additions`.

    Raises:
        ValueError: an event has a behavior id that is neither configured nor on the profiles' axis.
    """
    if not additions:
        return []
    profiles = [addition.profile for addition in additions]
    ids_B = profiles[0].behavior_ids_B
    rows_A = np.array([row for addition in additions for row in addition.rows], dtype=np.int64)
    sizes_U = np.array([len(addition.rows) for addition in additions], dtype=np.int64)
    first_U = np.cumsum(sizes_U) - sizes_U
    user_A = np.repeat(np.arange(len(additions)), sizes_U)
    times_A = events.event_times_N[rows_A]
    column_A = _columns(ids_B, events.behavior_ids_N[rows_A], config)
    slots = _touched(additions, events.item_ids[rows_A].tolist())
    counts_SF, reference_S = _count_slots(profiles, slots, times_A, column_A, config)
    totals_UHB, newest_U = count_events(
        np.array([profile.totals_HB for profile in profiles]),
        np.array([profile.newest_event_time_s for profile in profiles]),
        slot_A=user_A,
        column_A=column_A,
        times_A=times_A,
        decay_per_day_H=config.decay_per_day,
    )
    oldest_U = np.minimum.reduceat(times_A, first_U)
    recents = newest_events(profiles, events, rows_A, user_A, first_U, max_recent=config.max_recent)
    folded: list[UserProfile] = []
    for user, (addition, newest_s, oldest_s) in enumerate(
        zip(additions, newest_U.tolist(), oldest_U.tolist(), strict=True)
    ):
        items = _items(addition.profile, slots, user, counts_SF, reference_S)
        kept = kept_items(items, ids_B, newest_s, config)
        num_pruned = len(items.item_ids) - len(kept.item_ids)
        folded.append(
            _profile(
                addition,
                items=kept,
                recent=recents[user],
                totals_HB=totals_UHB[user],
                newest_s=newest_s,
                oldest_s=oldest_s,
                num_pruned=num_pruned,
            )
        )
    return folded


def _touched(additions: Sequence[Addition], item_ids_A: list[str]) -> _Slots:
    slot_A: list[int] = []
    new_ids: list[list[str]] = []
    old_positions: list[list[int]] = []
    starts = [0]
    at = 0
    for addition in additions:
        mine = item_ids_A[at : at + len(addition.rows)]
        at += len(mine)
        distinct = dict.fromkeys(mine)
        profile_ids = addition.profile.item_ids
        position_of = dict(zip(profile_ids, range(len(profile_ids)), strict=True))
        old_ids = [item_id for item_id in distinct if item_id in position_of]
        fresh_ids = [item_id for item_id in distinct if item_id not in position_of] if profile_ids else list(distinct)
        start = starts[-1]
        slot_of = dict(zip([*old_ids, *fresh_ids], range(start, start + len(distinct)), strict=True))
        slot_A += [slot_of[item_id] for item_id in mine]
        old_positions.append([position_of[item_id] for item_id in old_ids])
        new_ids.append(fresh_ids)
        starts.append(start + len(distinct))
    return _Slots(slot_A=np.array(slot_A, dtype=np.int64), new_ids=new_ids, old_positions=old_positions, starts=starts)


def _count_slots(
    profiles: Sequence[UserProfile], slots: _Slots, times_A: FloatArray, column_A: IntArray, config: ScoringConfig
) -> tuple[FloatArray, FloatArray]:
    """Counts (S, F) and reference times (S,) of the touched items."""
    num_slots = slots.starts[-1]
    counts_SHB = np.zeros((num_slots, *profiles[0].totals_HB.shape))
    reference_S = np.full(num_slots, NEVER_S)
    known = [(user, places) for user, places in enumerate(slots.old_positions) if places]
    if known:
        old_S = np.concatenate(
            [np.arange(slots.starts[user], slots.starts[user] + len(places)) for user, places in known]
        )
        reference_S[old_S] = np.concatenate([profiles[user].reference_times_I[places] for user, places in known])
        counts_SHB[old_S] = np.concatenate([profiles[user].counts_IHB[places] for user, places in known])
    counts_SHB, reference_S = count_events(
        counts_SHB,
        reference_S,
        slot_A=slots.slot_A,
        column_A=column_A,
        times_A=times_A,
        decay_per_day_H=config.decay_per_day,
    )
    return counts_SHB.reshape(num_slots, -1), reference_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """The item part of a profile."""

    item_ids: tuple[str, ...]
    reference_times_I: FloatArray
    counts_IHB: FloatArray


def _items(profile: UserProfile, slots: _Slots, user: int, counts_SF: FloatArray, reference_S: FloatArray) -> Items:
    start, end = slots.starts[user], slots.starts[user + 1]
    positions, new_ids = slots.old_positions[user], slots.new_ids[user]
    num_old, num_before, num_rates = len(positions), profile.num_items, profile.counts_IHB.shape[1]
    num_items = num_before + len(new_ids)
    counts_IF = np.empty((num_items, counts_SF.shape[1]))
    reference_I = np.empty(num_items)
    counts_IF[:num_before] = profile.counts_IHB.reshape(num_before, counts_SF.shape[1])
    reference_I[:num_before] = profile.reference_times_I
    if num_old:
        counts_IF[positions] = counts_SF[start : start + num_old]
        reference_I[positions] = reference_S[start : start + num_old]
    counts_IF[num_before:] = counts_SF[start + num_old : end]
    reference_I[num_before:] = reference_S[start + num_old : end]
    return Items(
        item_ids=(*profile.item_ids, *new_ids),
        reference_times_I=reference_I,
        counts_IHB=counts_IF.reshape(num_items, num_rates, -1),
    )


def kept_items(items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig) -> Items:
    """The items within the idle horizon before the profile's own clock, and of those the most valuable ones."""
    if config.idle_horizon_s and items.item_ids:
        fresh_I = items.reference_times_I >= newest_s - config.idle_horizon_s
        if not fresh_I.all():
            items = _chosen(items, np.flatnonzero(fresh_I).tolist())
    return most_valuable(items, ids_B, newest_s, config)


def _chosen(items: Items, places: list[int]) -> Items:
    return Items(
        item_ids=tuple([items.item_ids[place] for place in places]),
        reference_times_I=items.reference_times_I[places],
        counts_IHB=items.counts_IHB[places],
    )


def most_valuable(items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig) -> Items:
    """At most `max_items` items, those of highest affinity at the profile's own clock, in their old order.

    The order of affinities is the same at every later instant, since all decay alike; ties go to the newer item, then
    to the greater id. Behaviors that are no longer configured have no weight.
    """
    if not 0 < config.max_items < len(items.item_ids):
        return items
    affinity_I = affinity(
        align_behaviors(items.counts_IHB[:, 0, :], ids_B, config.behaviors),
        newest_s - items.reference_times_I,
        config.behaviors.weights_B,
        decay_per_day=config.decay_per_day[0],
    )
    places = range(len(items.item_ids))
    by_value = sorted(zip(affinity_I.tolist(), items.reference_times_I.tolist(), items.item_ids, places, strict=True))
    return _chosen(items, sorted(place for *_, place in by_value[-config.max_items :]))


def _profile(
    addition: Addition,
    *,
    items: Items,
    recent: Recent,
    totals_HB: FloatArray,
    newest_s: float,
    oldest_s: float,
    num_pruned: int,
) -> UserProfile:
    profile = addition.profile
    rate = addition.rate or profile
    return UserProfile(
        behavior_ids_B=profile.behavior_ids_B,
        item_ids=items.item_ids,
        reference_times_I=items.reference_times_I,
        counts_IHB=items.counts_IHB,
        recent_item_ids=recent.item_ids,
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
        ring_ids_R=addition.ring_ids_R,
        ring_ingest_times_R=addition.ring_ingest_times_R,
        window_start_s=rate.window_start_s,
        window_events=rate.window_events,
        full_windows=rate.full_windows,
        bot_until_s=rate.bot_until_s,
        merged_into=profile.merged_into,
        merged_from=profile.merged_from,
    )


def widened_axis(profile: UserProfile, behaviors: BehaviorSet) -> UserProfile:
    """The profile with every configured behavior on its axis; behaviors no longer configured stay, nothing is lost."""
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


def _columns(ids_B: npt.NDArray[np.uint8], behavior_ids_A: npt.NDArray[np.uint8], config: ScoringConfig) -> IntArray:
    """Position on axis B of each behavior id."""
    column_of = np.full(256, -1, dtype=np.int64)
    column_of[ids_B] = np.arange(len(ids_B))
    column_A: IntArray = column_of[behavior_ids_A]
    if column_A.size and column_A.min() < 0:
        known = ", ".join(f"{b.behavior_id} ({b.name})" for b in config.behaviors)
        unknown = int(behavior_ids_A[column_A < 0][0])
        raise ValueError(f"an event has behavior id {unknown}, which is not configured; known: {known}")
    return column_A
