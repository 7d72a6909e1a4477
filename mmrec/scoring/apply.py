"""*apply*: profiles + events -> profiles, with a verdict per event. The one way an event enters a profile.

Requests call this function. Stream, rebuild, recovery and training work on packed profiles and call its form for
thousands of them, mmrec/scoring/apply_packed.py, which leaves the less simple users to this one. What both promise:

- The counts of a profile are the plain sum over its accepted events (METHODS M3, M4), whatever the order of arrival,
  the partitioning and the batch boundaries, to rounding.
- An event at or below the profile's mark for its source changes nothing; an id still in the ring counts once.
- Items that no event touches keep their numbers bit for bit.
- Events of a merged anonymous profile count for the user who was logged in at their known time.
- An event of a forgotten user changes nothing if it was known at or before the instant of forgetting.

Only pruning looks at a batch as a whole: it happens at its end, by affinity at the profile's own clock.

Axes: N events, I items, H half-lives, B behaviors, L newest events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import IncompatibleStateError
from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.caps import RateWindow
from mmrec.scoring.fold import Addition, fold, widened_axis
from mmrec.scoring.identity import history_of
from mmrec.scoring.marks import moved as marks_moved
from mmrec.scoring.profile import NEVER_S, UserProfile, empty_profile
from mmrec.scoring.ring import IdRing
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import LoginHistory
from mmrec.scoring.verdicts import Verdict

ACCEPTED, DUPLICATE, ALREADY_APPLIED = int(Verdict.ACCEPTED), int(Verdict.DUPLICATE), int(Verdict.ALREADY_APPLIED)
FORGOTTEN = int(Verdict.FORGOTTEN)
NOBODY: Final[Mapping[str, float]] = MappingProxyType({})
"""Nobody asked to be forgotten."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Applied:
    """What became of a batch."""

    profiles: dict[str, UserProfile]
    """Only those that changed; a moved mark is a change."""
    verdicts_N: npt.NDArray[np.uint8]
    """Verdict of each event, in the order they were given."""


def apply(
    profiles: Mapping[str, UserProfile],
    events: EventBatch,
    *,
    config: ScoringConfig,
    forgotten: Mapping[str, float] = NOBODY,
    with_caps: bool = True,
) -> Applied:
    """Apply events to profiles.

    Args:
        profiles: What is stored, by profile key; users without a profile are absent. The profiles that an anonymous
            one is merged into must be here, too (identity.targets_to_read).
        events: Any order; events of one source are taken in the order of their offsets, those without a source last.
        config: Behaviors, decay rates, bounds.
        forgotten: Instants of forgetting by profile key, known time.
        with_caps: Whether rate cap, bot rule and ring may refuse events. False where the events were accepted before
            (rebuild, recovery): in another order, the ring could take an id that came again after its window for a
            repeat. Rate windows and ring are updated either way.

    Returns:
        The changed profiles and each event's verdict.

    Raises:
        IncompatibleStateError: a profile has another number of half-lives than the configuration; rebuild it.
        ValueError: an event has a behavior id that is neither configured nor known to the profile.
    """
    columns = _Columns(events)
    targets = {key: history for key, profile in profiles.items() if (history := history_of(profile)) is not None}
    blank = empty_profile(behaviors=config.behaviors, num_half_lives=len(config.decay_per_day))
    changed: dict[str, UserProfile] = {}
    additions: dict[bytes, dict[str, Addition]] = {}
    groups = _by_user(events, targets, forgotten, columns)
    for user_key, rows in groups.items():
        profile = widened_axis(profiles.get(user_key, blank), config.behaviors)
        _check_half_lives(profile, config)
        judged = _judge(profile, rows, columns, config, with_caps)
        if judged is None:
            continue
        if judged.rows:
            additions.setdefault(judged.profile.behavior_ids_B.tobytes(), {})[user_key] = judged
        else:
            changed[user_key] = _marked(judged)
    for alike in additions.values():
        changed.update(zip(alike, fold(list(alike.values()), events, config=config), strict=True))
    return Applied(profiles=changed, verdicts_N=np.array(columns.verdicts, dtype=np.uint8))


class _Columns:
    """What verdicts need of the batch, as Python lists, so that no array is touched per event."""

    __slots__ = ("exempt", "hashes", "ingest_times", "offsets", "source_index", "sources", "verdicts")

    def __init__(self, events: EventBatch) -> None:
        self.ingest_times: list[float] = events.ingest_times_N.tolist()
        self.hashes: list[int] = events.event_hashes_N.tolist()
        self.source_index: list[int] = events.source_index_N.tolist()
        self.offsets: list[int] = events.offsets_N.tolist()
        self.exempt: set[int] = set() if events.exempt_N is None else set(np.flatnonzero(events.exempt_N).tolist())
        self.sources = events.sources
        self.verdicts = [ACCEPTED] * len(events)


