"""The newest events of each user, by (event time, known time, behavior, item): the same for any order of arrival.

Axes: U users, A accepted events (those of one user stand together), L newest events, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.scoring.batch import EventBatch
from mmrec.scoring.profile import FloatArray, UserProfile

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """The newest events of one profile."""

    item_ids: tuple[str, ...]
    behavior_ids_L: npt.NDArray[np.uint8]
    event_times_L: FloatArray
    known_times_L: FloatArray


def newest_events(
    profiles: Sequence[UserProfile],
    events: EventBatch,
    rows_A: IntArray,
    user_A: IntArray,
    first_U: IntArray,
    *,
    max_recent: int,
) -> list[Recent]:
    """Per user, the newest `max_recent` of the kept and the added events.

    Args:
        rows_A: Accepted rows of `events`.
        user_A: Position in `profiles` of each, ascending.
        first_U: Position in `rows_A` of each user's first.
    """
    times_A, known_A = events.event_times_N[rows_A], events.known_times_N[rows_A]
    behaviors_A = events.behavior_ids_N[rows_A]
    order = np.lexsort((behaviors_A, known_A, times_A, user_A))
    times_A, known_A, behaviors_A = times_A[order], known_A[order], behaviors_A[order]
    item_ids_A: list[str] = events.item_ids[rows_A[order]].tolist()
    # Ids are compared only where everything else is equal; such users take the slow way.
    tied_A = (np.diff(times_A) == 0) & (np.diff(known_A) == 0) & (np.diff(user_A) == 0)
    tied = set(user_A[1:][tied_A].tolist())
    ends = [*first_U.tolist()[1:], len(rows_A)]
    firsts_s = times_A[first_U].tolist()
    found: list[Recent] = []
    for user, (profile, start, end) in enumerate(zip(profiles, first_U.tolist(), ends, strict=True)):
        added = Recent(
            item_ids=tuple(item_ids_A[start:end]),
            behavior_ids_L=behaviors_A[start:end],
            event_times_L=times_A[start:end],
            known_times_L=known_A[start:end],
        )
        kept, num_kept = recent_of(profile), len(profile.recent_item_ids)
        if user in tied:
            found.append(latest(kept, added, max_recent=max_recent))
            continue
        # Kept events before the first added one stay before all; the others, few if any, are put in order with these.
        if num_kept and firsts_s[user] <= kept.event_times_L[-1]:
            num_kept = int(np.searchsorted(kept.event_times_L, firsts_s[user], side="left"))
            added = latest(_part(kept, num_kept, None), added, max_recent=max_recent)
        found.append(_joined(kept, num_kept, added, max_recent))
    return found


def _joined(kept: Recent, num_kept: int, added: Recent, max_recent: int) -> Recent:
    """The first `num_kept` of `kept` and then `added`, which are all later."""
    first = max(num_kept + len(added.item_ids) - max_recent, 0)
    if first >= num_kept:
        return _part(added, first - num_kept, None)
    return Recent(
        item_ids=kept.item_ids[first:num_kept] + added.item_ids,
        behavior_ids_L=np.concatenate((kept.behavior_ids_L[first:num_kept], added.behavior_ids_L)),
        event_times_L=np.concatenate((kept.event_times_L[first:num_kept], added.event_times_L)),
        known_times_L=np.concatenate((kept.known_times_L[first:num_kept], added.known_times_L)),
    )


def _part(recent: Recent, start: int, end: int | None) -> Recent:
    return Recent(
        item_ids=recent.item_ids[start:end],
        behavior_ids_L=recent.behavior_ids_L[start:end],
        event_times_L=recent.event_times_L[start:end],
        known_times_L=recent.known_times_L[start:end],
    )


def recent_of(profile: UserProfile) -> Recent:
    """The newest events a profile keeps."""
    return Recent(
        item_ids=profile.recent_item_ids,
        behavior_ids_L=profile.recent_behavior_ids_L,
        event_times_L=profile.recent_event_times_L,
        known_times_L=profile.recent_known_times_L,
    )


def latest(one: Recent, other: Recent, *, max_recent: int) -> Recent:
    """The definition: all of them, sorted."""
    entries = sorted(
        zip(
            [*one.event_times_L.tolist(), *other.event_times_L.tolist()],
            [*one.known_times_L.tolist(), *other.known_times_L.tolist()],
            [*one.behavior_ids_L.tolist(), *other.behavior_ids_L.tolist()],
            [*one.item_ids, *other.item_ids],
            strict=True,
        )
    )
    if not entries:
        return one
    times_s, known_s, behavior_ids, item_ids = zip(*entries[-max_recent:], strict=True)
    return Recent(
        item_ids=item_ids,
        behavior_ids_L=np.array(behavior_ids, dtype=np.uint8),
        event_times_L=np.array(times_s, dtype=np.float64),
        known_times_L=np.array(known_s, dtype=np.float64),
    )
