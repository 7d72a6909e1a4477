"""The newest events of each user, by (event time, known time, behavior, item): the same for any order of arrival.

Axes: U users, K kept events, A accepted events (those of one user stand together), M the added and the kept ones that
are no older, X all that stay, L newest events of one user, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.scoring.batch import EventBatch
from mmrec.scoring.names import Names
from mmrec.scoring.profile import FloatArray, UserProfile
from mmrec.scoring.ragged import lengthened

IntArray = npt.NDArray[np.int64]


@dataclass(kw_only=True, slots=True)
class Recent:
    """The newest events of one profile."""

    names: Names
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
    num_users = len(profiles)
    # Kept events before a user's first added one stay before all; the others, few if any, are put in order with these.
    user_K = np.repeat(np.arange(num_users), [len(profile.recent_names) for profile in profiles])
    times_K = np.concatenate([profile.recent_event_times_L for profile in profiles])
    known_K = np.concatenate([profile.recent_known_times_L for profile in profiles])
    behaviors_K = np.concatenate([profile.recent_behavior_ids_L for profile in profiles])
    late_K = times_K >= np.minimum.reduceat(events.event_times_N[rows_A], first_U)[user_K]
    rows_K = np.flatnonzero(late_K)
    num_late = np.bincount(user_K[rows_K], minlength=num_users).tolist()
    late_ids = [
        item_id
        for p, number in zip(profiles, num_late, strict=True)
        if number
        for item_id in p.recent_names.part(len(p.recent_names) - number, len(p.recent_names)).all
    ]
    user_M = np.concatenate((user_K[rows_K], user_A))
    times_M = np.concatenate((times_K[rows_K], events.event_times_N[rows_A]))
    known_M = np.concatenate((known_K[rows_K], events.known_times_N[rows_A]))
    behaviors_M = np.concatenate((behaviors_K[rows_K], events.behavior_ids_N[rows_A]))
    order = np.lexsort((behaviors_M, known_M, times_M, user_M))
    user_M, times_M, known_M, behaviors_M = user_M[order], times_M[order], known_M[order], behaviors_M[order]
    item_ids_M = [*late_ids, *events.item_ids[rows_A].tolist()]
    item_ids_M = [item_ids_M[row] for row in order.tolist()]
    _settle_ties(item_ids_M, user_M, times_M, known_M, behaviors_M)
    found = lengthened(user_K, user_M, kept_K=~late_K, num_users=num_users, max_size=max_recent)
    times_X = np.concatenate((times_K, times_M))[found.take_X]
    known_X = np.concatenate((known_K, known_M))[found.take_X]
    behaviors_X = np.concatenate((behaviors_K, behaviors_M))[found.take_X]
    end_M = np.cumsum(np.bincount(user_M, minlength=num_users)).tolist()
    recents: list[Recent] = []
    for profile, late, first, last, start, end in zip(
        profiles, num_late, [0, *end_M], end_M, found.starts, found.ends, strict=False
    ):
        names = profile.recent_names.part(0, len(profile.recent_names) - late) if late else profile.recent_names
        names = names.plus(tuple(item_ids_M[first:last]))
        recents.append(
            Recent(
                names=names.part(len(names) - (end - start), len(names)),
                behavior_ids_L=behaviors_X[start:end],
                event_times_L=times_X[start:end],
                known_times_L=known_X[start:end],
            )
        )
    return recents


def _settle_ties(
    item_ids_M: list[str],
    user_M: IntArray,
    times_M: FloatArray,
    known_M: FloatArray,
    behaviors_M: npt.NDArray[np.uint8],
) -> None:
    """Put ids in order, in place, where everything else is equal."""
    tied_M = np.diff(user_M) == 0
    for values in (times_M, known_M, behaviors_M):
        tied_M &= values[1:] == values[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], tied_M, [False])).astype(np.int8))).tolist()
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        item_ids_M[first : last + 1] = sorted(item_ids_M[first : last + 1])


def recent_of(profile: UserProfile) -> Recent:
    """The newest events a profile keeps."""
    return Recent(
        names=profile.recent_names,
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
            [*one.names.all, *other.names.all],
            strict=True,
        )
    )
    if not entries:
        return one
    times_s, known_s, behavior_ids, item_ids = zip(*entries[-max_recent:], strict=True)
    return Recent(
        names=Names(item_ids),
        behavior_ids_L=np.array(behavior_ids, dtype=np.uint8),
        event_times_L=np.array(times_s, dtype=np.float64),
        known_times_L=np.array(known_s, dtype=np.float64),
    )
