"""Tables in files, whatever their form: rows as names with values, in the file's order, in bounded memory.

table = open_table(Path("items.csv.gz"))
table.columns, table.kind
for row in table.rows(Reading(), overflow="title"): row.number, row.cells["title"]
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.catalog.importers.csv_rows import csv_columns, csv_rows, delimiter_of, is_unnamed
from mmrec.catalog.importers.json_rows import json_columns, json_rows
from mmrec.catalog.importers.lines import PACKED, encoding_of, open_bytes, plain_suffix
from mmrec.catalog.importers.reading import Reading
from mmrec.errors import InvalidRequestError, NotFoundError

CSV, TSV, JSON, PARQUET = ".csv", ".tsv", ".jsonl", ".parquet"
SUFFIXES: Final = {
    **{".csv": CSV, ".txt": CSV, ".tsv": TSV, ".tab": TSV},
    **{".jsonl": JSON, ".ndjson": JSON, ".json": JSON, ".parquet": PARQUET, ".pq": PARQUET},
}
"""What is read, by the name's end before .gz or .zst."""
NUM_SAMPLES: Final = 300
"""Rows that are looked at to understand a table."""
_BATCH: Final = 2_048


class Row(NamedTuple):
    """One row of a table."""

    number: int
    """Of the line or row in the file, from 1; the header is line 1."""
    cells: Mapping[str, Any]
    """By column. CSV gives texts; JSON and Parquet give their own types. Absent values are None or not there."""


class ReadRows(Protocol):
    """How the rows of a table are read; every call begins anew."""

    def __call__(self, reading: Reading, *, overflow: str = "") -> Iterator[Row]:
        """Rows; `overflow` names the column that cells beyond the header's belong to."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file that was recognized by its name and beginning."""

    path: Path
    kind: str
    """In words, such as "CSV with ';' between, utf-16"."""
    row_word: str
    """What a row's number counts: "line" or "row"."""
    columns: tuple[str, ...]
    """Of JSON lines: names among the first rows."""
    rows: ReadRows

    def samples(self) -> list[Row]:
        """The first rows."""
        return list(islice(self.rows(Reading()), NUM_SAMPLES))


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table."""
    return plain_suffix(path) in SUFFIXES


def open_table(path: Path, *, encoding: str = "") -> Table:
    """A table of any form.

    Args:
        encoding: Of a text file, where the caller knows it.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: its name says no form that is read, or it is not of that form.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    kind = SUFFIXES.get(plain_suffix(path))
    if kind is None:
        raise InvalidRequestError(
            f"{path} ends in {path.suffix!r}; give {', '.join(SUFFIXES)}, each also with .gz or .zst"
        )
    if kind == PARQUET:
        return _parquet(path)
    found = encoding_of(path, encoding)
    return _json(path, found) if kind == JSON else _csv(path, found, is_tabbed=kind == TSV)


def _csv(path: Path, encoding: str, *, is_tabbed: bool) -> Table:
    delimiter = "\t" if is_tabbed else delimiter_of(path, encoding)
    header = csv_columns(path, encoding, delimiter)

    def rows(reading: Reading, *, overflow: str = "") -> Iterator[Row]:
        found = csv_rows(path, encoding, delimiter, header=header, reading=reading, overflow=overflow)
        return (Row(number, cells) for number, cells in found)

    words = f"{'TSV' if delimiter == chr(9) else 'CSV'}{'' if delimiter in (',', chr(9)) else f' with {delimiter!r}'}"
    return Table(
        path=path,
        kind=f"{words}, {encoding or 'utf-8'}",
        row_word="line",
        columns=tuple(name for name in header if name),
        rows=rows,
    )


def _json(path: Path, encoding: str) -> Table:
    columns = json_columns(path, encoding, NUM_SAMPLES)

    def rows(reading: Reading, *, overflow: str = "") -> Iterator[Row]:
        return (Row(number, cells) for number, cells in json_rows(path, encoding, reading))

    return Table(path=path, kind=f"JSON lines, {encoding or 'utf-8'}", row_word="line", columns=columns, rows=rows)


@contextmanager
def _open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file, unpacked beside memory where it is packed once more: it is read from its end."""
    with ExitStack() as stack:
        source: Any = path
        if path.suffix.lower() in PACKED:
            source = stack.enter_context(tempfile.TemporaryFile())
            with open_bytes(path) as packed:
                shutil.copyfileobj(packed, source)
        yield stack.enter_context(pq.ParquetFile(source))


def _parquet(path: Path) -> Table:
    try:
        with _open_parquet(path) as file:
            names = tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequestError(f"{path} is no Parquet file: {error}") from None
    columns = tuple(name for name in names if not is_unnamed(name))

    def rows(reading: Reading, *, overflow: str = "") -> Iterator[Row]:
        number = 0
        try:
            with _open_parquet(path) as file:
                for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
                    for cells in batch.to_pylist():
                        number += 1
                        reading.num_rows += 1
                        yield Row(number, cells)
        except (pa.ArrowException, OSError) as error:
            raise InvalidRequestError(f"{path} cannot be read beyond row {number}: {error}") from None

    return Table(path=path, kind="Parquet", row_word="row", columns=columns, rows=rows)
