"""Parquet files of behavior events: columns of every type that somebody's export has, and files with damaged pages."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.wire.instants import parse_time
from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged
from tests.fuzz.door import Fuzzed, Parts
from tests.fuzz.event_inputs import event_document

NUM_ROWS: Final = 4
_MOMENT: Final = datetime(2025, 12, 1, 12, 0, 0, tzinfo=UTC)
_ZONES: Final = (None, "UTC", "Asia/Tokyo")
_INSTANT_S: Final = 1_764_590_400
Column = Callable[[], pa.Array]


def _array(values: list[Any], kind: Any = None) -> Column:
    return lambda: pa.array((values * NUM_ROWS)[:NUM_ROWS], kind)


_TIMES: Final[tuple[Column, ...]] = (
    *(
        _array([_MOMENT], pa.timestamp(unit, tz=tz))
        for unit in ("s", "ms", "us", "ns")
        for tz in (None, "UTC", "Asia/Tokyo")
    ),
    *(_array([_INSTANT_S * factor], pa.int64()) for factor in (1, 1_000, 1_000_000, 1_000_000_000)),
    *(_array([float(_INSTANT_S)]), _array([_INSTANT_S], pa.int32()), _array([date(2025, 12, 1)], pa.date32())),
    *(_array([date(2025, 12, 1)], pa.date64()), _array(["2025-12-01T12:00:00Z"]), _array(["2025-12-01 12:00:00"])),
    *(_array([None, _MOMENT], pa.timestamp("us", tz="UTC")), _array([None], pa.null()), _array([True])),
    *(_array([b"2025-12-01T12:00:00Z"], pa.binary()), _array([Decimal(_INSTANT_S)]), _array([[1]]), _array([""])),
    _array([253_402_300_799_999_999], pa.timestamp("us", tz="UTC")),
    _array([-62_135_596_801_000_000], pa.timestamp("us", tz="UTC")),
    _array([2**63 - 1], pa.timestamp("us")),
    _array([float("nan"), float("inf"), 1e20, -1.0]),
)
_NUMBERS: Final[tuple[Column, ...]] = (
    *(_array([Decimal("10.50")], pa.decimal128(10, 2)), _array([Decimal("1")], pa.decimal256(60, 0))),
    *(_array([float("nan")]), _array([float("inf")]), _array([-1.0]), _array([1.5], pa.float32()), _array([3])),
    *(_array([2**63], pa.uint64()), _array(["12.5"]), _array(["1,299.00"]), _array([True]), _array([b"1"])),
    *(_array([None], pa.null()), _array([[1.0]]), _array([{"units": 1}]), _array([1.5], pa.float16())),
)
_TEXTS: Final[tuple[Column, ...]] = (
    *(_array([b"i1", b"\xff\xfe"], pa.binary()), _array([1, 2], pa.int64()), _array([1.0, 2.5]), _array([None])),
    *(_array(["a", "b"], pa.large_string()), _array([b"1234"], pa.binary(4)), _array([True]), _array([["a"]])),
    *(_array([{"id": "a"}]), _array([_MOMENT], pa.timestamp("us")), _array([""]), _array(["x" * 300])),
    lambda: pa.array(["i1"] * NUM_ROWS).dictionary_encode(),
)
_CONTEXTS: Final[tuple[Column, ...]] = (
    *(_array(['{"page":"home"}']), _array(["no JSON"]), _array(["[1]"]), _array(['"x"']), _array(["[" * 5_000])),
    *(_array([[("page", "home")]], pa.map_(pa.string(), pa.string())), _array([{"page": "home"}]), _array([["page"]])),
    *(_array([[("a", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string())), _array([1]), _array([b"{}"])),
    *(_array([[("a", None)]], pa.map_(pa.string(), pa.string())), _array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))),
    *(_array([[("page", {"deep": 1})]], pa.map_(pa.string(), pa.struct([("deep", pa.int64())]))), _array(["NaN"])),
    _array(['{"a":"\\ud83d"}']),
)
_OF_COLUMN: Final = {
    "event_time": _TIMES,
    "event_time_s": _TIMES,
    "price": _NUMBERS,
    "quantity": _NUMBERS,
    "position": _NUMBERS,
    "imported": (*_NUMBERS[:4], *_TEXTS[:4]),
    "context": _CONTEXTS,
    **dict.fromkeys(("event_id", "item_id", "behavior", "user_id", "user_key", "session_id", "currency"), _TEXTS),
}


def events_table(rng: Random, number: int) -> pa.Table:
    """Valid events as columns, times with a zone."""
    documents = [event_document(rng, number * NUM_ROWS + row) for row in range(NUM_ROWS)]
    for document in documents:
        document.setdefault("user_id", document.pop("anonymous_id", ""))
        document["event_time"] = datetime.fromtimestamp(
            round(parse_time(document.get("event_time", "2025-12-01T12:00:00Z")) or 0), UTC
        )
        document["context"] = None
    names = ("event_id", "user_id", "item_id", "behavior", "event_time", "price", "currency")
    return pa.table({name: pa.array([document.get(name) for document in documents]) for name in names})


def parquet_bytes(table: pa.Table, rng: Random) -> bytes:
    """A file of a table."""
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        compression=rng.choice(("none", "snappy", "zstd", "gzip")),
        row_group_size=rng.choice((1, 2, 1_000)),
        use_dictionary=rng.random() < 0.5,
    )
    return file.getvalue()


def valid_table(rng: Random, number: int) -> Parts:
    """A file of valid events."""
    return (parquet_bytes(events_table(rng, number), rng),)


def malformed_table(rng: Random, number: int) -> Fuzzed:
    """A file with a column of an odd type, without one, or with bytes changed."""
    table = events_table(rng, number)
    kind = rng.randrange(10)
    if kind <= 2:
        value, made_by = damaged(parquet_bytes(table, rng), rng)
        return Fuzzed((value,), made_by=f"bytes {made_by}")
    if kind == 3:
        table = table.drop_columns([rng.choice(table.column_names)])
        return Fuzzed((parquet_bytes(table, rng),), made_by="no column")
    if kind == 4:
        again = table.append_column(rng.choice(table.column_names), table["item_id"])
        return Fuzzed((parquet_bytes(again, rng),), made_by="column twice")
    if kind == 5:
        texts = pa.array([awkward.text(rng) for _ in range(NUM_ROWS)])
        name = rng.choice(("item_id", "user_id", "event_id", "event_time", "currency"))
        table = table.set_column(table.column_names.index(name), name, texts)
        return Fuzzed((parquet_bytes(table, rng),), made_by=f"awkward {name}")
    name = rng.choice(tuple(_OF_COLUMN))
    made = rng.choice(_OF_COLUMN[name])()
    table = table.drop_columns([name]) if name in table.column_names else table
    table = table.append_column(name, made)
    if name == "event_time_s":
        table = table.drop_columns(["event_time"])
    if name == "user_key":
        table = table.drop_columns(["user_id"])
    return Fuzzed((parquet_bytes(table, rng),), made_by=f"{name} {str(made.type)[:30]}")
