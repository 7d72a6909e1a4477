"""Rows of CSV and TSV files, with the faults that such files have.

    id,title,color                 the header names three columns
    7,Shirt, blue, slim,Blue       and this row has five cells

Whoever wrote the file did not quote texts. The cells beyond the header's number were cut out of one text, so they are
joined again where that text stands: `title` is "Shirt, blue, slim". Columns at the end that have no name, or a
spreadsheet's ("Unnamed: 10"), are no columns: what stands in them is overflow too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mmrec.catalog.importers.lines import text_lines
from mmrec.catalog.importers.quoted_rows import quoted_rows
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.errors import InvalidRequestError

DELIMITERS: Final = (",", ";", "\t", "|")
_UNNAMED: Final = re.compile(r"\s*(?:Unnamed: \d+(?:_level_\d+)?|_c\d+|__index_level_\d+__)?\s*", re.IGNORECASE)


def is_unnamed(name: str) -> bool:
    """Whether a column has no name of its own."""
    return _UNNAMED.fullmatch(name) is not None


def delimiter_of(path: Path, encoding: str) -> str:
    """What separates the columns of the header; a comma where nothing does."""
    line = next(text_lines(path, Reading(), encoding=encoding), "").lstrip("\ufeff")
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=lambda sign: (bare.count(sign), sign == ","))


def csv_columns(path: Path, encoding: str, delimiter: str) -> tuple[str, ...]:
    """Names of the header; those of unnamed columns are "".

    Raises:
        InvalidRequestError: there is no header, or a name stands twice.
    """
    first = next(_parsed(path, encoding, delimiter, Reading()), None)
    if first is None:
        raise InvalidRequestError(f"{path} is empty; give a first line with the names of the columns")
    names = [name.lstrip("\ufeff").strip() for name in first[1]]
    named = [name for name in names if not is_unnamed(name)]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice or not named:
        said = f"names {', '.join(twice)} more than once" if twice else "names no columns"
        raise InvalidRequestError(f"the first line of {path} {said}; give each column a name of its own")
    return tuple("" if is_unnamed(name) else name for name in names)


def csv_rows(
    path: Path, encoding: str, delimiter: str, *, header: tuple[str, ...], reading: Reading, overflow: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, values by column) of every row below the header.

    Args:
        header: As csv_columns() says.
        reading: Where faults are counted.
        overflow: Column that cells beyond the header's belong to; empty drops them, counted.
    """
    width = max(place for place, name in enumerate(header) if name) + 1
    joined_at = header.index(overflow) if overflow and overflow in header else -1
    for place, name in enumerate(header):
        if not name:
            reading.note(Noticed.JUNK_COLUMN, f"column {place + 1} of {path.name}")
    names = header[:width]
    fit = _Fit(width, num_unnamed=len(header) - width, delimiter=delimiter, joined_at=joined_at)
    for number, cells in islice(_parsed(path, encoding, delimiter, reading, width=width), 1, None):
        reading.num_rows += 1
        fitted = cells if len(cells) == width else fit.fitted(cells, f"line {number}", reading)
        yield number, {name: cell for name, cell in zip(names, fitted, strict=True) if name}


@dataclass(frozen=True)
class _Fit:
    """How rows of another length than the header get its length."""

    width: int
    num_unnamed: int
    delimiter: str
    joined_at: int
    """Place of the text that overflows; below 0 for none."""

    def fitted(self, cells: list[str], place: str, reading: Reading) -> list[str]:
        """`width` cells; what it takes is noted where it means something."""
        if len(cells) < self.width:
            reading.note(Noticed.SHORT_ROW, place, self.delimiter.join(cells))
            return cells + [""] * (self.width - len(cells))
        # An empty cell at the end is that of an unnamed column, or the row's own last value behind an overflow.
        unnamed, extra = self.num_unnamed, len(cells) - self.width
        while extra and unnamed and not cells[-1].strip():
            cells, extra, unnamed = cells[:-1], extra - 1, unnamed - 1
        if not extra:
            return cells
        if self.joined_at < 0:
            reading.note(Noticed.LONG_ROW, place, self.delimiter.join(cells))
            return cells[: self.width]
        whole = rejoined(cells, extra, at=self.joined_at, delimiter=self.delimiter)
        reading.note(Noticed.REJOINED_CELLS, place, whole[self.joined_at])
        return whole


def rejoined(cells: list[str], extra: int, *, at: int, delimiter: str = ",") -> list[str]:
    """The row as it was before `extra` separators inside the text at `at` were taken for ends of cells."""
    return [*cells[:at], delimiter.join(cells[at : at + extra + 1]), *cells[at + extra + 1 :]]


def _parsed(
    path: Path, encoding: str, delimiter: str, reading: Reading, *, width: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of rows that are not empty."""
    lines = _without_nulls(text_lines(path, reading, encoding=encoding))
    for number, cells in quoted_rows(lines, delimiter, reading, width=width):
        if cells and (len(cells) > 1 or cells[0].strip()):
            yield number, cells


def _without_nulls(lines: Iterator[str]) -> Iterator[str]:
    return (line.replace("\0", "") if "\0" in line else line for line in lines)
