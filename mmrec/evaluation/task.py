"""A task: what a model may learn from, what it is asked, what it sees of whom, and when (METHODS M34).

    task = leave_one_out(data)                               one of mmrec.evaluation.splits
    model.fit(task.data.take(task.fit_E), items, seed=1)     train only; task.refit_E adds the validation targets
    model.score(task.test.users_N, task.test.histories)

Axes: E events, N targets, P positives of all targets one after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

import numpy as np

from mmrec.evaluation.interactions import (
    BoolArray,
    FloatArray,
    Histories,
    IntArray,
    Interactions,
    histories_of,
)

Bound = Literal["everybody", "own"]
"""Whose events a target's instant bounds: everybody's, or the target's user's own, as where users' clocks differ."""
SeenPolicy = Literal["any", "new"]
"""Any item is a candidate; or only items that are new to the user, where positives that are not new are not asked."""
SEEN_POLICIES: Final[tuple[SeenPolicy, ...]] = ("any", "new")


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """What is asked: N users at an instant each, and the items that were right."""

    users_N: IntArray
    histories: Histories
    """What is visible of each; as_of_N is the instant."""
    offsets: IntArray
    """(N + 1,): positives of target n are at offsets[n]:offsets[n + 1], one or more."""
    items_P: IntArray
    """Distinct within a target."""
    grades_P: FloatArray
    """How much each is worth, above 0: the largest weight of the target's events on it."""
    behaviors_P: IntArray
    """Behavior of that event."""
    is_new_P: BoolArray
    """Whether the user had no event on it before."""

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.users_N)

    @property
    def targets_P(self) -> IntArray:
        """The target of each positive."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One split of a data set."""

    name: str
    """Of the split, with what it was given."""
    data: Interactions
    """All events; `fit_E` and `refit_E` say which of them may be learned from."""
    fit_E: BoolArray
    """Visible to a fit whose validation is looked at, and to the figures called train only."""
    refit_E: BoolArray
    """Visible to the refit with the best parameters, before the test: what validation asked is learned from, too."""
    validation: Targets
    """What parameters are chosen by; the only thing."""
    test: Targets
    bound: Bound
    seen: SeenPolicy
    """What the first figures count; the other policy is measured, too."""

    def fingerprint(self) -> str:
        """Short text that is another one where data, split, targets or policy differ."""
        digest = blake2b(f"{self.name} {self.bound} {self.seen} {self.data.clock}".encode(), digest_size=8)
        columns = (self.data.users_E, self.data.items_E, self.data.times_E, self.data.behaviors_E)
        asked = [
            each
            for of in (self.test, self.validation)
            for each in (of.users_N, of.offsets, of.items_P, of.grades_P, of.histories.as_of_N)
        ]
        for each in (*columns, self.fit_E, self.refit_E, *asked):
            digest.update(np.ascontiguousarray(each).tobytes())
        names = [*self.data.user_ids, "", *self.data.item_ids, "", *self.data.behavior_names]
        digest.update("\0".join(names).encode("utf-8", errors="replace"))
        return digest.hexdigest()


def targets_of(
    data: Interactions,
    chosen_E: BoolArray,
    *,
    as_of_U: FloatArray,
    weights: Mapping[str, float],
    min_history: int = 1,
    max_targets: int | None = None,
    seed: int = 0,
) -> Targets:
    """One target per user with chosen events, its positives their items.

    Args:
        chosen_E: Events to foresee; none may lie before its user's instant.
        as_of_U: Instant per user.
        weights: Grade of a behavior; 1 where not named.
        min_history: Users with fewer events before the instant are not asked.
        max_targets: Draw so many of the users with `seed`; None asks all.
    """
    early = data.times_E[chosen_E] < as_of_U[data.users_E[chosen_E]]
    assert not early.any(), f"{int(early.sum())} events to foresee lie before the instant they are asked at"
    users_N = np.unique(data.users_E[chosen_E])
    histories = histories_of(data, users_N=users_N, as_of_N=as_of_U[users_N])
    kept_N = np.flatnonzero(histories.lengths_N >= min_history)
    if max_targets is not None and len(kept_N) > max_targets:
        kept_N = np.sort(np.random.default_rng(seed).choice(kept_N, max_targets, replace=False))
    if len(kept_N) < len(users_N):
        users_N = users_N[kept_N]
        histories = histories_of(data, users_N=users_N, as_of_N=as_of_U[users_N])
    grades_B = np.array([weights.get(name, 1.0) for name in data.behavior_names], dtype=np.float64)
    rows_E = np.flatnonzero(chosen_E & np.isin(data.users_E, users_N))
    # Of several events on one item the most valuable one stands for it; of equal ones the first.
    order = np.lexsort((rows_E, -grades_B[data.behaviors_E[rows_E]], data.items_E[rows_E], data.users_E[rows_E]))
    rows_E = rows_E[order]
    cells = data.users_E[rows_E] * data.num_items + data.items_E[rows_E]
    rows_P = rows_E[np.unique(cells, return_index=True)[1]]
    targets_P = np.searchsorted(users_N, data.users_E[rows_P])
    seen = np.unique(users_N[histories.targets_H] * data.num_items + histories.items_H)
    return Targets(
        users_N=users_N,
        histories=histories,
        offsets=np.searchsorted(targets_P, np.arange(len(users_N) + 1)),
        items_P=data.items_E[rows_P],
        grades_P=grades_B[data.behaviors_E[rows_P]],
        behaviors_P=data.behaviors_E[rows_P],
        is_new_P=~np.isin(data.users_E[rows_P] * data.num_items + data.items_E[rows_P], seen),
    )
