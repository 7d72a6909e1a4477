"""Rows a portion at a time: the one form of `itertools.batched`, which Python 3.11 does not have yet.

for portion in portions(rows, 1_000): ...
"""

from collections.abc import Callable, Iterable, Iterator
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


def bounded_portions(
    rows: Iterable[Row], *, bytes_of: Callable[[Row], int], max_bytes: int, max_rows: int
) -> Iterator[list[Row]]:
    """Lists of at most `max_rows` rows and `max_bytes` bytes; a row that is longer is a list of its own."""
    portion: list[Row] = []
    num_bytes = 0
    for row in rows:
        length = bytes_of(row)
        if portion and (len(portion) == max_rows or num_bytes + length > max_bytes):
            yield portion
            portion, num_bytes = [], 0
        portion.append(row)
        num_bytes += length
    if portion:
        yield portion
