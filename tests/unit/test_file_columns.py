"""Columns of files are read by the type they declare, or the file or the row is refused by name; nothing is guessed."""

import datetime
import decimal
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.event_files import open_event_file, read_records
from mmrec.events.file_columns import ColumnTypeError, FileReading, column_reader
from mmrec.events.rules import FIELD_NAMES, EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.wire.instants import exact_text, parse_time

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
NO_HORIZON = EventSettings(horizon_s=-(10.0**12))


def outcome(key: bytes, value: bytes) -> EventFields | Refusal:
    return decode_record(key, value, ingest_time_s=NOW_S, behaviors=shop_behaviors(), settings=NO_HORIZON)


def write(path: Path, **columns: object) -> Path:
    """A file of as many rows as the given columns have, with ids and behaviors that will do."""
    size = len(next(iter(columns.values())))  # type: ignore[arg-type]
    ids = {"event_id": [f"e{n}" for n in range(size)], "user_id": ["u1"] * size, "item_id": ["i1"] * size}
    pq.write_table(pa.table({**ids, "behavior": ["cart"] * size, **columns}), path)
    return path


def outcomes(path: Path, reading: FileReading | None = None) -> list[EventFields | Refusal]:
    return [outcome(*record) for record in read_records(path, reading)]


def taken(path: Path, reading: FileReading | None = None) -> list[EventFields]:
    found = outcomes(path, reading)
    assert all(isinstance(each, EventFields) for each in found), found
    return [each for each in found if isinstance(each, EventFields)]


@pytest.mark.parametrize("unit", NANOS)
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(30, 3)])
def test_numbers_are_times_only_in_the_unit_that_the_call_names(unit: str, kind: pa.DataType, tmp_path: Path) -> None:
    value = int(NOW_S) * (10**9 // NANOS[unit])
    made = decimal.Decimal if pa.types.is_decimal(kind) else float if pa.types.is_floating(kind) else int
    numbers = pa.array([made(value), None], kind)
    path = write(tmp_path / "history.parquet", event_time=numbers)
    with pytest.raises(InvalidRequestError) as refused:
        open_event_file(path)
    for said in ("history.parquet", "column event_time", str(kind), "--time-unit"):
        assert said in str(refused.value)
    assert [each.event_time_s for each in taken(path, FileReading(time_unit=unit))] == [NOW_S, NOW_S]


def test_fractions_of_seconds_stay_and_numbers_that_are_no_instants_refuse_their_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", event_time=[NOW_S - 0.3, float("nan"), float("inf"), -1e300, 0.5])
    first, *bad, last = outcomes(path, FileReading(time_unit="s"))
    assert isinstance(first, EventFields)
    assert isinstance(last, EventFields)
    assert (first.event_time_s, last.event_time_s) == (NOW_S - 0.3, 0.5)
    assert [each.reason.value for each in bad if isinstance(each, Refusal)] == ["bad_time"] * 3


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.duration("s"), pa.bool_()),
        *(pa.list_(pa.int64()), pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.string())),
    ],
)
def test_a_column_that_holds_no_instants_refuses_the_file(kind: pa.DataType) -> None:
    with pytest.raises(ColumnTypeError, match="give"):
        column_reader("event_time", kind, FileReading(time_unit="ms"))


def test_a_unit_or_a_zone_that_would_change_nothing_is_refused(tmp_path: Path) -> None:
    zoned = write(tmp_path / "z.parquet", event_time=pa.array([0], pa.timestamp("us", tz="UTC")))
    text = write(tmp_path / "t.parquet", event_time=["2025-01-01T00:00:00Z"])
    lines = tmp_path / "l.jsonl"
    lines.write_text("{}\n")
    for path in (zoned, text, lines):
        for reading in (FileReading(time_unit="ms"), FileReading(time_zone="Europe/Berlin")):
            with pytest.raises(InvalidRequestError, match=r"leave it out|for columns"):
                open_event_file(path, reading)
    for wrong in ({"time_unit": "min"}, {"time_zone": "Berlin"}, {"time_zone": "../etc"}, {"time_zone": "/etc"}):
        with pytest.raises(InvalidRequestError, match="give"):
            FileReading(**wrong)


READ_TIMES = """
import sys
from pathlib import Path
from mmrec.events.event_files import read_records
for path in sys.argv[1:]:
    print(*(value.decode() for _, value in read_records(Path(path))), sep="\\n")
"""


