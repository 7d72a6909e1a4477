"""Rows of CSV whose cells may be quoted over several lines, in files where a quote was opened and never closed.

    id,title,color
    7,"Shirt,Blue          the quote is not closed: all that follows would be one cell
    8,Coat,Red

A row ends where its quotes are closed. Where the file ends inside a quote, or MAX_ROW_LINES lines belong to one row,
its first line is a row of its own in which quotes mean nothing, and what follows is read again. The same is done where
a quote was closed by another one's beginning (`8,"Coat"` after the line above) and every line has the header's cells:
these were rows.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import Final

from mmrec.catalog.importers.reading import Noticed, Reading

MAX_CELL: Final = 1 << 22
"""Characters of one cell."""
MAX_ROW_LINES: Final = 1_000
"""Lines of one row; more were swallowed by an open quote."""


def quoted_rows(
    lines: Iterator[str], delimiter: str, reading: Reading, *, width: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """(last line, cells) of every row, empty ones too.

    Args:
        reading: Where open quotes and rows that cannot be read are counted.
        width: Cells that a row should have.
    """
    csv.field_size_limit(MAX_CELL)
    source = _Lines(lines)
    rows = csv.reader(source, delimiter=delimiter)
    while True:
        source.taken.clear()
        problem = ""
        try:
            cells = next(rows, None)
        except csv.Error as error:
            cells, problem = [], str(error)
        if cells is None:
            return
        taken, first = list(source.taken), source.number - len(source.taken) + 1
        is_open = source.is_open or bool(problem)
        if len(taken) > 1 and (is_open or _were_rows(taken, delimiter, width)):
            source.again(taken[1:])
            reading.note(Noticed.OPEN_QUOTE, f"line {first}", taken[0].rstrip("\r\n"))
            yield first, _bare(taken[0], delimiter)
        elif problem:
            reading.num_rows += 1
            reading.note(Noticed.UNREADABLE_ROW, f"line {source.number}", problem)
        elif is_open:
            reading.note(Noticed.OPEN_QUOTE, f"line {first}", taken[0].rstrip("\r\n"))
            yield first, _bare(taken[0], delimiter)
        else:
            yield source.number, cells


class _Lines:
    """Lines of a file, some of them a second time; ends a row that has too many."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.number = 0
        """Of the line that was given last."""
        self.taken: list[str] = []
        """Lines of the row that is being read."""
        self.is_open = False
        """Whether that row wanted one more line and did not get it."""
        self._lines, self._again = lines, deque[str]()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.is_open = False
        if len(self.taken) < MAX_ROW_LINES:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is not None:
                self.taken.append(line)
                self.number += 1
                return line
        self.is_open = bool(self.taken)
        raise StopIteration

    def again(self, lines: list[str]) -> None:
        """Give these lines once more."""
        self._again.extendleft(reversed(lines))
        self.number -= len(lines)
        self.is_open = False


def _were_rows(taken: list[str], delimiter: str, width: int) -> bool:
    """Whether lines that quotes made one row are rows: a quote ends inside a cell, and each line has enough cells."""
    try:
        list(csv.reader(taken, delimiter=delimiter, strict=True))
    except csv.Error:
        return width > 1 and all(len(_bare(line, delimiter)) >= width for line in taken)
    return False


def _bare(line: str, delimiter: str) -> list[str]:
    """Cells of a line in which quotes mean nothing; those around a whole cell are taken off."""
    cells = next(csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
    return [cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells]
