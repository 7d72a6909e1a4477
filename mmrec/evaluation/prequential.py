"""Test, then learn (prequential, Dawid, JRSS A 1984; METHODS M34): each event is predicted from what was known just
before it, then becomes known.

The system and decayed popularity are asked for the same events with the same items excluded; hits are paired, and the
interval of their difference is drawn over users. The half-life of the baseline is chosen on an earlier part of the
stream, never on the part that is reported. Lists are drawn from the whole catalogue, without sampled negatives (METHODS
M35).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.evaluation.baselines import DecayedPopularity
from mmrec.evaluation.intervals import Interval, clustered_interval
from mmrec.evaluation.metrics import hits_at_k, ndcg_at_k, rank_of
from mmrec.scoring.decay import LN_2
from mmrec.scoring.plain_sum import LedgerEvent

HALF_LIFE_CHOICES_DAYS = (1.0, 7.0, 30.0, 90.0, 365.0, 3_650.0)


@dataclass(frozen=True, kw_only=True)
class PrequentialConfig:
    """What is asked, and when."""

    target_behaviors: tuple[str, ...]
    """Events of these behaviors are predicted."""
    list_length: int = 10
    exclude_seen: bool = True
    """Items the user had any event on are excluded for both, and such events are not asked."""
    weights: tuple[tuple[str, float], ...] = ()
    """Popularity counts an event of a behavior so much; 1 where not named."""
    seed: int = 1
    """Of the interval's draws."""


@dataclass(frozen=True, kw_only=True)
class PrequentialResult:
    """Paired hit rates of the system and of decayed popularity."""

    num_events: int
    """Events asked, of users seen before."""
    num_users: int
    hr_at_10: float
    hr_at_10_popularity: float
    ndcg_at_10: float
    ndcg_at_10_popularity: float
    difference: Interval
    """hr_at_10 minus hr_at_10_popularity, paired, users drawn."""
    popularity_half_life_days: float
    """Chosen on the part of the stream before the reported one."""


Recommend = Callable[[LedgerEvent, frozenset[str]], Sequence[str]]
"""List for the event's user just before its event time; the set holds items to exclude."""


def tune_half_life(
    events: Iterable[LedgerEvent], *, config: PrequentialConfig, choices_days: Sequence[float] = HALF_LIFE_CHOICES_DAYS
) -> float:
    """Half-life in days with which decayed popularity hits most target events in the second half of `events`.

    Args:
        events: In the order of time; the part before the one that is reported.
        config: As for the report.
        choices_days: Half-lives to try; the first of equals wins.
    """
    ordered = list(events)
    hits = dict.fromkeys(choices_days, 0.0)
    weights = dict(config.weights)
    for days in choices_days:
        popularity = DecayedPopularity(decay_per_day=LN_2 / days)
        seen: dict[str, set[str]] = defaultdict(set)
        for position, event in enumerate(ordered):
            if 2 * position >= len(ordered) and _is_asked(event, seen, config):
                hidden = seen[event.user_key] if config.exclude_seen else set()
                hits[days] += event.item_id in popularity.top(config.list_length, excluded=hidden)
            seen[event.user_key].add(event.item_id)
            popularity.add(event.item_id, event_time_s=event.event_time_s, weight=weights.get(event.behavior, 1.0))
    return max(choices_days, key=lambda days: hits[days])


def prequential(
    past: Iterable[LedgerEvent],
    live: Iterable[LedgerEvent],
    *,
    recommend: Recommend,
    learn: Callable[[LedgerEvent], None],
    config: PrequentialConfig,
    half_life_days: float,
    max_asked: int | None = None,
) -> PrequentialResult:
    """Go through `live` in order: ask for the list, compare, then let the event become known.

    Args:
        past: Events the system knows already, in the order of time.
        live: Events to come, in the order of time; the first ones of a user are learned, not asked.
        recommend: The system.
        learn: Hands an event to the system after it was asked for.
        config: What is asked.
        half_life_days: Of the baseline; see tune_half_life().
        max_asked: Stop asking after so many; the rest is only learned. None asks for all.

    Raises:
        ValueError: no event could be asked.
    """
    weights = dict(config.weights)
    popularity = DecayedPopularity(decay_per_day=LN_2 / half_life_days)
    seen: dict[str, set[str]] = defaultdict(set)
    for event in past:
        seen[event.user_key].add(event.item_id)
        popularity.add(event.item_id, event_time_s=event.event_time_s, weight=weights.get(event.behavior, 1.0))
    users: list[str] = []
    ranks: list[int] = []
    ranks_popularity: list[int] = []
    for event in live:
        if _is_asked(event, seen, config) and (max_asked is None or len(users) < max_asked):
            hidden = frozenset(seen[event.user_key]) if config.exclude_seen else frozenset()
            ranked = [item_id for item_id in recommend(event, hidden) if item_id not in hidden]
            users.append(event.user_key)
            ranks.append(rank_of(event.item_id, ranked[: config.list_length]))
            ranks_popularity.append(rank_of(event.item_id, popularity.top(config.list_length, excluded=hidden)))
        seen[event.user_key].add(event.item_id)
        popularity.add(event.item_id, event_time_s=event.event_time_s, weight=weights.get(event.behavior, 1.0))
        learn(event)
    if not users:
        raise ValueError(f"no event of {config.target_behaviors} by a user seen before; nothing was measured")
    system, baseline = np.array(ranks), np.array(ranks_popularity)
    k = config.list_length
    difference = hits_at_k(system, k) - hits_at_k(baseline, k)
    return PrequentialResult(
        num_events=len(users),
        num_users=len(set(users)),
        hr_at_10=float(hits_at_k(system, k).mean()),
        hr_at_10_popularity=float(hits_at_k(baseline, k).mean()),
        ndcg_at_10=float(ndcg_at_k(system, k).mean()),
        ndcg_at_10_popularity=float(ndcg_at_k(baseline, k).mean()),
        difference=clustered_interval(difference, users, seed=config.seed),
        popularity_half_life_days=half_life_days,
    )


def _is_asked(event: LedgerEvent, seen: dict[str, set[str]], config: PrequentialConfig) -> bool:
    known = seen.get(event.user_key)
    return (
        event.behavior in config.target_behaviors
        and bool(known)
        and not (config.exclude_seen and known is not None and event.item_id in known)
    )
