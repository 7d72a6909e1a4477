"""Behavior events in files: JSON lines or Parquet in, records of the topic behavior-events out.

    for row in open_event_file(Path("events.jsonl")).rows(): row.number, row.key, row.value

A JSON line is one proto3 JSON BehaviorEvent and is sent byte for byte, broken lines too: the codec decides what is
refused, and reports it on the rejected topic. A Parquet file has the fields of BehaviorEvent as columns, in either
spelling; files of the event log (EVENT_SCHEMA) can be read as well. Every row becomes a record. If a value cannot be
expressed in an event, the row is written in a form that the codec refuses, with its place in the file (`file_row`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.events.columns import ANONYMOUS_PREFIX, EVENT_SCHEMA
from mmrec.events.event_edits import EventEdit, document_of, event_time_s, json_bytes, key_of
from mmrec.events.file_columns import ColumnTypeError, Fault, FileReading, column_reader
from mmrec.events.file_times import is_number, lacks_zone
from mmrec.events.rules import FIELD_NAMES
from mmrec.wire.documents import camel_case

Record = tuple[bytes, bytes]
"""Key and value as they are sent to Kafka."""
_ROWS: Final = 4_096
_BATCH_BYTES: Final = 64 << 20
"""Approximate size of a batch of rows."""
_MAX_KEY_BYTES: Final = 1_024
"""Only the beginning of a longer key is sent; the codec refuses ids beyond 256 bytes."""
_USER_FIELDS: Final = ("user_id", "anonymous_id", "user_key")
_LOG_FIELDS: Final = ("user_key", "event_time_s")
_FIELD_OF: Final = {
    **{form: name for name in FIELD_NAMES for form in (name, camel_case(name))},
    **{name: name for name in _LOG_FIELDS},
}
_ARRAY: Final = re.compile(rb"\s*\[\s*(\{.*)?", re.DOTALL)
_DRAIN_BYTES: Final = 1 << 16


class FileRow(NamedTuple):
    """One event of a file."""

    number: int
    """Of the line or row, from 1."""
    key: bytes
    value: bytes


@dataclass(frozen=True, kw_only=True)
class EventFile:
    """A file that was recognized by its beginning; each call of rows() reads it again."""

    path: Path
    row_word: str
    """What `number` counts: "line" or "row"."""
    ignored_columns: tuple[str, ...]
    """Columns that no event has."""
    read: Callable[[], Iterator[FileRow]]

    def rows(self) -> Iterator[FileRow]:
        """Events in the file's order, in bounded memory.

        Raises:
            InvalidRequestError: the file cannot be read further.
        """
        return self.read()


def open_event_file(path: Path, reading: FileReading | None = None) -> EventFile:
    """A file of events.

    Args:
        reading: What the file cannot say of itself; numbers without a unit are refused where it is absent.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: it is no Parquet, lacks a column, a column's type does not say what an event needs, it is
            a JSON array, its name ends neither in .parquet nor in a JSON one, or `reading` does not suit it.
    """
    reading = reading or FileReading()
    if not path.is_file():
        raise NotFoundError(f"no file {path}; give a file of behavior events, JSON lines or Parquet")
    if path.suffix == ".parquet":
        return _parquet_file(path, reading)
    if path.suffix in {".jsonl", ".ndjson", ".json"}:
        return _line_file(path, reading)
    raise InvalidRequestError(f"{path} ends in {path.suffix!r}; give .jsonl, .ndjson, .json (a line each) or .parquet")


def read_records(path: Path, reading: FileReading | None = None) -> Iterator[Record]:
    """Records of a file in its order, in bounded memory; errors as open_event_file()."""
    rows = open_event_file(path, reading).rows()
    return ((row.key, row.value) for row in rows)


def newest_event_time_s(records: Iterable[Record]) -> float | None:
    """Epoch seconds of the newest event that has a time; None where none has."""
    documents = (document_of(value) for _, value in records)
    times = (event_time_s(document) for document in documents if document is not None)
    return max((time_s for time_s in times if time_s is not None), default=None)


def retimed(records: Iterable[Record], *, shift_s: float = 0.0, imported: bool = False) -> Iterator[Record]:
    """Records with moved event times, flagged as imported history where asked (EventEdit)."""
    edit = EventEdit(shift_s=shift_s, imported=imported)
    for key, value in records:
        edited = edit.apply(key, value)
        yield edited.key, edited.value


def _line_file(path: Path, reading: FileReading) -> EventFile:
    if reading.time_unit or reading.time_zone:
        raise InvalidRequestError(
            f"{path} holds JSON, whose times are RFC 3339 texts; time unit and time zone are for columns"
        )
    first = next(_line_values(path, max_bytes=reading.max_bytes), None)
    if first is not None and _ARRAY.fullmatch(first[1]):
        raise InvalidRequestError(
            f"{path} holds one JSON array; give one event a line, as `jq -c '.[]' {path.name} > events.jsonl` writes"
        )
    return EventFile(
        path=path, row_word="line", ignored_columns=(), read=lambda: _lines(path, max_bytes=reading.max_bytes)
    )


def _lines(path: Path, *, max_bytes: int) -> Iterator[FileRow]:
    for number, value in _line_values(path, max_bytes=max_bytes):
        yield FileRow(number, key_of(document_of(value) or {})[:_MAX_KEY_BYTES], value)


def _line_values(path: Path, *, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(number, line) of all lines that are not empty; only the beginning of lines longer than the codec reads."""
    number = 0
    with path.open("rb") as file:
        while line := file.readline(max_bytes + 2):
            number += 1
            if len(line) > max_bytes and not line.endswith(b"\n"):
                while (rest := file.readline(_DRAIN_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield number, line[: max_bytes + 1]
            elif value := line.strip():
                yield number, value


def _parquet_file(path: Path, reading: FileReading) -> EventFile:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequestError(f"{path} is no Parquet file: {error}") from None
    columns = _columns(path, schema)
    fields = {name: _FIELD_OF[name] for name in columns}
    _check_reading(path, schema, fields, reading)
    readers: dict[str, Callable[[pa.Array], list[Any]]] = {}
    for name, field in fields.items():
        kind = schema.field(name).type
        try:
            readers[name] = column_reader(field, kind, reading)
        except ColumnTypeError as error:
            raise InvalidRequestError(f"{path}: column {name} is {kind}; {error}") from None
    ignored = tuple(name for name in schema.names if name not in fields and name not in EVENT_SCHEMA.names)
    return EventFile(
        path=path, row_word="row", ignored_columns=ignored, read=lambda: _parquet_rows(path, readers, reading.max_bytes)
    )


def _columns(path: Path, schema: pa.Schema) -> list[str]:
    """Columns that are fields of events."""
    names = [name for name in schema.names if name in _FIELD_OF]
    numbers = Counter(_FIELD_OF[name] for name in names)
    if twice := [name for name, number in numbers.items() if number > 1]:
        raise InvalidRequestError(f"{path} has more than one column for {', '.join(twice)}; give each field one column")
    missing = [name for name in ("event_id", "item_id", "behavior") if name not in numbers]
    if not numbers.keys() & set(_USER_FIELDS):
        missing.append("user_id")
    if missing:
        raise InvalidRequestError(f"{path} lacks the columns {missing}; it has {sorted(schema.names)}")
    return names


def _check_reading(path: Path, schema: pa.Schema, fields: Mapping[str, str], reading: FileReading) -> None:
    """Check that a given unit or zone applies to the column of times, so that neither is silently ignored."""
    kinds = [schema.field(name).type for name, field in fields.items() if field == "event_time"]
    is_now = f"event_time is {kinds[0]}" if kinds else "there is no column event_time"
    if reading.time_unit and not any(map(is_number, kinds)):
        raise InvalidRequestError(f"{path}: {is_now}; a time unit is for a column of numbers, leave it out")
    if reading.time_zone and not any(map(lacks_zone, kinds)):
        raise InvalidRequestError(f"{path}: {is_now}; a time zone is for timestamps without one, leave it out")


def _parquet_rows(
    path: Path, readers: Mapping[str, Callable[[pa.Array], list[Any]]], max_bytes: int
) -> Iterator[FileRow]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_batch_rows(file), columns=list(readers)):
                cells = {_FIELD_OF[name]: read(batch.column(name)) for name, read in readers.items()}
                for values in zip(*cells.values(), strict=True):
                    number += 1
                    document = _event(dict(zip(cells, values, strict=True)), place=f"{path.name}:{number}")
                    value = json_bytes(document) or b""
                    yield FileRow(number, key_of(document)[:_MAX_KEY_BYTES], value[: max_bytes + 1])
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequestError(f"{path} cannot be read beyond row {number}: {error}") from None


def _batch_rows(file: pq.ParquetFile) -> int:
    """Number of rows to read together; fewer where rows are long."""
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return max(1, min(_ROWS, int(_BATCH_BYTES / max(1.0, row_bytes))))


def _event(row: dict[str, Any], *, place: str) -> dict[str, Any]:
    """The event of a row; absent values, zeros among them, are left out."""
    user_key, time = row.pop("user_key", None), row.pop("event_time_s", None)
    if row.get("event_time") is None:
        row["event_time"] = time
    if isinstance(user_key, str) and user_key.startswith(ANONYMOUS_PREFIX):
        row["anonymous_id"] = user_key.removeprefix(ANONYMOUS_PREFIX)
    elif user_key:
        row["user_id"] = user_key
    faults = {name: value.written for name, value in row.items() if isinstance(value, Fault)}
    event = {name: value for name, value in row.items() if name not in faults and value not in (None, "", 0, False)}
    return {**event, **faults, "file_row": place} if faults else event
