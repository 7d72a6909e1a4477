"""Which items of a table an answer may contain, looked at item by item: no mask of all items is made for a request.

    allowed = AllowedItems(showable_I=..., publish_times_I=..., expire_times_I=..., earliest_s=t, latest_s=t)
    allowed = allowed.without(rows)              what the user hid, or the request excludes
    allowed.at(rows_N)                           which of some rows are allowed
    allowed.mask_I                               of all of them, for readers that need every item

Compiled code takes `allowed.parts` apart and asks is_allowed(row, ...).
Axes: I items, N rows asked about, S slots, U rows.
"""

# Compiled code takes its arguments by position.
# ruff: noqa: PLR0917

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.compiled import BOOL, FLOAT, INT, SMALL_INT, compiled, formula, reads
from mmrec.index.row_tables import NO_PLACE, slot_of, table_of

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
_NO_MASK: Final = np.zeros(0, dtype=np.bool_)
_NO_TIMES: Final = np.zeros(0)
_NO_ROWS: Final = np.zeros(0, dtype=np.int64)
ALLOWED: Final = (
    reads(BOOL, 1),
    reads(FLOAT, 1),
    reads(FLOAT, 1),
    FLOAT,
    FLOAT,
    reads(BOOL, 1),
    reads(BOOL, 1),
    reads(SMALL_INT, 1),
    reads(INT, 1),
)
"""Type of AllowedItems.parts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AllowedItems:
    """A condition on the items of a table; of masks and times that are empty, nothing is asked.

        allowed_i = showable_i and publish_i <= earliest and latest < expire_i and passing_i and embedded_i
                    and i is not among the closed rows

    Never changed; nothing is copied to make one.
    """

    showable_I: BoolArray = field(default_factory=lambda: _NO_MASK)
    publish_times_I: FloatArray = field(default_factory=lambda: _NO_TIMES)
    """NaN where unknown, which is never too late."""
    expire_times_I: FloatArray = field(default_factory=lambda: _NO_TIMES)
    earliest_s: float = np.inf
    latest_s: float = -np.inf
    passing_I: BoolArray = field(default_factory=lambda: _NO_MASK)
    """Items that a filter lets through."""
    embedded_I: BoolArray = field(default_factory=lambda: _NO_MASK)
    """Items that have an embedding."""
    closed_rows: RowArray = field(default_factory=lambda: _NO_ROWS)
    """Rows that are not allowed whatever the columns say; -1 and rows that repeat do no harm."""

    @cached_property
    def parts(self) -> tuple[Any, ...]:
        """All of it, for compiled code."""
        return (
            self.showable_I,
            self.publish_times_I,
            self.expire_times_I,
            self.earliest_s,
            self.latest_s,
            self.passing_I,
            self.embedded_I,
            table_of(self.closed_rows),
            self.closed_rows,
        )

    def without(self, rows: RowArray) -> "AllowedItems":
        """The same, with some rows closed as well."""
        if not len(rows):
            return self
        return replace(self, closed_rows=np.concatenate([self.closed_rows, rows]))

    def at(self, rows_N: RowArray) -> BoolArray:
        """Which of N rows are allowed, shape (N,)."""
        return _allowed_at(self.parts, rows_N)

    def mask(self, num_items: int) -> BoolArray:
        """Of the first items of the table, which are allowed, shape (I,); a new array. Reads every column."""
        return _allowed_at(self.parts, np.arange(num_items))


EVERYTHING: Final = AllowedItems()
"""No item is left out."""


def of_mask(allowed_I: BoolArray) -> AllowedItems:
    """The items of a mask."""
    return AllowedItems(showable_I=allowed_I)


@formula
def is_allowed(
    row: int,
    showable_I: Any,
    publish_times_I: Any,
    expire_times_I: Any,
    earliest_s: float,
    latest_s: float,
    passing_I: Any,
    embedded_I: Any,
    closed_S: Any,
    closed_rows: Any,
) -> bool:
    """Whether the item at a row, >= 0, is allowed; behind the row, AllowedItems.parts taken apart.

    Taken apart before a loop: getting at a part of a tuple counts references, which costs more than the question.
    """
    if len(showable_I) and not showable_I[row]:
        return False
    if len(publish_times_I) and publish_times_I[row] > earliest_s:
        return False
    if len(expire_times_I) and expire_times_I[row] <= latest_s:
        return False
    if len(passing_I) and not passing_I[row]:
        return False
    if len(embedded_I) and not embedded_I[row]:
        return False
    return len(closed_rows) == 0 or closed_S[slot_of(closed_S, closed_rows, row)] == NO_PLACE


@compiled(ALLOWED, reads(INT, 1))
def _allowed_at(parts: Any, rows_N: RowArray) -> BoolArray:
    shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed = parts
    allowed_N = np.empty(len(rows_N), dtype=np.bool_)
    for n in range(len(rows_N)):
        allowed_N[n] = is_allowed(
            rows_N[n], shown_I, publish_I, expire_I, earliest_s, latest_s, passing_I, embedded_I, closed_S, closed
        )
    return allowed_N
