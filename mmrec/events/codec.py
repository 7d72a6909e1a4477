"""Records of the topic behavior-events to event columns and back.

    decoded = decode_batch(raw, cluster_id=..., topic_id=..., behaviors=..., settings=...)
    decoded.events    EVENT_SCHEMA, in the order of `raw`
    decoded.rejected  REJECTED_SCHEMA, with reason and the original bytes

decode_batch reads with Arrow's JSON parser the records that are plain: one flat object (beside `context`), no escapes,
every field known and given once. A record that it cannot prove fine goes to mmrec.events.rules.decode_record, which
decides alone why a record is refused. One bad record therefore never costs the others anything but time.
"""

import io
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from mmrec.config import EventSettings
from mmrec.events.behaviors import BehaviorSet
from mmrec.events.columns import ANONYMOUS_PREFIX, EVENT_SCHEMA, RAW_SCHEMA, REJECTED_SCHEMA, user_key
from mmrec.events.rules import (
    DOUBLE_FIELDS,
    FIELD_NAMES,
    MAX_ID_BYTES,
    EventFields,
    Refusal,
    camel_case,
    context_json,
    decode_record,
    instant_s,
    judge,
    parse_context,
)
from mmrec.events.verdicts import Rejection
from mmrec.v1.behavior_pb2 import BehaviorEvent

__all__ = ["Decoded", "check_event", "decode_batch", "decode_record", "encode_event"]

BoolArray = npt.NDArray[np.bool_]

