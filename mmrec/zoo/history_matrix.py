"""Histories as a sparse matrix of what each target's user cares about: weights by behavior, age and order (METHODS M3).

    a_ni = order_decay ** newer_ni * sum over events e of n on i of  weight_b(e) * exp(-decay_per_day * age_e)

newer is the number of own items whose newest event is later, 0 for what was touched last. Where times are positions
there is no age, and the order alone tells old from new. Serving has the same for one user (mmrec.recall.pull).

Axes: N targets, H events, I items, B behaviors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mmrec.evaluation.interactions import BoolArray, Clock, FloatArray, Histories, IntArray, Interactions
from mmrec.scoring.behaviors import media_behaviors, shop_behaviors
from mmrec.scoring.decay import decay

BehaviorWeights = Literal["usual", "equal"]
"""What events count: what they usually do in a shop (1, 3, 5 and 10 from browse to purchase) or for media (1 and 5 for
watch and like), 1 where neither knows the name; or 1 each."""
Sparse: TypeAlias = sparse.csr_array


def behavior_weights(names: Sequence[str], kind: BehaviorWeights) -> FloatArray:
    """Weight of each behavior by name, shape (B,)."""
    usual = {each.name: each.weight for each in (*shop_behaviors(), *media_behaviors())} if kind == "usual" else {}
    return np.array([usual.get(name, 1.0) for name in names], dtype=np.float64)


class WeighsHistories(Protocol):
    """Options of a model that weighs a user's own items."""

    @property
    def order_decay(self) -> float: ...
    @property
    def decay_per_day(self) -> float: ...
    @property
    def weights(self) -> BehaviorWeights: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class HistoryWeighting:
    """How events of a history are weighed; what fit() leaves for score()."""

    num_items: int
    weights_B: FloatArray
    clock: Clock = "seconds"
    order_decay: float = 1.0
    decay_per_day: float = 0.0
    counts_once: bool = False
    """Whether only the newest event of a target on an item counts."""

    @classmethod
    def of(
        cls, data: Interactions, *, order_decay: float, decay_per_day: float, weights: BehaviorWeights
    ) -> "HistoryWeighting":
        """For histories whose rows are those of `data`."""
        return cls(
            num_items=data.num_items,
            weights_B=behavior_weights(data.behavior_names, weights),
            clock=data.clock,
            order_decay=order_decay,
            decay_per_day=decay_per_day,
        )

    @classmethod
    def asked(cls, data: Interactions, options: WeighsHistories) -> "HistoryWeighting":
        """As a model's options say, for histories whose rows are those of `data`."""
        return cls.of(
            data,
            order_decay=options.order_decay,
            decay_per_day=options.decay_per_day,
            weights=options.weights,
        )

    def matrix(self, histories: Histories) -> Sparse:
        """a_ni, shape (N, I); a row without history is empty."""
        targets_H = histories.targets_H
        weights_H = self.weights_B[histories.behaviors_H]
        if self.clock == "seconds" and self.decay_per_day:
            ages_H = histories.as_of_N[targets_H] - histories.times_H
            weights_H = weights_H * decay(ages_H, decay_per_day=self.decay_per_day)
        cells, cell_H = np.unique(targets_H * self.num_items + histories.items_H, return_inverse=True)
        if self.counts_once:
            weights_H = np.where(_is_last_of_cell(cell_H, len(cells)), weights_H, 0.0)
        totals = np.bincount(cell_H, weights=weights_H, minlength=len(cells)).astype(np.float64)  # whole where empty
        rows, columns = np.divmod(cells, max(self.num_items, 1))
        totals *= self.order_decay ** num_newer(rows, _newest(cell_H, histories.times_H, len(cells)))
        found: Sparse = sparse.csr_array((totals, (rows, columns)), shape=(len(histories), self.num_items))
        return found


def _is_last_of_cell(cell_H: IntArray, num_cells: int) -> BoolArray:
    last_C = np.full(num_cells, -1)
    np.maximum.at(last_C, cell_H, np.arange(len(cell_H)))  # histories are in the order of time
    found: BoolArray = np.arange(len(cell_H)) == last_C[cell_H]
    return found


def _newest(cell_H: IntArray, times_H: FloatArray, num_cells: int) -> FloatArray:
    newest_C = np.full(num_cells, -np.inf)
    np.maximum.at(newest_C, cell_H, times_H)
    return newest_C


def num_newer(rows_C: IntArray, times_C: FloatArray) -> IntArray:
    """How many cells of the same row have a later time, shape (C,): those of one instant have the same number.

    Args:
        rows_C: Row of each cell, ascending.
    """
    order = np.lexsort((-times_C, rows_C))
    rows, times = rows_C[order], times_C[order]
    begins = np.ones(len(rows), dtype=np.bool_)  # a run of cells of one row and one instant
    begins[1:] = (rows[1:] != rows[:-1]) | (times[1:] != times[:-1])
    first_of_run = np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
    found = np.empty(len(rows), dtype=np.int64)
    found[order] = first_of_run - np.searchsorted(rows, rows, side="left")
    return found


def dense(scores_NI: Sparse) -> npt.NDArray[np.float32]:
    """As scores of a model are returned."""
    found: npt.NDArray[np.float32] = scores_NI.astype(np.float32).toarray()
    return found
