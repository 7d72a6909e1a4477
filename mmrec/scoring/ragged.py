"""Appends to many short arrays, one per user, at once: an array operation per user would cost more than the numbers.

Axes: U users, K kept entries of all users, A added ones (those of one user are adjacent in both), X the result.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengthened:
    """Where the entries of the lengthened arrays come from."""

    take_X: IntArray
    """Position in kept and added entries, one after the other, of each entry of the result."""
    starts: list[int]
    """First entry of each user in the result."""
    ends: list[int]


def lengthened(
    user_K: IntArray, user_A: IntArray, *, kept_K: npt.NDArray[np.bool_], num_users: int, max_size: int
) -> Lengthened:
    """Kept entries followed by added ones, the newest `max_size` of each user.

    Args:
        user_K: User of each kept entry, ascending.
        user_A: User of each added entry, ascending.
        kept_K: Kept entries that stay.
    """
    rows_K = np.flatnonzero(kept_K)
    user_X = np.concatenate((user_K[rows_K], user_A))
    take_X = np.concatenate((rows_K, np.arange(len(user_K), len(user_K) + len(user_A))))
    order = np.argsort(user_X, kind="stable")  # two ascending runs: one merge
    user_X, take_X = user_X[order], take_X[order]
    ends_U = np.cumsum(np.bincount(user_X, minlength=num_users))
    fits_X = ends_U[user_X] - np.arange(len(user_X)) <= max_size
    if not fits_X.all():
        user_X, take_X = user_X[fits_X], take_X[fits_X]
        ends_U = np.cumsum(np.bincount(user_X, minlength=num_users))
    ends: list[int] = ends_U.tolist()
    return Lengthened(take_X=take_X, starts=[0, *ends[:-1]], ends=ends)
