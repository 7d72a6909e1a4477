"""Decodes records of the topic behavior-events into event columns.

    decoded = decode_batch(raw, cluster_id=..., topic_id=..., behaviors=..., settings=...)
    decoded.events    EVENT_SCHEMA, in the order of `raw`
    decoded.control   EVENT_SCHEMA, likewise: identify and forget (mmrec.events.control)
    decoded.rejected  REJECTED_SCHEMA, with reason and the original bytes

Plain records are read as columns (mmrec.events.plain_records). All others go to mmrec.events.rules.decode_record,
which alone decides why a record is refused. So a bad record never costs the others anything but time.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import EventSettings
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA, REJECTED_SCHEMA, user_key
from mmrec.events.control import CONTROL_BEHAVIORS, IDENTIFY
from mmrec.events.encoding import encode_event
from mmrec.events.plain_records import CONTENT_SCHEMA, plain_events
from mmrec.events.rules import EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import BehaviorSet

__all__ = ["Decoded", "decode_batch", "decode_record", "encode_event"]

_MAX_ROWS: Final = 65_536
"""Records parsed together; bounds the size of the joined text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """What became of a batch: every record is in exactly one of the three tables, in the order it came."""

    events: pa.Table
    """EVENT_SCHEMA."""
    control: pa.Table
    """EVENT_SCHEMA: records of the system itself (mmrec.events.control)."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""
    unknown_fields_E: npt.NDArray[np.int64]
    """Fields of each row of `events` that this version does not know; ignored."""


def decode_batch(
    raw: pa.Table, *, cluster_id: str, topic_id: str, behaviors: BehaviorSet, settings: EventSettings
) -> Decoded:
    """Decode records of one topic.

    Args:
        raw: RAW_SCHEMA, any number of rows, any order.
        cluster_id: Id of the broker's cluster; with topic_id and partition it is the events' source.

    Returns:
        Accepted and refused records; together as many as `raw` has rows. No content of a record raises an error.
    """
    raw = raw.select(RAW_SCHEMA.names).cast(RAW_SCHEMA).combine_chunks()
    source = (cluster_id, topic_id)
    pieces = [
        _decode_piece(raw.slice(start, _MAX_ROWS), source, behaviors, settings)
        for start in range(0, raw.num_rows, _MAX_ROWS)
    ]
    return Decoded(
        events=pa.concat_tables([EVENT_SCHEMA.empty_table(), *(p.events for p in pieces)]),
        control=pa.concat_tables([EVENT_SCHEMA.empty_table(), *(p.control for p in pieces)]),
        rejected=pa.concat_tables([REJECTED_SCHEMA.empty_table(), *(p.rejected for p in pieces)]),
        unknown_fields_E=np.concatenate([np.zeros(0, dtype=np.int64), *(p.unknown_fields_E for p in pieces)]),
    )


def _decode_piece(raw: pa.Table, source: tuple[str, str], behaviors: BehaviorSet, settings: EventSettings) -> Decoded:
    rows_P, plain = plain_events(raw, behaviors, settings)
    odd_N: npt.NDArray[np.bool_] = np.ones(raw.num_rows, dtype=bool)
    odd_N[rows_P] = False
    rows_O = np.flatnonzero(odd_N)
    odd = raw.take(pa.array(rows_O))
    taken: list[EventFields] = []
    taken_rows: list[int] = []
    control: list[EventFields] = []
    control_rows: list[int] = []
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
        elif outcome.behavior in CONTROL_BEHAVIORS:
            control.append(_as_row(outcome))
            control_rows.append(row)
        else:
            taken.append(outcome)
            taken_rows.append(row)
    rows_E = np.concatenate([rows_P, np.array(taken_rows, dtype=np.int64)])
    columns = pa.concat_tables([plain, _columns_of(taken)]) if taken else plain
    unknown_E = np.array([0] * len(rows_P) + [fields.num_unknown_fields for fields in taken], dtype=np.int64)
    if taken:
        order_E = np.argsort(rows_E, kind="stable")
        rows_E, columns, unknown_E = rows_E[order_E], columns.take(pa.array(order_E)), unknown_E[order_E]
    return Decoded(
        events=_event_table(raw.take(pa.array(rows_E)), columns, source),
        control=_event_table(raw.take(pa.array(control_rows, type=pa.int64())), _columns_of(control), source),
        rejected=_rejected_table(raw.take(pa.array(refused_rows, type=pa.int64())), refused, source),
        unknown_fields_E=unknown_E,
    )


def _as_row(record: EventFields) -> EventFields:
    """A control record as a row: who is forgotten, or whom an anonymous profile belongs to, as of its ingest time."""
    item_id = user_key("", record.anonymous_id) if record.behavior == IDENTIFY else ""
    return replace(record, item_id=item_id, imported=record.imported and record.behavior == IDENTIFY)


def _columns_of(events: list[EventFields]) -> pa.Table:
    def values(name: str) -> list[Any]:
        if name == "user_key":
            return [user_key(e.user_id, e.anonymous_id) for e in events]
        return [getattr(e, name) for e in events]

    return pa.table([pa.array(values(f.name), type=f.type) for f in CONTENT_SCHEMA], schema=CONTENT_SCHEMA)


def _event_table(raw: pa.Table, columns: pa.Table, source: tuple[str, str]) -> pa.Table:
    num_rows = raw.num_rows
    named = {name: columns[name] for name in CONTENT_SCHEMA.names}
    named["cluster_id"] = pa.repeat(pa.scalar(source[0], pa.string()), num_rows)
    named["topic_id"] = pa.repeat(pa.scalar(source[1], pa.string()), num_rows)
    for name in ("partition", "offset", "ingest_time_s"):
        named[name] = raw[name]
    came = raw["ingest_time_s"]  # an imported event was known when it happened, but no later than it arrived
    named["known_time_s"] = pc.if_else(columns["imported"], pc.min_element_wise(columns["event_time_s"], came), came)
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
