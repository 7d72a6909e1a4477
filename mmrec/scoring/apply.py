"""*apply*: profiles + events -> profiles, with a verdict per event. The one way an event enters a profile.

Stream, backfill, rebuild and request call this function. What it promises:

- The counts of a profile are the plain sum over its accepted events (METHODS M3, M4), whatever the order of arrival,
  the partitioning and the batch boundaries, to rounding.
- An event at or below the profile's mark for its source changes nothing; an id still in the ring counts once.
- Items that no event touches keep their numbers bit for bit.

Only pruning looks at a batch as a whole: it happens at its end, by affinity at the profile's own clock.

Axes: N events, I items, H half-lives, B behaviors, L newest events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmrec.errors import IncompatibleStateError
from mmrec.events.verdicts import Verdict
from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.fold import EventLists, count_items, count_totals, most_valuable, newest_events, widened_axis
from mmrec.scoring.profile import Source, UserProfile, empty_profile
from mmrec.scoring.ring import IdRing
from mmrec.scoring.settings import ScoringConfig

ACCEPTED, DUPLICATE, ALREADY_APPLIED = int(Verdict.ACCEPTED), int(Verdict.DUPLICATE), int(Verdict.ALREADY_APPLIED)


@dataclass(frozen=True, kw_only=True, eq=False)
class Applied:
    """What became of a batch."""

    profiles: dict[str, UserProfile]
    """Only those that changed, a moved mark included."""
    verdicts_N: npt.NDArray[np.uint8]
    """Verdict of each event, in the order they were given."""


def apply(profiles: Mapping[str, UserProfile], events: EventBatch, *, config: ScoringConfig) -> Applied:
    """Bring events into profiles.

    Args:
        profiles: What is stored, by profile key; users without a profile are absent.
        events: Any order; events of one source are taken in the order of their offsets, those without a source last.
        config: Behaviors, decay rates, bounds.

    Returns:
        The changed profiles and each event's verdict.

    Raises:
        IncompatibleStateError: a profile has another number of half-lives than the configuration; rebuild it.
        ValueError: an event has a behavior id that is neither configured nor known to the profile.
    """
    lists = EventLists(events)
    offsets: list[int] = events.offsets_N.tolist()
    source_index: list[int] = events.source_index_N.tolist()
    verdicts = [ACCEPTED] * len(events)
    blank = empty_profile(behaviors=config.behaviors, num_half_lives=len(config.decay_per_day))
    changed: dict[str, UserProfile] = {}
    for user_key, rows in _by_user(events).items():
        profile = profiles.get(user_key, blank)
        _check_half_lives(profile, config)
        judged = _judge(
            profile,
            rows,
            lists=lists,
            sources=events.sources,
            source_index=source_index,
            offsets=offsets,
            verdicts=verdicts,
            config=config,
        )
        if judged is not None:
            changed[user_key] = _fold(profile, judged, lists, config)
    return Applied(profiles=changed, verdicts_N=np.array(verdicts, dtype=np.uint8))


def _by_user(events: EventBatch) -> dict[str, list[int]]:
    """Rows of each user, in the order of (source, offset), events without a source last."""
    ranks = {source: rank for rank, source in enumerate(sorted(events.sources))}
    rank_of_index = np.array([ranks[source] for source in events.sources] + [len(ranks)], dtype=np.int64)
    source_rank_N = rank_of_index[events.source_index_N]  # NO_SOURCE is -1: the last entry
    order = np.lexsort((events.offsets_N, source_rank_N))
    groups: dict[str, list[int]] = {}
    for user_key, row in zip(events.user_keys[order].tolist(), order.tolist(), strict=True):
        group = groups.get(user_key)
        if group is None:
            groups[user_key] = [row]
        else:
            group.append(row)
    return groups


@dataclass(kw_only=True, slots=True)
class _Judged:
    accepted: list[int]
    marks: dict[Source, int]
    ring: IdRing
    newest_ingest_s: float


def _judge(
    profile: UserProfile,
    rows: list[int],
    *,
    lists: EventLists,
    sources: tuple[Source, ...],
    source_index: list[int],
    offsets: list[int],
    verdicts: list[int],
    config: ScoringConfig,
) -> _Judged | None:
    """Verdicts of one user's rows, written to `verdicts`; None where nothing changes, marks included."""
    marks = profile.marks
    ring = IdRing(
        profile.ring_ids_R,
        profile.ring_ingest_times_R,
        newest_s=profile.newest_ingest_time_s,
        size=config.ring_size,
        window_s=config.ring_window_s,
    )
    accepted: list[int] = []
    newest_ingest_s = profile.newest_ingest_time_s
    index, mark, moved = NO_SOURCE, -1, False
    for row in rows:
        # Rows of one source stand together, so its mark is looked up once.
        if source_index[row] != index:
            if moved:
                marks = {**marks, sources[index]: mark}
            index, moved = source_index[row], False
            mark = marks.get(sources[index], -1) if index != NO_SOURCE else -1
        if index != NO_SOURCE:
            offset = offsets[row]
            if offset <= mark:
                verdicts[row] = ALREADY_APPLIED
                continue
            mark, moved = offset, True
        ingest_s = lists.ingest_times[row]
        newest_ingest_s = max(newest_ingest_s, ingest_s)
        if ring.seen(lists.hashes[row], ingest_s):
            verdicts[row] = DUPLICATE
        else:
            accepted.append(row)
    if moved:
        marks = {**marks, sources[index]: mark}
    if not accepted and marks is profile.marks:
        return None
    return _Judged(accepted=accepted, marks=marks, ring=ring, newest_ingest_s=newest_ingest_s)


