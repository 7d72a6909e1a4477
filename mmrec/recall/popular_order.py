"""The head of the order of all items by popularity, kept up change by change, so that nobody sorts a million items.

    order = PopularHead()
    order.change(rows_N, popularity_I, published_from_I)      these rows changed or are new
    order.rows                                                the most popular ones, best first

Most popular first, the newest items first among equal ones, then by row. An item that changed is put where it belongs
if that is within the head; the head is made anew from all items when so many left it that it became short, which
changes of half its length must have happened for. Axes: I items, N changed ones.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
HEAD: Final = 4_096
"""Rows of the head: ten times what a request asks for, so that few find too few that are allowed."""


def popular_order(rows_N: RowArray, popularity_N: FloatArray, published_from_N: FloatArray) -> RowArray:
    """Some rows in this order; popularity and publish time (-inf where unknown) of each."""
    order: RowArray = rows_N[np.lexsort((rows_N, -published_from_N, -popularity_N))]
    return order


@dataclass(frozen=True, kw_only=True, eq=False)
class Popularity:
    """Popularity of all items at one moment."""

    head: RowArray
    """The first rows of the order, at most HEAD."""
    kept_I: FloatArray
    """Affinity of all users together, as of some instant."""
    left: float
    """Share of it that is left at the newest count."""
    published_from_I: FloatArray
    """Instant from which lists may contain the item; -inf where no publish time is known."""

    def at(self, rows_N: RowArray) -> FloatArray:
        """Affinity of all users together as of the newest count, shape (N,)."""
        popularity_N: FloatArray = self.kept_I[rows_N] * self.left
        return popularity_N

    def of(self, row: int) -> float:
        """The same of one row."""
        return float(self.kept_I[row]) * self.left

    def first(self, rows_N: RowArray, num_rows: int) -> RowArray:
        """The most popular ones of some rows, at most `num_rows`."""
        if len(rows_N) > num_rows > 0:
            least = np.partition(self.kept_I[rows_N], -num_rows)[-num_rows]
            rows_N = rows_N[self.kept_I[rows_N] >= least]
        return popular_order(rows_N, self.kept_I[rows_N], self.published_from_I[rows_N])[:num_rows]


class PopularHead:
    """For one writing thread; `rows` is replaced, never changed."""

    def __init__(self, *, num_rows: int = HEAD) -> None:
        self._most = num_rows
        self.rows: RowArray = np.zeros(0, dtype=np.int64)
        self._num_items = 0
        self._is_whole = True
        """Whether all items are in the head."""

    def change(self, rows_N: RowArray, popularity_I: FloatArray, published_from_I: FloatArray) -> None:
        """Follow changes.

        Args:
            rows_N: Rows whose popularity or publish time changed, or that are new; each once.
            popularity_I: Of all items, as it is now; what is not among `rows_N` must be as it was.
            published_from_I: The same; -inf where unknown.
        """
        if not len(rows_N):
            return
        kept = self.rows[~np.isin(self.rows, rows_N)]
        entering = rows_N if self._is_whole else self._within(rows_N, kept, popularity_I, published_from_I)
        rows = np.concatenate([kept, entering])
        rows = popular_order(rows, popularity_I[rows], published_from_I[rows])
        self._is_whole &= len(rows) <= self._most
        self.rows = rows[: self._most]
        if not self._is_whole and len(self.rows) < self._most // 2:
            self.renew(popularity_I, published_from_I)

    def renew(self, popularity_I: FloatArray, published_from_I: FloatArray) -> None:
        """Make the head from all items."""
        rows = np.arange(len(popularity_I))
        self._is_whole = len(rows) <= self._most
        if not self._is_whole:
            least = np.partition(popularity_I, -self._most)[-self._most]
            rows = rows[popularity_I >= least]
        self.rows = popular_order(rows, popularity_I[rows], published_from_I[rows])[: self._most]

    def _within(
        self, rows_N: RowArray, kept: RowArray, popularity_I: FloatArray, published_from_I: FloatArray
    ) -> RowArray:
        """Those of the changed rows that stand before the last row of the head that has not changed.

        What was behind the head is behind that row, so nothing between them is unknown.
        """
        if not len(kept):
            return rows_N[:0]
        last = kept[-1:]
        rows = np.concatenate([rows_N, last])
        rows = popular_order(rows, popularity_I[rows], published_from_I[rows])
        return rows[: int(np.flatnonzero(rows == last[0])[0])]
