"""The columnar path of the codec: reads records that are certainly valid with Arrow's JSON parser.

A record is plain if it is one flat object (except `context`) without escapes, with known fields only, each given once.
This module never decides that a record is refused: rows that are not certainly valid are left to mmrec.events.rules.
"""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from mmrec.config import EventSettings
from mmrec.events.columns import ANONYMOUS_PREFIX, EVENT_SCHEMA
from mmrec.events.rules import DOUBLE_FIELDS, FIELD_NAMES, parse_context
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.wire.documents import camel_case
from mmrec.wire.ids import MAX_ID_BYTES
from mmrec.wire.instants import instant_s

BoolArray = npt.NDArray[np.bool_]

CONTENT_SCHEMA: Final = pa.schema(
    [
        f
        for f in EVENT_SCHEMA
        if f.name not in {"cluster_id", "topic_id", "partition", "offset", "ingest_time_s", "known_time_s"}
    ]
)
"""Columns that come from a record's value."""
_MIN_SPLIT: Final = 32
"""Lines that unexpectedly do not parse are halved down to this size, then read record by record."""
_MAX_PLAIN_BYTES: Final = 8_192
"""Longer records are read one by one, so that a joined piece stays far below Arrow's 2 GiB."""
# One object without a nested one, an array, an escape or a control character, so it cannot extend into the next line.
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
_JSON_TEXT: Final = '"[^"]*"'
_JSON_TYPES: Final = {
    **dict.fromkeys(DOUBLE_FIELDS, r"-?(?:0|[1-9]\d{0,15})(?:\.\d+)?(?:[eE][+-]?\d{1,2})?"),
    "position": r"-?(?:0|[1-9]\d{0,8})",
    "imported": "(?:true|false)",
}
_MEMBER: Final = "|".join(
    f'"{form}": *{_JSON_TYPES.get(name, _JSON_TEXT)}' for name, forms in _FORMS.items() for form in forms
)
# Every member known, and of the type that Arrow is told to expect.
_TYPED: Final = rf"^\{{ *(?:(?:{_MEMBER}) *(?:, *(?:{_MEMBER}) *)*)?\}}$"
_TEXT_COLUMNS: Final = ("event_id", "item_id", "behavior", "session_id", "request_id", "currency", "domain")


def plain_events(
    raw: pa.Table, behaviors: BehaviorSet, settings: EventSettings
) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """Rows that are plain and valid, ascending, with their content columns; other rows are left to the reference."""
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

    Maps repeat from event to event, so each distinct one is read once. A map that cannot be read stays in the text, and
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
    """Rows that Arrow's JSON parser reads with the expected types, ascending, and what it read.

    The parser accepts all lines or none. Where it accepts none, lines that may be the cause are left out and the others
    are parsed again: first lines with a wrong type, then lines with a name given twice, which cost more to find.
    """
    rows = np.arange(len(text), dtype=np.int64)
    table = _read_json(text)
    for suits in (_is_typed, _gives_names_once):
        if table is not None:
            return rows, table
        fit = suits(text)
        rows, text = rows[fit], text.filter(pa.array(fit))
        table = _read_json(text)
    return (rows, table) if table is not None else _parse_halves(rows, text)


def _parse_halves(rows: npt.NDArray[np.int64], text: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Table]:
    """Those of the rows that can be read, in pieces, where their lines do not parse together."""
    parsed: list[npt.NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    tables = [_PARSE_SCHEMA.empty_table()]
    pending = [(0, len(text))]
    while pending:
        start, stop = pending.pop()
        table = _read_json(text.slice(start, stop - start))
        if table is not None:
            parsed.append(rows[start:stop])
            tables.append(table)
        elif stop - start > _MIN_SPLIT:
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
    return np.concatenate(parsed), pa.concat_tables(tables).combine_chunks()


def _is_typed(text: pa.Array) -> BoolArray:
    """Lines that give known members alone, with values of the expected types."""
    return _true(pc.match_substring_regex(text, _TYPED))


def _gives_names_once(text: pa.Array) -> BoolArray:
    """Lines that give no form of a name twice."""
    once = np.ones(len(text), dtype=np.bool_)
    for form in _PARSE_SCHEMA.names:
        once &= _true(pc.less_equal(pc.count_substring(text, f'"{form}":'), 1))
    return once


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
    """Content columns of parsed records, and which records every rule certainly accepts."""
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
        fine &= _true(pc.is_finite(column)) & _true(pc.greater_equal(column, 0.0))
    position = pc.fill_null(fields["position"], 0)
    fine &= _true(pc.greater_equal(position, 0))
    columns = {
        **{name: strings[name] for name in _TEXT_COLUMNS},
        **numbers,
        "user_key": keys,
        "event_time_s": pa.array(times),
        "position": position,
        "imported": pc.fill_null(fields["imported"], False),
        "context": pc.fill_null(context, ""),
    }
    return pa.table([columns[name] for name in CONTENT_SCHEMA.names], schema=CONTENT_SCHEMA), fine


def _times(text: pa.ChunkedArray, ingest_N: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], BoolArray]:
    """Event times in epoch seconds, ingest time where absent; and which are certainly instants."""
    given = _true(pc.is_valid(text))
    plain = _true(pc.match_substring_regex(text, _PLAIN_TIME))
    times = ingest_N.copy()
    if plain.any():
        chosen = text.filter(pa.array(plain))
        nanos = chosen.cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy()
        times[plain] = instant_s(nanos // 1_000_000_000, nanos % 1_000_000_000)
    return times, plain | ~given