def _by_user(
    events: EventBatch, targets: Mapping[str, LoginHistory], forgotten: Mapping[str, float], columns: _Columns
) -> dict[str, list[int]]:
    """Rows of each profile, in the order of (source, offset), events without a source last; none of the forgotten."""
    known_times = events.known_times_N.tolist() if forgotten or targets else []
    ranks = {source: rank for rank, source in enumerate(sorted(events.sources))}
    rank_of_index = np.array([ranks[source] for source in events.sources] + [len(ranks)], dtype=np.int64)
    source_rank_N = rank_of_index[events.source_index_N]  # NO_SOURCE is -1: the last entry
    order = np.lexsort((events.offsets_N, source_rank_N))
    groups: dict[str, list[int]] = {}
    for user_key, row in zip(events.user_keys[order].tolist(), order.tolist(), strict=True):
        history = targets.get(user_key) if targets else None
        target = user_key if history is None else history.owner_at(known_times[row])
        # The event's own key decides: forgetting a user also forgets the anonymous keys merged into it so far. A later
        # login must not make the verdict depend on which of two partitions is read first.
        if forgotten and known_times[row] <= forgotten.get(user_key, NEVER_S):
            columns.verdicts[row] = FORGOTTEN
            continue
        group = groups.get(target)
        if group is None:
            groups[target] = [row]
        else:
            group.append(row)
    return groups


def _judge(
    profile: UserProfile, rows: list[int], columns: _Columns, config: ScoringConfig, with_caps: bool
) -> Addition | None:
    """Verdicts of one user's rows, written to `columns`; None where nothing changes, marks included."""
    marks, sources, offsets, verdicts = profile.marks, columns.sources, columns.offsets, columns.verdicts
    ring = IdRing(
        profile.ring_ids_R,
        profile.ring_ingest_times_R,
        newest_s=profile.newest_ingest_time_s,
        size=config.ring_size,
        window_s=config.ring_window_s,
    )
    rate = RateWindow(profile, config) if config.cap_events else None
    accepted: list[int] = []
    newest_ingest_s = profile.newest_ingest_time_s
    index, mark, moved = NO_SOURCE, -1, False
    for row in rows:
        # Rows of one source stand together, so its mark is looked up once.
        if columns.source_index[row] != index:
            if moved:
                marks = marks_moved(marks, sources[index], mark)
            index, moved = columns.source_index[row], False
            mark = marks.get(sources[index], -1) if index != NO_SOURCE else -1
        if index != NO_SOURCE:
            offset = offsets[row]
            if offset <= mark:
                verdicts[row] = ALREADY_APPLIED
                continue
            mark, moved = offset, True
        ingest_s = columns.ingest_times[row]
        if with_caps and ring.holds(columns.hashes[row], ingest_s):
            verdicts[row] = DUPLICATE
            newest_ingest_s = max(newest_ingest_s, ingest_s)
            continue
        if rate is not None and row not in columns.exempt:
            if with_caps and (verdict := rate.verdict(ingest_s)) != ACCEPTED:
                verdicts[row] = verdict
                continue
            rate.count(ingest_s)
        newest_ingest_s = max(newest_ingest_s, ingest_s)
        ring.add(columns.hashes[row], ingest_s)
        accepted.append(row)
    if moved:
        marks = marks_moved(marks, sources[index], mark)
    if not accepted and marks is profile.marks:
        return None
    return Addition(
        profile=profile,
        rows=accepted,
        marks=marks,
        ring=ring.arrays(),
        newest_ingest_time_s=newest_ingest_s,
        rate=rate,
    )


def _marked(judged: Addition) -> UserProfile:
    """The profile with marks and ring moved: none of its rows was accepted."""
    return replace(
        judged.profile,
        marks=judged.marks,
        newest_ingest_time_s=judged.newest_ingest_time_s,
        ring_ids_R=judged.ring[0],
        ring_ingest_times_R=judged.ring[1],
    )


def _check_half_lives(profile: UserProfile, config: ScoringConfig) -> None:
    if profile.totals_HB.shape[0] != len(config.decay_per_day):
        raise IncompatibleStateError(
            f"a profile holds {profile.totals_HB.shape[0]} half-lives, the configuration has "
            f"{len(config.decay_per_day)}; rebuild the profiles from the log"
        )
