"""The scoring matrix the slow and obvious way: one sum over all events (METHODS M3).

    S[u, i] at t = sum over events e of u on i:  weight(e) * exp(-decay_per_day * (t - event_time(e)))

    where behaviors cancel b:  its part is weight(b) * max(0, decayed number of b - decayed number of those)

This is the reference that profiles, statistics and audits are compared with. It is never used to serve.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from mmrec.scoring.affinity import affinity
from mmrec.scoring.behaviors import BehaviorSet, Undo
from mmrec.scoring.decay import decay
from mmrec.scoring.profile import UserProfile


@dataclass(frozen=True, kw_only=True)
class LedgerEvent:
    """What a producer remembers of one event it sent."""

    event_id: str
    user_key: str
    item_id: str
    behavior: str
    event_time_s: float


def plain_sum(
    events: Iterable[LedgerEvent], *, behaviors: BehaviorSet, decay_per_day: float, as_of_s: float
) -> dict[tuple[str, str], float]:
    """S as of `as_of_s`, by (user key, item id).

    Args:
        events: In any order; an event id that a user repeats counts once.
        behaviors: The configured set with its weights.
        decay_per_day: lambda, per day.
        as_of_s: Epoch seconds, not before the newest event.
    """
    seen: set[tuple[str, str]] = set()
    terms: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        identity = (event.user_key, event.event_id)
        if identity in seen:
            continue
        seen.add(identity)
        behaviors.index(event.behavior)  # refuses what is not configured
        left = float(decay(as_of_s - event.event_time_s, decay_per_day=decay_per_day))
        terms[event.user_key, event.item_id][event.behavior].append(left)
    return {pair: _affinity(parts, behaviors) for pair, parts in terms.items()}


def _affinity(parts: dict[str, list[float]], behaviors: BehaviorSet) -> float:
    total: list[float] = []
    for behavior in behaviors:
        own = parts.get(behavior.name, [])
        undone = [
            left
            for other in behaviors
            if other.undo_of == behavior.name and other.undo == Undo.CANCEL
            for left in parts.get(other.name, [])
        ]
        if undone:
            total.append(behavior.weight * max(0.0, math.fsum([*own, *(-left for left in undone)])))
        else:
            total += [behavior.weight * left for left in own]
    return math.fsum(total)


def relative_errors(
    profile: UserProfile,
    expected: dict[str, float],
    *,
    behaviors: BehaviorSet,
    decay_per_day: float,
    as_of_s: float,
) -> dict[str, float]:
    """Relative error of each item's affinity in a profile against the plain sum.

    Args:
        profile: Profile with pruning off, or the caller compares only items that were never pruned.
        expected: S of this user by item id, as of `as_of_s`.

    Returns:
        |profile - expected| / |expected| by item id; inf for an item the profile lacks or has beyond the expected.
    """
    affinities = affinity(
        profile.counts(behaviors)[:, 0, :],
        as_of_s - profile.reference_times_I,
        behaviors.weights_B,
        decay_per_day=decay_per_day,
    )
    kept = dict(zip(profile.item_ids, affinities.tolist(), strict=True))
    errors = dict.fromkeys(set(kept) ^ set(expected), math.inf)
    for item_id in set(kept) & set(expected):
        difference = abs(kept[item_id] - expected[item_id])
        errors[item_id] = difference / abs(expected[item_id]) if expected[item_id] else difference
    return errors
