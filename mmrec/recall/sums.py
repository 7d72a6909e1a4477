"""Sums over a few thousand rows out of any number, compiled: neighbor scores and the fusion of proposals.

Both touch only the rows that somebody names, so a request costs the same in a catalogue of any size.

Axes: J own items, K neighbors, I items, M proposals, G sources, U different rows, S slots, N rows asked about.
"""

# Compiled code takes its arguments by position.
# ruff: noqa: PLR0917

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.compiled import FLOAT, INT, SMALL_INT, compiled, formula, reads
from mmrec.index.row_tables import NO_PLACE, empty_table, slot_of

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RowSums:
    """A number by row; 0 where nothing was added."""

    table_S: npt.NDArray[np.int32]
    rows_U: RowArray
    """In the order in which they were first named."""
    sums_U: FloatArray

    def at(self, rows_N: RowArray) -> FloatArray:
        """Sums at N rows, shape (N,)."""
        return _sums_at(self.table_S, self.rows_U, self.sums_U, rows_N)

    def whole(self, num_items: int) -> FloatArray:
        """Sums of all items, shape (I,)."""
        sums_I = np.zeros(num_items)
        sums_I[self.rows_U] = self.sums_U
        return sums_I


@formula
def gain(weight: Any, rank: Any, offset: float) -> Any:
    """What a proposal adds to a recall score: weight / (k + rank), the rank of a source's first proposal being 1."""
    return weight / (offset + rank)


@formula
def add_at(table_S: Any, rows_U: Any, sums_U: Any, num_found: int, row: int, value: float) -> int:
    """Add to the sum of a row; the number of different rows after that."""
    slot = slot_of(table_S, rows_U, row)
    if table_S[slot] == NO_PLACE:
        table_S[slot], rows_U[num_found], sums_U[num_found] = num_found, row, value
        return num_found + 1
    sums_U[table_S[slot]] += value
    return num_found


@compiled(reads(INT, 1), reads(FLOAT, 1), reads(SMALL_INT, 2), reads(FLOAT, 2))
def _neighbor_sums(own_rows_J: Any, pulls_J: Any, rows_IK: Any, weights_IK: Any) -> Any:
    num_neighbors, num_known = rows_IK.shape[1], 0
    for j in range(len(own_rows_J)):
        num_known += own_rows_J[j] >= 0
    table_S = empty_table(num_known * num_neighbors)
    rows_U, sums_U = np.empty(num_known * num_neighbors, dtype=np.int64), np.empty(num_known * num_neighbors)
    num_found = 0
    for j in range(len(own_rows_J)):
        own = own_rows_J[j]
        if own >= 0:
            for k in range(num_neighbors):
                row = rows_IK[own, k]
                if row >= 0:
                    num_found = add_at(table_S, rows_U, sums_U, num_found, row, pulls_J[j] * weights_IK[own, k])
    return table_S, rows_U[:num_found], sums_U[:num_found]


def neighbor_sums(
    own_rows_J: RowArray, pulls_J: FloatArray, rows_IK: npt.NDArray[np.int32], weights_IK: FloatArray
) -> RowSums:
    """Sum over own items of pull (mmrec/recall/pull.py) times neighbor weight.

    Args:
        own_rows_J: -1 for an own item that has no neighbors.
        rows_IK: Neighbors of every item, -1 where there are no more.
    """
    table_S, rows_U, sums_U = _neighbor_sums(own_rows_J, pulls_J, rows_IK, weights_IK)
    return RowSums(table_S=table_S, rows_U=rows_U, sums_U=sums_U)


@compiled(reads(SMALL_INT, 1), reads(INT, 1), reads(FLOAT, 1), reads(INT, 1))
def _sums_at(table_S: Any, rows_U: Any, sums_U: Any, rows_N: Any) -> FloatArray:
    sums_N = np.zeros(len(rows_N))
    for n in range(len(rows_N)):
        place = table_S[slot_of(table_S, rows_U, rows_N[n])]
        if place != NO_PLACE:
            sums_N[n] = sums_U[place]
    return sums_N


