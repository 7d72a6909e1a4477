"""Events to learn from: the newest of each user, beside what the user had done before, and a part that is held back.

An event on an item that the user had touched before is left out: it teaches nothing about taste. Axes: N events, I
items, U users.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import BoolArray, IntArray, Interactions, histories_of
from mmrec.zoo.history_matrix import HistoryWeighting, Sparse

HELD_SHARE: Final = 0.1
"""Of users: their newest event is not learned from, and says when to stop (METHODS M23)."""
LEAST_HELD: Final = 10
"""With fewer held events nothing is held back: so few would say nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeseenEvents:
    """N events and what was known before each."""

    users_N: IntArray
    items_N: IntArray
    own_NI: Sparse
    """Weights of the user's own items before the event, shape (N, I); a row has one entry at least."""
    is_held_N: BoolArray
    counts_I: IntArray
    """How often each item is one to learn from, shape (I,): what is known of its id (METHODS M24), which as that of a
    drawn item only learns to stay away."""

    def __len__(self) -> int:
        """Number of events."""
        return len(self.users_N)


def foreseen_events(data: Interactions, weighting: HistoryWeighting, *, max_labels: int, seed: int) -> ForeseenEvents:
    """The newest events of each user that something happened before.

    Args:
        weighting: Of what happened before.
        max_labels: Newest events of each user that are looked at.
        seed: Of whose newest event is held back.
    """
    by_user = np.argsort(data.users_E, kind="stable")
    num_U = np.bincount(data.users_E, minlength=data.num_users)
    place_E = np.arange(len(data)) - np.repeat(np.cumsum(num_U) - num_U, num_U)
    rows = by_user[(np.repeat(num_U, num_U) - place_E <= max_labels) & (place_E > 0)]
    own_NI = weighting.matrix(histories_of(data, users_N=data.users_E[rows], as_of_N=data.times_E[rows]))
    rows_N = np.repeat(np.arange(len(rows)), np.diff(own_NI.indptr))
    is_repeated_N = np.zeros(len(rows), dtype=np.bool_)
    is_repeated_N[rows_N[own_NI.indices == data.items_E[rows][rows_N]]] = True
    kept = np.flatnonzero((np.diff(own_NI.indptr) > 0) & ~is_repeated_N)
    users_N, items_N = data.users_E[rows[kept]], data.items_E[rows[kept]]
    is_held_N = _held(users_N, seed)
    return ForeseenEvents(
        users_N=users_N,
        items_N=items_N,
        own_NI=own_NI[kept],
        is_held_N=is_held_N,
        counts_I=np.bincount(items_N[~is_held_N], minlength=data.num_items).astype(np.int64),
    )


def _held(users_N: IntArray, seed: int) -> BoolArray:
    """The newest event of some users who have two or more; users stand together, oldest event first."""
    is_last_N = np.ones(len(users_N), dtype=np.bool_)
    is_last_N[:-1] = users_N[1:] != users_N[:-1]
    has_two_N = np.zeros(len(users_N), dtype=np.bool_)
    has_two_N[1:] = users_N[1:] == users_N[:-1]
    candidates = np.flatnonzero(is_last_N & has_two_N)
    num_held = round(HELD_SHARE * len(candidates))
    is_held_N = np.zeros(len(users_N), dtype=np.bool_)
    if num_held >= LEAST_HELD:
        is_held_N[np.random.default_rng(seed).choice(candidates, num_held, replace=False)] = True
    return is_held_N


def by_part(own_NI: Sparse, part_I: IntArray, num_parts: int) -> list[Sparse]:
    """The same rows, one matrix for the items of each part of the catalogue."""
    found = []
    for part in range(num_parts):
        chosen = own_NI.copy()
        chosen.data = np.where(part_I[chosen.indices] == part, chosen.data, 0.0)
        chosen.eliminate_zeros()
        found.append(chosen)
    return found