def test_zone_less_times_of_every_unit_are_utc_on_a_machine_in_any_zone(tmp_path: Path) -> None:
    times = {unit: pa.array([int(NOW_S) * (10**9 // n), -1, None], pa.timestamp(unit)) for unit, n in NANOS.items()}
    paths = [write(tmp_path / f"{unit}.parquet", event_time=column) for unit, column in times.items()]
    said = {
        zone: subprocess.run(
            [sys.executable, "-c", READ_TIMES, *map(str, paths)],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone in ("UTC", "America/New_York", "Asia/Kolkata")
    }
    assert len(set(said.values())) == 1
    events = [json.loads(line) for line in said["Asia/Kolkata"].splitlines()]
    assert [e.get("event_time") for e in events[::3]] == ["2026-01-01T00:00:00Z"] * 4
    assert [e.get("event_time") for e in events[1::3]] == [
        *("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z"),
        *("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999999Z"),
    ]
    assert [e.get("event_time") for e in events[2::3]] == [None] * 4


@pytest.mark.parametrize("unit", NANOS)
def test_zone_less_times_are_read_in_the_zone_that_the_call_names(unit: str, tmp_path: Path) -> None:
    walls = {
        "2025-07-01T12:00:00": "2025-07-01T10:00:00Z",
        "2025-12-01T12:00:00": "2025-12-01T11:00:00Z",
        "2025-10-26T02:30:00": "2025-10-26T00:30:00Z",  # comes twice: the earlier one
        "2025-03-30T02:30:00": None,  # is skipped
        "2025-03-30T03:00:00": "2025-03-30T01:00:00Z",
    }
    column = pa.array([np.datetime64(wall, "s") for wall in walls]).cast(pa.timestamp(unit))
    found = outcomes(write(tmp_path / "a.parquet", event_time=column), FileReading(time_zone="Europe/Berlin"))
    for each, instant in zip(found, walls.values(), strict=True):
        if instant is None:
            assert isinstance(each, Refusal)
            assert each.reason.value == "bad_time"
            assert "2025-03-30T02:30:00, which Europe/Berlin skips" in each.detail
        else:
            assert isinstance(each, EventFields)
            assert each.event_time_s == parse_time(instant)


@given(st.floats(-62_135_596_800.0, 253_402_300_799.0))
def test_an_instant_comes_back_from_its_text_as_the_same_number(time_s: float) -> None:
    text = exact_text(time_s)
    assert text is not None
    if abs(time_s) > 2**23:  # from here on neighboring numbers are more than a nanosecond apart
        assert parse_time(text) == time_s
    else:
        assert parse_time(text) == pytest.approx(time_s, abs=1e-9)


def test_what_can_be_read_plainly_is(tmp_path: Path) -> None:
    path = write(
        tmp_path / "plain.parquet",
        event_id=pa.array([b"e0", b"e1"], pa.large_binary()),
        user_id=pa.array([2**64 - 1, 0], pa.uint64()),
        item_id=pa.array([decimal.Decimal(10**20), decimal.Decimal(-7)], pa.decimal128(38, 0)),
        behavior=pa.array(["cart", "browse"]).dictionary_encode(),
        currency=pa.array(["EUR", None], pa.large_string()),
        price=pa.array([decimal.Decimal("19.99"), None], pa.decimal128(10, 2)),
        quantity=pa.array([2.0, 0.5], pa.float16()),
        position=pa.array([3, None], pa.uint8()),
        context=pa.array([{"page": "home", "b": None}, None], pa.struct([("page", pa.string()), ("b", pa.string())])),
        domain=pa.nulls(2),
        colour=["red", "blue"],
    )
    assert open_event_file(path).ignored_columns == ("colour",)
    first, second = taken(path)
    assert (first.event_id, first.user_id, first.item_id) == ("e0", str(2**64 - 1), str(10**20))
    assert (first.price, first.quantity, first.position, first.currency) == (19.99, 2.0, 3, "EUR")
    assert json.loads(first.context) == {"page": "home"}
    assert (second.user_id, second.item_id, second.behavior) == ("0", "-7", "browse")
    assert (second.price, second.quantity, second.context, second.num_unknown_fields) == (0.0, 0.5, "", 0)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[("a", "1"), ("b", None)], None], pa.map_(pa.string(), pa.string())),
        pa.array(['{"a":"1"}', "null"]),
        pa.array([b'{"a": "1"}', b""], pa.binary()),
    ],
)
def test_a_context_is_a_map_or_its_json(column: pa.Array, tmp_path: Path) -> None:
    first, second = taken(write(tmp_path / "a.parquet", context=column))
    assert (json.loads(first.context), second.context) == ({"a": "1"}, "")


def test_maps_of_a_later_slice_are_its_own() -> None:
    column = pa.array([[("a", str(n))] for n in range(10)], pa.map_(pa.string(), pa.string()))
    read = column_reader("context", column.type, FileReading())
    assert read(column.slice(4, 2)) == [{"a": "4"}, {"a": "5"}]
    rows = pa.array([{"a": str(n)} for n in range(10)])
    assert column_reader("context", rows.type, FileReading())(rows.slice(4, 2)) == [{"a": "4"}, {"a": "5"}]


@pytest.mark.parametrize(
    ("name", "column", "reason", "said"),
    [
        ("price", pa.array([1.0, float("nan"), 2.0]), "wrong_type", "price is 'nan'"),
        ("price", pa.array(["1.5", "cheap", "2"]), "wrong_type", "price is 'cheap'"),
        ("price", pa.array([decimal.Decimal("1.0"), decimal.Decimal("-1.5"), None]), "out_of_range", "price is -1.5"),
        ("quantity", pa.array([1, -1, 2]), "out_of_range", "quantity is -1.0"),
        ("position", pa.array([1, 2**40, 2]), "wrong_type", "position is 1099511627776"),
        ("position", pa.array([1.0, 1.5, 2.0]), "wrong_type", "position is 1.5"),
        (
            "item_id",
            pa.array([b"a", b"\xff\xfe", b"c"]),
            "wrong_type",
            "item_id is {'bytes that are no UTF-8': '//4='}",
        ),
        ("event_id", pa.array([b"a" * 4, b"\xffabc", b"c" * 4], pa.binary(4)), "wrong_type", "event_id is {"),
        ("user_key", pa.array([b"a", b"\xff\xfe", b"c"]), "wrong_type", "user_id is {"),
        ("context", pa.array(["{}", "home", ""]), "wrong_type", "context is 'home'"),
        ("context", pa.array(["{}", '{"a":1e400}', ""]), "wrong_type", "context is '{\"a\":1e400}'"),
        ("context", pa.array(["{}", '{"a":"\\ud83d"}', ""]), "malformed_json", "half a surrogate pair"),
        (
            "context",
            pa.array([[], [("a", "1"), ("a", "2")], None], pa.map_(pa.string(), pa.string())),
            "wrong_type",
            "context is [['a', '1'], ['a', '2']]",
        ),
        ("event_time", pa.array(["2025-01-01T00:00:00Z", "2025-01-01", None]), "bad_time", "'2025-01-01'"),
        ("event_time", pa.array([0, 2**60, 1], pa.timestamp("us")), "bad_time", "1152921504606s"),
        ("event_time_s", pa.array([0.5, float("nan"), 1.0]), "bad_time", "event_time is 'nan'"),
    ],
)
def test_a_value_without_a_form_refuses_its_row_alone_and_the_refusal_shows_it(
    name: str, column: pa.Array, reason: str, said: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "history.parquet", **{name: column})
    first, second, third = outcomes(path)
    assert isinstance(first, EventFields), first
    assert isinstance(third, EventFields), third
    assert isinstance(second, Refusal)
    assert (second.reason.value, said in second.detail) == (reason, True), second
    _, (_, value), _ = read_records(path)
    document = json.loads(value)
    if reason in ("wrong_type", "bad_time") and "file_row" in document:
        assert document["file_row"] == "history.parquet:2"


def test_text_that_is_no_utf8_is_refused_row_by_row() -> None:
    bad = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    assert column_reader("item_id", bad.type, FileReading())(bad)[::2] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "kind", "right"),
    [
        *(("price", kind, "decimal") for kind in (pa.bool_(), pa.timestamp("us"), pa.list_(pa.float64()))),
        *(("item_id", kind, "whole numbers") for kind in (pa.float64(), pa.bool_(), pa.decimal128(9, 2), pa.date32())),
        *(("imported", kind, "boolean") for kind in (pa.int8(), pa.string())),
        *(("context", kind, "struct") for kind in (pa.list_(pa.string()), pa.int64(), pa.map_(pa.string(), pa.int8()))),
        ("context", pa.struct([("a", pa.struct([("b", pa.string())]))]), "struct of texts"),
    ],
)
def test_a_type_that_would_have_to_be_guessed_refuses_the_file_and_names_column_and_type(
    name: str, kind: pa.DataType, right: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "history.parquet", **{name: pa.nulls(1, kind)})
    with pytest.raises(InvalidRequestError) as refused:
        open_event_file(path)
    assert f"column {name} is {pq.read_schema(path).field(name).type}; give" in str(refused.value)
    assert right in str(refused.value)