@compiled(reads(INT, 1), reads(INT, 1), reads(FLOAT, 1), FLOAT)
def fused_scores(rows_M: Any, ends_G: Any, weights_G: Any, offset: float) -> Any:
    """(rows, recall scores) of all proposals, each row once, in no order.

    Args:
        rows_M: Proposals, source after source, the best of each first.
        ends_G: Position after the last proposal of each source.
        weights_G: Weight of each source, > 0.
        offset: k of reciprocal rank fusion.
    """
    table_S = empty_table(len(rows_M))
    rows_U, sums_U = np.empty(len(rows_M), dtype=np.int64), np.empty(len(rows_M))
    num_found, start = 0, 0
    for g in range(len(ends_G)):
        for m in range(start, ends_G[g]):
            value = gain(weights_G[g], 1.0 + m - start, offset)
            num_found = add_at(table_S, rows_U, sums_U, num_found, rows_M[m], value)
        start = ends_G[g]
    return rows_U[:num_found], sums_U[:num_found]


@compiled(reads(INT, 1), reads(INT, 1), reads(FLOAT, 1), FLOAT, reads(SMALL_INT, 1), reads(INT, 1))
def proposals_of(rows_M: Any, ends_G: Any, weights_G: Any, offset: float, table_S: Any, rows_N: Any) -> Any:
    """(position among all proposals, source, place among N rows, gain) of each proposal of one of these rows.

    Args:
        table_S: Of the rows asked about, as row_tables.table_of() gives it.
    """
    num_found, start = 0, 0
    found_4M = np.empty((4, len(rows_M)))
    for g in range(len(ends_G)):
        for m in range(start, ends_G[g]):
            place = table_S[slot_of(table_S, rows_N, rows_M[m])]
            if place != NO_PLACE:
                found_4M[0, num_found], found_4M[1, num_found] = m, g
                found_4M[2, num_found] = place
                found_4M[3, num_found] = gain(weights_G[g], 1.0 + m - start, offset)
                num_found += 1
        start = ends_G[g]
    return found_4M[:, :num_found]


@compiled(reads(INT, 2), reads(FLOAT, 2))
def loudest(rows_QK: Any, scores_QK: Any) -> Any:
    """(rows, scores): each row once, with the best score that any query gave it; -1 stands for no row."""
    table_S = empty_table(rows_QK.size)
    rows_U, scores_U, num_found = np.empty(rows_QK.size, dtype=np.int64), np.empty(rows_QK.size), 0
    for q in range(rows_QK.shape[0]):
        for k in range(rows_QK.shape[1]):
            row = rows_QK[q, k]
            if row >= 0:
                slot = slot_of(table_S, rows_U, row)
                if table_S[slot] == NO_PLACE:
                    table_S[slot], rows_U[num_found], scores_U[num_found] = num_found, row, scores_QK[q, k]
                    num_found += 1
                elif scores_QK[q, k] > scores_U[table_S[slot]]:
                    scores_U[table_S[slot]] = scores_QK[q, k]
    return rows_U[:num_found], scores_U[:num_found]


@compiled(INT, reads(INT, 1), reads(FLOAT, 1), reads(SMALL_INT, 2), reads(FLOAT, 2))
def pulled_by(row: int, own_rows_J: Any, pulls_J: Any, rows_IK: Any, weights_IK: Any) -> Any:
    """(positions, what each adds) of the own items that add to the neighbor score of the item at a row, ascending."""
    owns_J, added_J, num_found = np.empty(len(own_rows_J), dtype=np.int64), np.empty(len(own_rows_J)), 0
    for j in range(len(own_rows_J)):
        weight = 0.0
        if own_rows_J[j] >= 0:
            for k in range(rows_IK.shape[1]):
                if rows_IK[own_rows_J[j], k] == row:
                    weight += weights_IK[own_rows_J[j], k]
        if weight * pulls_J[j] > 0.0:
            owns_J[num_found], added_J[num_found] = j, weight * pulls_J[j]
            num_found += 1
    return owns_J[:num_found], added_J[:num_found]
