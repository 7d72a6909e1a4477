"""Rows a portion at a time: the one form of `itertools.batched`, which Python 3.11 does not have yet.

for portion in portions(rows, 1_000): ...
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Row = TypeVar("Row")


def portions(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of `size` rows; the last one has what is left. Rows are read only when their portion is asked for.

    Args:
        size: At least 1.
    """
    left = iter(rows)
    while portion := list(islice(left, size)):
        yield portion