def test_columns_are_found_in_both_spellings_and_once(tmp_path: Path) -> None:
    path = write(tmp_path / "camel.parquet", eventTime=pa.array([0], pa.timestamp("s")), sessionId=["s"])
    (event,) = taken(path)
    assert (event.event_time_s, event.session_id) == (0.0, "s")
    both = write(tmp_path / "both.parquet", eventTime=["x"], event_time=["y"])
    twice = pa.Table.from_arrays([pa.array(["a"])] * 5, ["event_id", "user_id", "item_id", "behavior", "item_id"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    for each, said in ((both, "event_time"), (tmp_path / "twice.parquet", "item_id")):
        with pytest.raises(InvalidRequestError, match=f"more than one column for {said}"):
            open_event_file(each)


def test_long_and_broken_files_stay_bounded_and_say_where_they_end(tmp_path: Path) -> None:
    path = write(tmp_path / "long.parquet", domain=["x" * 200_000, "short"], user_id=["u" * 5_000, "u1"])
    (key, value), second = read_records(path)
    assert len(value) == FileReading().max_bytes + 1
    assert len(key) == 1_024
    refused = outcome(key, value)
    assert isinstance(refused, Refusal)
    assert refused.reason.value == "too_large"
    assert isinstance(outcome(*second), EventFields)
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(bytes(data))
    with pytest.raises(InvalidRequestError, match=r"long.parquet cannot be read beyond row 0"):
        list(read_records(path))


KINDS = [
    *(pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.binary(3), pa.date32(), pa.time64("ns"), pa.duration("ms")),
    *(pa.timestamp("us"), pa.timestamp("ns", tz="Asia/Tokyo"), pa.decimal128(10, 2), pa.decimal256(50, 0)),
    *(pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.string()), pa.struct([("a", pa.string())])),
    *(pa.map_(pa.string(), pa.string()), pa.map_(pa.string(), pa.int64())),
]
VALUES = st.one_of(
    *(st.none(), st.integers(), st.floats(), st.booleans(), st.text(max_size=4), st.binary(max_size=4)),
    *(st.dates(), st.datetimes(), st.decimals(allow_nan=False, places=2), st.just({"a": "b"})),
    *(st.just([("a", "b")]), st.just('{"a":"b"}'), st.just(datetime.timedelta(days=1))),
)


def as_array(values: list[object], kind: pa.DataType) -> pa.Array:
    """The values that the type can hold, absent where it cannot."""
    return pa.concat_arrays([_one(value, kind) for value in values])


def _one(value: object, kind: pa.DataType) -> pa.Array:
    try:
        return pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
        return pa.nulls(1, kind)


@settings(max_examples=300, deadline=None)
@given(
    field=st.sampled_from([*FIELD_NAMES, "user_key", "event_time_s"]),
    kind=st.sampled_from(KINDS),
    values=st.lists(VALUES, min_size=3, max_size=3),
)
def test_whatever_a_column_holds_each_row_is_taken_or_refused_for_that_field(
    field: str, kind: pa.DataType, values: list[object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    write(path, **{field: as_array(values, kind)})
    try:
        events = open_event_file(path)
    except InvalidRequestError as error:
        assert f"column {field} is" in str(error)
        return
    found = [outcome(row.key, row.value) for row in events.rows()]
    assert len(found) == 3
    shown = {"user_key": "user_id", "event_time_s": "event_time"}.get(field, field)
    for each in found:
        assert isinstance(each, EventFields) or shown in each.detail or "missing" in each.reason.value, each
