"""Histories as a sparse matrix of what each target's user cares about: weights by behavior, age and place (METHODS M3).

    a_ni = position_decay ** place_ni * sum over events e of n on i of  weight_b(e) * exp(-decay_per_day * age_e)

place is 0 for the item the user touched last, 1 for the one touched before it, and so on, each item once. Where times
are positions there is no age, and the place alone tells old from new.

Axes: N targets, H events, I items, B behaviors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mmrec.evaluation.interactions import Clock, FloatArray, Histories, IntArray, Interactions
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.decay import decay

BehaviorWeights = Literal["shop", "equal"]
"""What events count: 1, 3, 5 and 10 from browse to purchase, or 1 each; names a shop does not know count 1."""
Sparse = sparse.csr_array


def behavior_weights(names: Sequence[str], kind: BehaviorWeights) -> FloatArray:
    """Weight of each behavior by name, shape (B,)."""
    shop = shop_behaviors()
    return np.array([shop.weights_B[shop.index(name)] if kind == "shop" and name in shop else 1.0 for name in names])


@dataclass(frozen=True, kw_only=True, eq=False)
class HistoryWeighting:
    """How events of a history are weighed; what fit() leaves for score()."""

    num_items: int
    weights_B: FloatArray
    clock: Clock = "seconds"
    position_decay: float = 1.0
    decay_per_day: float = 0.0

    @classmethod
    def of(
        cls, data: Interactions, *, position_decay: float, decay_per_day: float, weights: BehaviorWeights
    ) -> "HistoryWeighting":
        """For histories whose rows are those of `data`."""
        return cls(
            num_items=data.num_items,
            weights_B=behavior_weights(data.behavior_names, weights),
            clock=data.clock,
            position_decay=position_decay,
            decay_per_day=decay_per_day,
        )

    def matrix(self, histories: Histories) -> Sparse:
        """a_ni, shape (N, I); a row without history is empty."""
        targets_H = histories.targets_H
        weights_H = self.weights_B[histories.behaviors_H]
        if self.clock == "seconds" and self.decay_per_day:
            ages_H = histories.as_of_N[targets_H] - histories.times_H
            weights_H = weights_H * decay(ages_H, decay_per_day=self.decay_per_day)
        cells, cell_H = np.unique(targets_H * self.num_items + histories.items_H, return_inverse=True)
        totals = np.bincount(cell_H, weights=weights_H, minlength=len(cells))
        rows, columns = np.divmod(cells, max(self.num_items, 1))
        totals *= self.position_decay ** places(rows, _newest(cell_H, len(cells)))
        found: Sparse = sparse.csr_array((totals, (rows, columns)), shape=(len(histories), self.num_items))
        return found


def _newest(cell_H: IntArray, num_cells: int) -> IntArray:
    """Row of the newest event of each cell; events come oldest first."""
    last = np.zeros(num_cells, dtype=np.int64)
    np.maximum.at(last, cell_H, np.arange(len(cell_H)))
    return last


def places(rows_C: IntArray, newest_C: IntArray) -> FloatArray:
    """0 for the newest cell of each row, 1 for the one before it, ...; shape (C,).

    Args:
        rows_C: Target of each cell, ascending.
        newest_C: What orders the cells of a target, higher is newer.
    """
    order = np.lexsort((-newest_C, rows_C))
    found = np.empty(len(rows_C))
    found[order] = np.arange(len(rows_C)) - np.searchsorted(rows_C, rows_C, side="left")
    return found


def dense(scores_NI: Sparse) -> npt.NDArray[np.float32]:
    """As scores of a model are returned."""
    found: npt.NDArray[np.float32] = scores_NI.astype(np.float32).toarray()
    return found
