"""The newest events of each user, by (event time, known time, behavior, item): the same for any order of arrival.

Axes: U users, K kept events of all (those of one user are adjacent), A accepted events (likewise), M the added events
and the kept ones that are no older, L newest events of one user, oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

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


@dataclass(frozen=True, kw_only=True, slots=True)
class RecentColumns:
    """The newest events of U profiles; those of one profile are adjacent, oldest first."""

    names: list[Names]
    sizes_U: IntArray
    behavior_ids_K: npt.NDArray[np.uint8]
    event_times_K: FloatArray
    known_times_K: FloatArray


def columns_of(profiles: Sequence[UserProfile]) -> RecentColumns:
    """The newest events that profiles keep."""
    return RecentColumns(
        names=[profile.recent_names for profile in profiles],
        sizes_U=np.array([len(profile.recent_names) for profile in profiles], dtype=np.int64),
        behavior_ids_K=np.concatenate([profile.recent_behavior_ids_L for profile in profiles]),
        event_times_K=np.concatenate([profile.recent_event_times_L for profile in profiles]),
        known_times_K=np.concatenate([profile.recent_known_times_L for profile in profiles]),
    )


def newest_events(
    kept: RecentColumns,
    events: EventBatch,
    rows_A: IntArray,
    user_A: IntArray,
    first_U: IntArray,
    *,
    max_recent: int,
) -> RecentColumns:
    """Per user, the newest `max_recent` of the kept and the added events.

    Args:
        rows_A: Accepted rows of `events`.
        user_A: Position on axis U of each, ascending.
        first_U: Position in `rows_A` of each user's first.
    """
    num_users = len(kept.names)
    # Kept events older than a user's first added one stay in front; the others are sorted together with the added ones.
    user_K = np.repeat(np.arange(num_users), kept.sizes_U)
    late_K = kept.event_times_K >= np.minimum.reduceat(events.event_times_N[rows_A], first_U)[user_K]
    rows_K = np.flatnonzero(late_K)
    num_late = np.bincount(user_K[rows_K], minlength=num_users).tolist()
    ids = [names.encoded for names in kept.names]
    late_ids = chain.from_iterable([mine[len(mine) - late :] for mine, late in zip(ids, num_late, strict=True) if late])
    user_M = np.concatenate((user_K[rows_K], user_A))
    times_M = np.concatenate((kept.event_times_K[rows_K], events.event_times_N[rows_A]))
    known_M = np.concatenate((kept.known_times_K[rows_K], events.known_times_N[rows_A]))
    behaviors_M = np.concatenate((kept.behavior_ids_K[rows_K], events.behavior_ids_N[rows_A]))
    order = np.lexsort((behaviors_M, known_M, times_M, user_M))
    user_M, times_M, known_M, behaviors_M = user_M[order], times_M[order], known_M[order], behaviors_M[order]
    item_ids_M = [*late_ids, *[item_id.encode() for item_id in events.item_ids[rows_A].tolist()]]
    item_ids_M = [item_ids_M[row] for row in order.tolist()]
    _settle_ties(item_ids_M, user_M, times_M, known_M, behaviors_M)
    found = lengthened(user_K, user_M, kept_K=~late_K, num_users=num_users, max_size=max_recent)
    end_M = np.cumsum(np.bincount(user_M, minlength=num_users)).tolist()
    return RecentColumns(
        names=[
            Names.of_encoded([*mine[: len(mine) - late], *item_ids_M[first:last]][-max_recent:])
            for mine, late, first, last in zip(ids, num_late, [0, *end_M[:-1]], end_M, strict=True)
        ],
        sizes_U=np.diff(found.ends, prepend=0),
        behavior_ids_K=np.concatenate((kept.behavior_ids_K, behaviors_M))[found.take_X],
        event_times_K=np.concatenate((kept.event_times_K, times_M))[found.take_X],
        known_times_K=np.concatenate((kept.known_times_K, known_M))[found.take_X],
    )


def each_of(columns: RecentColumns) -> list[Recent]:
    """The newest events of each profile, as views of the columns."""
    ends = np.cumsum(columns.sizes_U).tolist()
    return [
        Recent(
            names=names,
            behavior_ids_L=columns.behavior_ids_K[start:end],
            event_times_L=columns.event_times_K[start:end],
            known_times_L=columns.known_times_K[start:end],
        )
        for names, start, end in zip(columns.names, [0, *ends[:-1]], ends, strict=True)
    ]


def _settle_ties(
    item_ids_M: list[bytes],
    user_M: IntArray,
    times_M: FloatArray,
    known_M: FloatArray,
    behaviors_M: npt.NDArray[np.uint8],
) -> None:
    """Sort by id, in place, where everything else is equal; UTF-8 sorts as the text does."""
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
