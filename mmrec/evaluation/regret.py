"""What a list misses where true preferences are known, as in a simulator: regret, open loop (METHODS M33).

    regret = 1 - sum of p_i over the list / sum of p_i over the best list of that length          p_i: Preferences

0 for the best list, 1 for one that nobody wants. "Open loop": lists are judged at the instants of recorded events, and
change nothing of what comes next. Axes: N targets, I items, K places of a list, J judged targets.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from mmrec.evaluation.interactions import BoolArray, Float32Array, FloatArray, IntArray
from mmrec.evaluation.task import SeenPolicy, Targets

MAX_JUDGED: Final = 2_000
"""Targets whose preferences are asked for: each is a row of all items."""


class Preferences(Protocol):
    """The truth about users, which no model may ask."""

    def of(self, users_N: IntArray, as_of_N: FloatArray) -> FloatArray:
        """How likely each user chooses each item at an instant, 0 or more; shape (N, I)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ListWorth:
    """Preferences of some targets, asked for once and read by every list of every model."""

    num_targets: int
    judged_J: IntArray
    """Targets, ascending."""
    preferences_JI: Float32Array
    """0 for items that do not count."""
    best_J: FloatArray
    """Of the best list of `length` items."""
    length: int

    @classmethod
    def of(
        cls,
        truth: Preferences,
        targets: Targets,
        *,
        seen: SeenPolicy,
        length: int = 10,
        max_judged: int = MAX_JUDGED,
        seed: int = 0,
    ) -> "ListWorth":
        """Of all targets, or of `max_judged` of them drawn with a seed.

        Args:
            seen: By "new" the items of a target's history do not count, in lists as in the best one.
            length: Of the lists that will be judged.
        """
        judged_J = np.arange(len(targets))
        if len(judged_J) > max_judged:
            judged_J = np.sort(np.random.default_rng(seed).choice(judged_J, max_judged, replace=False))
        histories = targets.histories
        found = truth.of(targets.users_N[judged_J], histories.as_of_N[judged_J]).astype(np.float32)
        if seen == "new":
            for row, target in enumerate(judged_J.tolist()):
                low, high = histories.offsets[target : target + 2]
                found[row, histories.items_H[low:high]] = 0.0
        highest_JK = -np.sort(-found, axis=1)[:, :length]
        return cls(
            num_targets=len(targets),
            judged_J=judged_J,
            preferences_JI=found,
            best_J=highest_JK.sum(axis=1, dtype=np.float64),
            length=length,
        )

    def regrets(self, lists_NK: IntArray) -> FloatArray:
        """Regret per target, shape (N,); NaN where a target is not judged, or no item is worth anything to its user.

        Args:
            lists_NK: Items of every target's list; -1 where there is none. An item counts once.
        """
        listed_JK = lists_NK[self.judged_J, : self.length]
        worth_JK = np.take_along_axis(self.preferences_JI, np.maximum(listed_JK, 0), axis=1)
        worth_J = np.where(_is_first(listed_JK), worth_JK, 0.0).sum(axis=1, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            regret_J = np.where(self.best_J > 0, np.clip(1.0 - worth_J / self.best_J, 0.0, 1.0), np.nan)
        found_N = np.full(self.num_targets, np.nan)
        found_N[self.judged_J] = regret_J
        return found_N


def _is_first(listed_JK: IntArray) -> BoolArray:
    """Whether an item stands at its first place of a list; False where there is none."""
    found_JK = listed_JK >= 0
    for place in range(1, listed_JK.shape[1]):
        found_JK[:, place] &= (listed_JK[:, :place] != listed_JK[:, place : place + 1]).all(axis=1)
    return found_JK
