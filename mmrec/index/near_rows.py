"""The items nearest to an item, remembered: every user who looked at it last asks for them again.

    near = NearRows()
    near.search(index, rows_Q, num_results=80, allowed=allowed)       as index.search() for the vectors of these rows
    near.carried(index_before, index_now, changed_rows)               what still holds for the next index

What is remembered is more than is asked for, whoever may see it; a request keeps what it allows, and is searched for by
itself where that does not suffice. So results are those of a search. Axes: I items, D embedding, Q rows asked about,
C changed rows, M remembered results, K results.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mmrec.index.allowed import EVERYTHING, AllowedItems
from mmrec.index.best_rows import allowed_of_each
from mmrec.index.vectors import Float32Array, SearchResult

RowArray = npt.NDArray[np.int64]
MOST: Final = 4_096
"""Items whose nearest ones are remembered; some 4 kB each."""
_SPARE: Final = 128
_ROUNDING: Final = 1e-5
"""Two products of the same vectors may differ by so much."""


class Searched(Protocol):
    """What is asked of an index here."""

    @property
    def vectors_ID(self) -> Float32Array: ...
    def search(
        self, queries_QD: Float32Array, *, num_results: int, allowed_I: AllowedItems | None = None
    ) -> SearchResult: ...


class _Near(NamedTuple):
    rows_M: RowArray
    scores_M: Float32Array


class NearRows:
    """For one index. Safe to use from several threads: what two of them find out is the same."""

    def __init__(self) -> None:
        self._near: dict[int, _Near] = {}

    def __len__(self) -> int:
        return len(self._near)

    def search(self, index: Searched, rows_Q: RowArray, *, num_results: int, allowed: AllowedItems) -> SearchResult:
        """The best allowed items of each row's vector, as index.search() finds them."""
        near = self._remembered(index, rows_Q.tolist(), num_results)
        depth = min(len(each.rows_M) for each in near)
        rows_QM, scores_QM = (np.array([each[part][:depth] for each in near]) for part in (0, 1))
        rows_QK, scores_QK, least = allowed_of_each(rows_QM, scores_QM, num_results, allowed.parts)
        if least < num_results:
            return index.search(index.vectors_ID[rows_Q], num_results=num_results, allowed_I=allowed)
        return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)

    def _remembered(self, index: Searched, rows: list[int], num_results: int) -> list[_Near]:
        known = {row: self._near.get(row) for row in rows}
        missing = [row for row, near in known.items() if near is None or len(near.rows_M) < num_results]
        if missing:
            depth = 2 * num_results + _SPARE
            found = index.search(index.vectors_ID[missing], num_results=depth, allowed_I=EVERYTHING)
            for row, rows_M, scores_M in zip(missing, found.rows_QK, found.scores_QK, strict=True):
                known[row] = self._near[row] = _Near(rows_M, scores_M)
        while len(self._near) > MOST:
            self._near.pop(next(iter(self._near)), None)  # the one that was found out first
        return [near for row in rows if (near := known[row]) is not None]

    def carried(self, before: Searched, now: Searched, changed_rows: RowArray) -> "NearRows":
        """What holds for an index in which some rows are new or differ: of items that did not change, and of which no
        changed one is or was among the nearest. Costs as much as what is remembered, times what changed.
        """
        carried, rows = NearRows(), np.array(list(self._near), dtype=np.int64)
        if not len(rows) or len(changed_rows) > MOST:
            return carried
        near = [self._near[row] for row in rows.tolist()]
        least = np.array([each.scores_M[-1] for each in near]) - _ROUNDING
        old_rows = changed_rows[changed_rows < len(before.vectors_ID)]
        closest = np.full(len(rows), -np.inf, dtype=np.float32)
        for vectors_CD in (before.vectors_ID[old_rows], now.vectors_ID[changed_rows]):
            products_RC = before.vectors_ID[rows] @ vectors_CD.T
            closest = np.maximum(closest, products_RC.max(axis=1, initial=-np.inf))
        holds = (closest < least) & ~np.isin(rows, changed_rows)
        carried._near = {row: each for row, each, kept in zip(rows.tolist(), near, holds.tolist(), strict=True) if kept}
        return carried