_MAX_ROWS: Final = 65_536
"""Records parsed in one piece; bounds the text that is joined."""
_MIN_SPLIT: Final = 32
"""A piece that does not parse is halved down to this size, then read record by record."""
_MAX_PLAIN_BYTES: Final = 8_192
"""Longer records are read one by one, so that a joined piece stays far below Arrow's 2 GiB."""
# One object without a nested one, an array, an escape or a control character: a line of it cannot reach into the next.
_PLAIN: Final = r"^\{[^{}\[\]\\\x00-\x1f\x7f-\x{9f}]*\}$"
_CONTEXT: Final = r'"context": *(?P<context>\{[^{}\[\]\\\x00-\x1f\x7f-\x{9f}]*\})'
# Strict RFC 3339 with days that exist in every year.
_PLAIN_TIME: Final = (
    r"^(19[7-9]\d|20\d\d|21\d\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
_ARROW_TYPES: Final = {
    **{name: pa.float64() for name in DOUBLE_FIELDS},
    "position": pa.int32(),
    "imported": pa.bool_(),
}
_FORMS: Final = {name: tuple(dict.fromkeys((name, camel_case(name)))) for name in FIELD_NAMES}
_PARSE_SCHEMA: Final = pa.schema(
    [pa.field(form, _ARROW_TYPES.get(name, pa.string())) for name, forms in _FORMS.items() for form in forms]
)
_TEXT_COLUMNS: Final = ("event_id", "item_id", "behavior", "session_id", "request_id", "currency", "domain")


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """What became of a batch: every record is in exactly one of the two tables, in the order it came."""

    events: pa.Table
    """EVENT_SCHEMA."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""
    num_unknown_fields: int
    """Fields of accepted events that this version does not know; ignored."""


def decode_batch(
    raw: pa.Table, *, cluster_id: str, topic_id: str, behaviors: BehaviorSet, settings: EventSettings
) -> Decoded:
    """Decode records of one topic.

    Args:
        raw: RAW_SCHEMA, any number of rows, any order.
        cluster_id: Id of the broker's cluster; with topic_id and partition it is the events' source.

    Returns:
        Accepted and refused records; together as many as `raw` has rows. Never raises for what a record holds.
    """
    raw = raw.select(RAW_SCHEMA.names).cast(RAW_SCHEMA).combine_chunks()
    source = (cluster_id, topic_id)
    pieces = [
        _decode_piece(raw.slice(start, _MAX_ROWS), source, behaviors, settings)
        for start in range(0, raw.num_rows, _MAX_ROWS)
    ]
    return Decoded(
        events=pa.concat_tables([EVENT_SCHEMA.empty_table(), *(p.events for p in pieces)]),
        rejected=pa.concat_tables([REJECTED_SCHEMA.empty_table(), *(p.rejected for p in pieces)]),
        num_unknown_fields=sum(p.num_unknown_fields for p in pieces),
    )


def _decode_piece(raw: pa.Table, source: tuple[str, str], behaviors: BehaviorSet, settings: EventSettings) -> Decoded:
    rows_P, plain = _plain_events(raw, behaviors, settings)
    odd_N: BoolArray = np.ones(raw.num_rows, dtype=bool)
    odd_N[rows_P] = False
    rows_O = np.flatnonzero(odd_N)
    odd = raw.take(pa.array(rows_O))
    taken: list[EventFields] = []
    taken_rows: list[int] = []
    refused: list[Refusal] = []
    refused_rows: list[int] = []
    for row, key, value, ingest_time_s in zip(
        rows_O.tolist(),
        odd["key"].to_pylist(),
        odd["value"].to_pylist(),
        odd["ingest_time_s"].to_pylist(),
        strict=True,
    ):
        outcome = decode_record(key, value, ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
        if isinstance(outcome, Refusal):
            refused.append(outcome)
            refused_rows.append(row)
        else:
            taken.append(outcome)
            taken_rows.append(row)
    rows_E = np.concatenate([rows_P, np.array(taken_rows, dtype=np.int64)])
    columns = pa.concat_tables([plain, _columns_of(taken)]) if taken else plain
    if taken:
        order_E = np.argsort(rows_E, kind="stable")
        rows_E, columns = rows_E[order_E], columns.take(pa.array(order_E))
    return Decoded(
        events=_event_table(raw.take(pa.array(rows_E)), columns, source),
        rejected=_rejected_table(raw.take(pa.array(refused_rows, type=pa.int64())), refused, source),
        num_unknown_fields=sum(fields.num_unknown_fields for fields in taken),
    )


_CONTENT_SCHEMA: Final = pa.schema(
    [
        f
        for f in EVENT_SCHEMA
        if f.name not in {"cluster_id", "topic_id", "partition", "offset", "ingest_time_s", "known_time_s"}
    ]
)
"""Columns that come from a record's value."""


def _columns_of(events: list[EventFields]) -> pa.Table:
    def values(name: str) -> list[Any]:
        if name == "user_key":
            return [user_key(e.user_id, e.anonymous_id) for e in events]
        return [getattr(e, name) for e in events]

    return pa.table([pa.array(values(f.name), type=f.type) for f in _CONTENT_SCHEMA], schema=_CONTENT_SCHEMA)


def _event_table(raw: pa.Table, columns: pa.Table, source: tuple[str, str]) -> pa.Table:
    num_rows = raw.num_rows
    named = {name: columns[name] for name in _CONTENT_SCHEMA.names}
    named["cluster_id"] = pa.repeat(pa.scalar(source[0], pa.string()), num_rows)
    named["topic_id"] = pa.repeat(pa.scalar(source[1], pa.string()), num_rows)
    for name in ("partition", "offset", "ingest_time_s"):
        named[name] = raw[name]
    named["known_time_s"] = pc.if_else(columns["imported"], columns["event_time_s"], raw["ingest_time_s"])
    return pa.table([named[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def _rejected_table(raw: pa.Table, refused: list[Refusal], source: tuple[str, str]) -> pa.Table:
    num_rows = raw.num_rows
    named = {
        "reason": pa.array([r.reason.value for r in refused], pa.string()),
        "detail": pa.array([r.detail for r in refused], pa.string()),
        "cluster_id": pa.repeat(pa.scalar(source[0], pa.string()), num_rows),
        "topic_id": pa.repeat(pa.scalar(source[1], pa.string()), num_rows),
        "original_key": raw["key"],
        "original_value": raw["value"],
        **{name: raw[name] for name in ("partition", "offset", "ingest_time_s")},
    }
    return pa.table([named[name] for name in REJECTED_SCHEMA.names], schema=REJECTED_SCHEMA)


# ── the columnar path ──


def _plain_events(
    raw: pa.Table, behaviors: BehaviorSet, settings: EventSettings
) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """Rows that are plain and fine, ascending, with their content columns; every other row is left to the reference."""
    rows = np.flatnonzero(
        _true(pc.less_equal(pc.binary_length(raw["value"]), min(_MAX_PLAIN_BYTES, settings.max_value_bytes)))
    )
    rows = rows[_utf8(raw["value"].take(pa.array(rows)))]
    text = raw["value"].take(pa.array(rows)).cast(pa.string()).combine_chunks()
    text, context = _lift_context(text)
    keep = _true(pc.match_substring_regex(text, _PLAIN)) & ~_true(pc.match_substring_regex(text, '" +:'))
    rows, text, context = rows[keep], text.filter(pa.array(keep)), context.filter(pa.array(keep))
    parsed_rows, parsed = _parse_lines(text)
    rows, text = rows[parsed_rows], text.take(pa.array(parsed_rows))
    context = context.take(pa.array(parsed_rows))
    columns, fine = _judge_columns(
        parsed, text=text, context=context, raw=raw.take(pa.array(rows)), behaviors=behaviors, settings=settings
    )
    return rows[fine], columns.filter(pa.array(fine))


def _true(mask: Any) -> BoolArray:
    """A mask as NumPy; null counts as false."""
    array: BoolArray = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool)
    return array


def _utf8(values: pa.ChunkedArray) -> BoolArray:
    """Which values are UTF-8."""
    try:
        values.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([_is_utf8(value) for value in values.to_pylist()], dtype=bool)
    return np.ones(len(values), dtype=bool)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lift_context(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Text with flat context maps replaced by "", and those maps in canonical form; null where there was none.

    Maps repeat from event to event, so each distinct one is read once. One that does not read stays where it is, and
    the record is then not plain.
    """
    none = pa.nulls(len(text), pa.string())
    has = _true(pc.match_substring(text, '"context"'))
    if not has.any():
        return text, none
    subset = text.filter(pa.array(has))
    encoded = pc.struct_field(pc.extract_regex(subset, _CONTEXT), "context").dictionary_encode()
    canonical = pa.array([None if t is None else parse_context(t) for t in encoded.dictionary.to_pylist()], pa.string())
    lifted = canonical.take(encoded.indices)
    replaced = pc.if_else(
        pc.is_valid(lifted), pc.replace_substring_regex(subset, _CONTEXT, '"context":""', max_replacements=1), subset
    )
    mask = pa.array(has)
    return pc.replace_with_mask(text, mask, replaced), pc.replace_with_mask(none, mask, lifted)


def _parse_lines(text: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """Rows that Arrow's JSON parser reads with the expected types, ascending, and what it read."""
    rows: list[npt.NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    tables = [_PARSE_SCHEMA.empty_table()]
    pending = [(0, len(text))]
    while pending:
        start, stop = pending.pop()
        table = _read_json(text.slice(start, stop - start))
        if table is not None:
            rows.append(np.arange(start, stop, dtype=np.int64))
            tables.append(table)
        elif stop - start > _MIN_SPLIT:
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
    return np.concatenate(rows), pa.concat_tables(tables).combine_chunks()


def _read_json(lines: pa.Array) -> pa.Table | None:
    if len(lines) == 0:
        return _PARSE_SCHEMA.empty_table()
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines), "\n")
    document = joined[0].as_buffer()
    try:
        table = pyarrow.json.read_json(
            io.BytesIO(document),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=document.size + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=_PARSE_SCHEMA, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    return table.select(_PARSE_SCHEMA.names) if table.num_rows == len(lines) else None


def _judge_columns(
    parsed: pa.Table,
    *,
    text: pa.Array,
    context: pa.Array,
    raw: pa.Table,
    behaviors: BehaviorSet,
    settings: EventSettings,
) -> tuple[pa.Table, BoolArray]:
    """Content columns of parsed records, and which of them every rule surely accepts."""
    num_given = np.zeros(len(text), dtype=np.int64)
    for form in _PARSE_SCHEMA.names:
        num_given += _true(pc.is_valid(parsed[form]))
    # In a plain record every name ends in `":`, so equal numbers mean: no unknown field, no null, nothing twice.
    fine = num_given == pc.count_substring(text, '":').to_numpy(zero_copy_only=False)
    fields: dict[str, Any] = {}
    for name, forms in _FORMS.items():
        fields[name] = pc.coalesce(*(parsed[form] for form in forms)) if len(forms) > 1 else parsed[name]
        if len(forms) > 1:
            fine &= ~_true(pc.and_(*(pc.is_valid(parsed[form]) for form in forms)))
    fine &= _true(pc.equal(pc.is_valid(parsed["context"]), pc.is_valid(context)))
    strings = {name: pc.fill_null(fields[name], "") for name in (*_TEXT_COLUMNS, "user_id", "anonymous_id")}
    for name in ("event_id", "user_id", "anonymous_id", "item_id", "session_id", "request_id"):
        fine &= _true(pc.less_equal(pc.binary_length(strings[name]), MAX_ID_BYTES))
    fine &= ~_true(pc.equal(strings["event_id"], "")) & ~_true(pc.equal(strings["item_id"], ""))
    fine &= ~_true(pc.starts_with(strings["user_id"], ANONYMOUS_PREFIX))
    fine &= _true(pc.is_in(strings["behavior"], value_set=pa.array(behaviors.names, pa.string())))
    named = pc.not_equal(strings["user_id"], "")
    expected_key = pc.if_else(named, strings["user_id"], strings["anonymous_id"])
    fine &= _true(pc.not_equal(expected_key, "")) & _true(pc.equal(raw["key"], expected_key.cast(pa.binary())))
    keys = pc.if_else(
        named, strings["user_id"], pc.binary_join_element_wise(ANONYMOUS_PREFIX, strings["anonymous_id"], "")
    )
    ingest = raw["ingest_time_s"].to_numpy()
    times, timed = _times(fields["event_time"], ingest)
    with np.errstate(invalid="ignore"):
        fine &= timed & (times <= ingest + settings.max_future_s) & (times >= settings.horizon_s)
    numbers = {name: pc.fill_null(fields[name], 0.0) for name in DOUBLE_FIELDS}
    for column in numbers.values():
        fine &= _true(pc.is_finite(column))
    columns = {
        **{name: strings[name] for name in _TEXT_COLUMNS},
        **numbers,
        "user_key": keys,
        "event_time_s": pa.array(times),
        "position": pc.fill_null(fields["position"], 0),
        "imported": pc.fill_null(fields["imported"], False),
        "context": pc.fill_null(context, ""),
    }
    return pa.table([columns[name] for name in _CONTENT_SCHEMA.names], schema=_CONTENT_SCHEMA), fine


def _times(text: pa.ChunkedArray, ingest_N: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], BoolArray]:
    """Event times in epoch seconds, ingest time where absent; and which are surely instants."""
    given = _true(pc.is_valid(text))
    plain = _true(pc.match_substring_regex(text, _PLAIN_TIME))
    times = ingest_N.copy()
    if plain.any():
        chosen = text.filter(pa.array(plain))
        nanos = chosen.cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy()
        times[plain] = instant_s(nanos // 1_000_000_000, nanos % 1_000_000_000)
    return times, plain | ~given


# ── protos ──


def check_event(
    event: BehaviorEvent, *, ingest_time_s: float, behaviors: BehaviorSet, settings: EventSettings
) -> tuple[Rejection, str] | None:
    """Why the codec would refuse this event if the broker got it at `ingest_time_s`; None where it would take it."""
    _, value = encode_event(event)
    if len(value) > settings.max_value_bytes:
        return Rejection.TOO_LARGE, f"the value has {len(value)} bytes; at most {settings.max_value_bytes}"
    for name in DOUBLE_FIELDS:
        if not np.isfinite(getattr(event, name)):
            return Rejection.WRONG_TYPE, f"{name} is {getattr(event, name)}; give a finite number"
    time = event.event_time
    if event.HasField("event_time") and not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < 10**9):
        return Rejection.BAD_TIME, "event_time is outside the years 1 to 9999, or its nanos outside 0 to 999,999,999"
    fields = EventFields(
        event_id=event.event_id,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        item_id=event.item_id,
        behavior=event.behavior,
        event_time_s=instant_s(time.seconds, time.nanos) if event.HasField("event_time") else None,
        session_id=event.session_id,
        request_id=event.request_id,
        position=event.position,
    )
    refusal = judge(fields, key=event_key(event), ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
    return None if refusal is None else (refusal.reason, refusal.detail)


_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
_PLAIN_FIELDS: Final = tuple(name for name in FIELD_NAMES if name not in {"event_time", "context"})


def event_key(event: BehaviorEvent) -> bytes:
    """Key of the event's record: the user id, else the anonymous id."""
    return (event.user_id or event.anonymous_id).encode("utf-8")


def encode_event(event: BehaviorEvent) -> tuple[bytes, bytes]:
    """Key and value of an event's record: proto3 JSON, snake_case, default values left out.

    Every message can be written, those that check_event refuses included, so that a rejected record can hold it.
    """
    document: dict[str, Any] = {name: value for name in _PLAIN_FIELDS if (value := getattr(event, name))}
    for name in DOUBLE_FIELDS:
        if name in document and not np.isfinite(document[name]):
            document[name] = _NON_FINITE[str(document[name])]
    if event.HasField("event_time"):
        try:
            document["event_time"] = event.event_time.ToJsonString()
        except ValueError:
            document["event_time"] = f"{event.event_time.seconds}s {event.event_time.nanos}ns"
    if event.context:
        document["context"] = json.loads(context_json(dict(event.context)))
    return event_key(event), json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
