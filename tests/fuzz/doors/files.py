"""Files of events, as replay and import read them: every row is sent, or refused by name; those behind it are sent."""

import io
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmrec.errors import InvalidRequestError
from mmrec.events.event_files import newest_event_time_s, read_records, retimed
from mmrec.events.rules import Refusal, decode_record
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, malformed_event, valid_event
from tests.fuzz.table_inputs import malformed_table, valid_table


class LinesDoor:
    """JSON lines: an input is a line, a batch is a file."""

    name = "files.lines"
    batch = 200
    seeds = 4

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mmrec-fuzz-")

    def valid(self, rng: Random, number: int) -> Parts:
        return (valid_event(rng, number)[1],)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        broken = malformed_event(rng, number)
        line = (broken.parts[1] or b"").translate(None, b"\r\n") or b"?"
        return Fuzzed((line,), made_by=broken.made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        lines = [fuzzed.parts[0] or b"" for fuzzed in inputs]
        path = Path(self._folder.name) / "events.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        replayed = list(read_records(path))
        imported = list(retimed(read_records(path), imported=True))
        newest_s = newest_event_time_s(read_records(path))
        moved = list(retimed(read_records(path), shift_s=NOW_S - (newest_s or NOW_S)))
        if not len(replayed) == len(imported) == len(moved) == sum(bool(line.strip()) for line in lines):
            raise LookupError(f"{len(replayed)}, {len(imported)} and {len(moved)} records of {len(lines)} lines")
        sent = iter(zip(replayed, imported, strict=True))
        return [
            self._outcome(*next(sent)) if line.strip() else refused("blank", "a line without anything")
            for line in lines
        ]

    def _outcome(self, replayed: Any, imported: Any) -> Outcome:
        first, second = (
            decode_record(*record, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS)
            for record in (replayed, imported)
        )
        if isinstance(first, Refusal) != isinstance(second, Refusal):
            return accepted(problem=f"replay and import differ: {first} / {second}"[:400])
        if isinstance(first, Refusal) or isinstance(second, Refusal):
            assert isinstance(first, Refusal)
            return refused(first.reason.value, first.detail)
        same = (first.event_id, first.item_id, first.price) == (second.event_id, second.item_id, second.price)
        return accepted(intact=same and second.imported)

    def close(self) -> None:
        self._folder.cleanup()


class ParquetDoor:
    """An input is a whole Parquet file of a few rows."""

    name = "files.parquet"
    batch = 80
    seeds = 6

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="mmrec-fuzz-")

    def valid(self, rng: Random, number: int) -> Parts:
        return valid_table(rng, number)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        return malformed_table(rng, number)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        return [self._outcome(fuzzed) for fuzzed in inputs]

    def _outcome(self, fuzzed: Fuzzed) -> Outcome:
        path = Path(self._folder.name) / "events.parquet"
        path.write_bytes(fuzzed.parts[0] or b"")
        try:
            records = list(retimed(read_records(path), imported=True))
        except InvalidRequestError as error:
            return refused("InvalidRequestError", str(error))
        said = [decode_record(*r, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS) for r in records]
        table = _table(fuzzed.parts[0] or b"")
        if table is not None and table.num_rows != len(records):
            return accepted(problem=f"{len(records)} records of {table.num_rows} rows")
        if table is not None and (lost := _lost_times(table, records, said)):
            return accepted(problem=f"a time is lost: column of {lost}")
        refusals = [found for found in said if isinstance(found, Refusal)]
        if refusals:
            return refused(refusals[0].reason.value, refusals[0].detail)
        return accepted(intact=len(said) > 0)

    def close(self) -> None:
        self._folder.cleanup()


def _table(data: bytes) -> Any:
    try:
        return pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError):
        return None


def _lost_times(table: Any, records: Sequence[Any], said: Sequence[Any]) -> str:
    """The type of a column of times of which a row's record says nothing, though it is not refused."""
    for name in ("event_time", "event_time_s"):
        if table.column_names.count(name) == 1:
            given = _given(table[name]).to_pylist()
            for is_given, (_, value), found in zip(given, records, said, strict=True):
                if is_given and b'"event_time"' not in value and not isinstance(found, Refusal):
                    return str(table.schema.field(name).type)
    return ""


def _given(column: Any) -> Any:
    """Which cells hold anything; an empty text stands for nothing."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pc.fill_null(pc.not_equal(column, ""), False)
    return column.is_valid()