def _fold(profile: UserProfile, judged: _Judged, lists: EventLists, config: ScoringConfig) -> UserProfile:
    """The profile with the accepted rows counted and marks, ring and ingest time moved."""
    ring_ids_R, ring_times_R = judged.ring.arrays()
    rows = judged.accepted
    if not rows:
        return replace(
            profile,
            marks=judged.marks,
            newest_ingest_time_s=judged.newest_ingest_s,
            ring_ids_R=ring_ids_R,
            ring_ingest_times_R=ring_times_R,
        )
    profile = widened_axis(profile, config.behaviors)
    ids_B = profile.behavior_ids_B
    columns_B = _columns(ids_B, [lists.behavior_ids[row] for row in rows], config)
    times_s = [lists.event_times[row] for row in rows]
    newest_s = max(profile.newest_event_time_s, *times_s) if profile.num_events else max(times_s)
    touched = count_items(profile, rows, columns_B, lists, config.decay_per_day)
    items = most_valuable(touched, ids_B, newest_s, config)
    recent = newest_events(profile, rows, lists, config.max_recent)
    return UserProfile(
        behavior_ids_B=ids_B,
        item_ids=items.item_ids,
        reference_times_I=items.reference_times_I,
        counts_IHB=items.counts_IHB,
        recent_item_ids=recent.item_ids,
        recent_behavior_ids_L=recent.behavior_ids_L,
        recent_event_times_L=recent.event_times_L,
        recent_known_times_L=recent.known_times_L,
        totals_HB=count_totals(profile, times_s, columns_B, newest_s, config.decay_per_day),
        num_events=profile.num_events + len(rows),
        num_pruned_items=profile.num_pruned_items + len(touched.item_ids) - len(items.item_ids),
        first_event_time_s=min(profile.first_event_time_s, *times_s) if profile.num_events else min(times_s),
        newest_event_time_s=newest_s,
        newest_ingest_time_s=judged.newest_ingest_s,
        marks=judged.marks,
        ring_ids_R=ring_ids_R,
        ring_ingest_times_R=ring_times_R,
    )


def _columns(ids_B: npt.NDArray[np.uint8], behavior_ids: list[int], config: ScoringConfig) -> list[int]:
    """Position on axis B of each behavior id."""
    column_of = {behavior_id: column for column, behavior_id in enumerate(ids_B.tolist())}
    try:
        return [column_of[behavior_id] for behavior_id in behavior_ids]
    except KeyError as error:
        known = ", ".join(f"{b.behavior_id} ({b.name})" for b in config.behaviors)
        raise ValueError(f"an event has behavior id {error}, which is not configured; known: {known}") from None


def _check_half_lives(profile: UserProfile, config: ScoringConfig) -> None:
    if profile.totals_HB.shape[0] != len(config.decay_per_day):
        raise IncompatibleStateError(
            f"a profile holds {profile.totals_HB.shape[0]} half-lives, the configuration has "
            f"{len(config.decay_per_day)}; rebuild the profiles from the log"
        )
