"""Adds accepted events to a profile: counts, totals, newest events, pruning. *apply* decides, this file sums.

Every count moves to the newest event time of its item, whichever order the events came in:

    reference' = max(reference, event times)
    count'     = count * decay(reference' - reference) + sum over events of decay(reference' - event time)

The loops run over plain floats: a user has a handful of events per batch, too few for an array to pay.
Axes: I items, H half-lives, B behaviors, L newest events.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.events.behaviors import BehaviorSet
from mmrec.scoring.affinity import affinity
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.decay import decay
from mmrec.scoring.profile import FloatArray, UserProfile
from mmrec.scoring.settings import ScoringConfig


class EventLists:
    """A batch as Python lists, N long each, so that no array is touched per event."""

    __slots__ = ("behavior_ids", "event_times", "hashes", "ingest_times", "item_ids", "known_times")

    def __init__(self, events: EventBatch) -> None:
        self.item_ids: list[str] = events.item_ids.tolist()
        self.behavior_ids: list[int] = events.behavior_ids_N.tolist()
        self.event_times: list[float] = events.event_times_N.tolist()
        self.known_times: list[float] = events.known_times_N.tolist()
        self.ingest_times: list[float] = events.ingest_times_N.tolist()
        self.hashes: list[int] = events.event_hashes_N.tolist()


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """The item part of a profile."""

    item_ids: tuple[str, ...]
    reference_times_I: FloatArray
    counts_IHB: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """The newest events of a profile."""

    item_ids: tuple[str, ...]
    behavior_ids_L: npt.NDArray[np.uint8]
    event_times_L: FloatArray
    known_times_L: FloatArray


def widened_axis(profile: UserProfile, behaviors: BehaviorSet) -> UserProfile:
    """The profile with every configured behavior on its axis; behaviors no longer configured stay, nothing is lost."""
    if profile.behavior_ids_B is behaviors.ids_B or np.array_equal(profile.behavior_ids_B, behaviors.ids_B):
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


def count_items(
    profile: UserProfile, rows: list[int], columns_B: list[int], events: EventLists, rates_H: tuple[float, ...]
) -> Items:
    """Items and counts with the events of `rows` added.

    Args:
        rows: Accepted events of this user.
        columns_B: Position on the profile's axis B of each of them.
    """
    num_rates, num_behaviors = profile.totals_HB.shape
    touched: dict[str, list[tuple[float, int]]] = {}
    for row, column in zip(rows, columns_B, strict=True):
        item_id = events.item_ids[row]
        entry = (events.event_times[row], column)
        if item_id in touched:
            touched[item_id].append(entry)
        else:
            touched[item_id] = [entry]
    position_of = dict(zip(profile.item_ids, range(profile.num_items), strict=True))
    old_ids = [item_id for item_id in touched if item_id in position_of]
    new_ids = [item_id for item_id in touched if item_id not in position_of]
    positions = [position_of[item_id] for item_id in old_ids]
    width = num_rates * num_behaviors
    counts_IF = profile.counts_IHB.reshape(profile.num_items, width)
    old_counts = counts_IF[positions].tolist() if positions else []
    old_times = profile.reference_times_I[positions].tolist() if positions else []
    counts_by_item: list[list[float]] = []
    references: list[float] = []
    for position, item_id in enumerate([*old_ids, *new_ids]):
        entries = touched[item_id]
        reference_s = max(entries)[0] if len(entries) > 1 else entries[0][0]
        if position < len(old_ids):
            counts, old_s = old_counts[position], old_times[position]
            if old_s > reference_s:
                reference_s = old_s
            elif old_s < reference_s:
                for rate_index, rate in enumerate(rates_H):
                    left = decay(reference_s - old_s, decay_per_day=rate)
                    for place in range(rate_index * num_behaviors, (rate_index + 1) * num_behaviors):
                        counts[place] *= left
        else:
            counts = [0.0] * width
        for time_s, column in entries:
            age_s = reference_s - time_s
            for rate_index, rate in enumerate(rates_H):
                counts[rate_index * num_behaviors + column] += decay(age_s, decay_per_day=rate) if age_s else 1.0
        counts_by_item.append(counts)
        references.append(reference_s)
    num_old = len(old_ids)
    new_counts_IF, new_times_I = counts_IF, profile.reference_times_I
    if num_old:
        new_counts_IF, new_times_I = counts_IF.copy(), profile.reference_times_I.copy()
        new_counts_IF[positions] = counts_by_item[:num_old]
        new_times_I[positions] = references[:num_old]
    if new_ids:
        new_counts_IF = np.concatenate((new_counts_IF, np.array(counts_by_item[num_old:], dtype=np.float64)))
        new_times_I = np.concatenate((new_times_I, np.array(references[num_old:], dtype=np.float64)))
    return Items(
        item_ids=(*profile.item_ids, *new_ids),
        reference_times_I=new_times_I,
        counts_IHB=new_counts_IF.reshape(len(new_times_I), num_rates, num_behaviors),
    )


def count_totals(
    profile: UserProfile, times_s: list[float], columns_B: list[int], newest_s: float, rates_H: tuple[float, ...]
) -> FloatArray:
    """Totals over all items with the events added, as of `newest_s`, shape (H, B)."""
    totals: list[list[float]] = profile.totals_HB.tolist()
    for rate, counts in zip(rates_H, totals, strict=True):
        if profile.num_events and newest_s > profile.newest_event_time_s:
            left = decay(newest_s - profile.newest_event_time_s, decay_per_day=rate)
            counts[:] = [count * left for count in counts]
        for time_s, column in zip(times_s, columns_B, strict=True):
            counts[column] += decay(newest_s - time_s, decay_per_day=rate)
    return np.array(totals, dtype=np.float64)


def newest_events(profile: UserProfile, rows: list[int], events: EventLists, max_recent: int) -> Recent:
    """The newest `max_recent` events by (event time, known time, behavior, item): the same for any order of arrival."""
    entries = sorted(
        [
            (events.event_times[row], events.known_times[row], events.behavior_ids[row], events.item_ids[row])
            for row in rows
        ]
    )
    # Mostly every new event is later than every kept one, and the kept arrays need no sorting.
    in_order = not profile.recent_item_ids or entries[0][0] > profile.recent_event_times_L[-1]
    if not in_order:
        entries += zip(
            profile.recent_event_times_L.tolist(),
            profile.recent_known_times_L.tolist(),
            profile.recent_behavior_ids_L.tolist(),
            profile.recent_item_ids,
            strict=True,
        )
        entries.sort()
    times_s, known_s, behavior_ids, item_ids = zip(*entries[-max_recent:], strict=True)
    behavior_ids_L = np.array(behavior_ids, dtype=np.uint8)
    times_L, known_L = np.array(times_s, dtype=np.float64), np.array(known_s, dtype=np.float64)
    num_kept = min(max_recent - len(item_ids), len(profile.recent_item_ids)) if in_order else 0
    if num_kept:
        item_ids = profile.recent_item_ids[-num_kept:] + item_ids
        behavior_ids_L = np.concatenate((profile.recent_behavior_ids_L[-num_kept:], behavior_ids_L))
        times_L = np.concatenate((profile.recent_event_times_L[-num_kept:], times_L))
        known_L = np.concatenate((profile.recent_known_times_L[-num_kept:], known_L))
    return Recent(item_ids=item_ids, behavior_ids_L=behavior_ids_L, event_times_L=times_L, known_times_L=known_L)


def most_valuable(items: Items, ids_B: npt.NDArray[np.uint8], newest_s: float, config: ScoringConfig) -> Items:
    """At most `max_items` items, those of highest affinity at the profile's own clock, in their old order.

    Order of affinities is the same at every later instant, since all decay alike; ties go to the newer item, then to
    the greater id. Behaviors that are no longer configured have no weight.
    """
    if not 0 < config.max_items < len(items.item_ids):
        return items
    weights_B = np.zeros(len(ids_B))
    weights_B[np.isin(ids_B, config.behaviors.ids_B)] = config.behaviors.weights_B[
        np.isin(config.behaviors.ids_B, ids_B)
    ]
    affinity_I = affinity(
        items.counts_IHB[:, 0, :],
        newest_s - items.reference_times_I,
        weights_B,
        decay_per_day=config.decay_per_day[0],
    )
    by_value = sorted(
        zip(
            affinity_I.tolist(),
            items.reference_times_I.tolist(),
            items.item_ids,
            range(len(items.item_ids)),
            strict=True,
        )
    )
    kept = sorted(place for _, _, _, place in by_value[-config.max_items :])
    return Items(
        item_ids=tuple([items.item_ids[place] for place in kept]),
        reference_times_I=items.reference_times_I[kept],
        counts_IHB=items.counts_IHB[kept],
    )
