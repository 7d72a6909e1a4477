"""Decoded records as rows of one table, so that accepted, refused and other records travel through Spark together.

rows = decode_rows(raw, topics, ...)     on the workers: one row per record, in STREAM_SCHEMA
batch = split_rows(rows, topics)         on the driver: tables by kind, and the last offset of each source
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import EventSettings
from mmrec.events.codec import decode_batch
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA, REJECTED_SCHEMA
from mmrec.events.log import PLACE_COLUMNS
from mmrec.events.rejection import Rejection
from mmrec.events.served import SERVED_SCHEMA, decode_served
from mmrec.events.table_rows import in_place_order, rows_where
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.source import Source


class RecordKind(Enum):
    """What a topic carries."""

    BEHAVIOR_EVENT = "event"
    SERVED_LIST = "served"


MAX_KEY_BYTES = 1_024
"""Bytes of a record's key that the stream reads: more than any id has, so a longer key matches no event."""
MAX_SERVED_BYTES = 1 << 20
"""Bytes of a served list that the stream reads; a longer one is malformed."""
_REJECTED = "rejected"
_CONTROL = "control"

STREAM_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string()),
        *(pa.field(f.name, f.type) for f in EVENT_SCHEMA),
        pa.field("num_unknown_fields", pa.int64()),
        *(pa.field(name, REJECTED_SCHEMA.field(name).type) for name in ("reason", "detail")),
        pa.field("original_key", pa.binary()),
        pa.field("original_value", pa.binary()),
    ]
)
"""One row per record; columns of other kinds are null. Served lists are decoded on the driver: they are few."""


@dataclass(frozen=True, kw_only=True)
class StreamTopic:
    """One topic the stream reads."""

    name: str
    cluster_id: str
    topic_id: str
    kind: RecordKind

    def max_bytes(self, settings: EventSettings) -> int:
        """Bytes of a value that need to be read: as many as are allowed, and one more that shows it is too long."""
        return (settings.max_value_bytes if self.kind is RecordKind.BEHAVIOR_EVENT else MAX_SERVED_BYTES) + 1


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamBatch:
    """One micro-batch."""

    events: pa.Table
    """EVENT_SCHEMA."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""
    served: pa.Table
    """SERVED_SCHEMA."""
    malformed_served: pa.Table
    """PLACE_COLUMNS of the records of the served topic that hold no served list."""
    unknown_fields: pa.Table
    """PLACE_COLUMNS of the events that have fields this version does not know, and their `num_unknown_fields`."""
    ends: Mapping[Source, int]
    """Highest offset of each source in this batch."""
    newest_ingest_time_s: float
    """Newest ingest time of all records; 0 in an empty batch."""
    control: pa.Table = field(default_factory=EVENT_SCHEMA.empty_table)
    """EVENT_SCHEMA, see Decoded.control; applied before the batch's events (mmrec/stream/control_rows.py)."""


def decode_rows(
    raw: pa.Table, topics: Mapping[str, StreamTopic], *, behaviors: BehaviorSet, settings: EventSettings
) -> pa.Table:
    """Decode records of any of the topics.

    Args:
        raw: `topic` and the columns of RAW_SCHEMA, any order. The beginning of a long key or value is enough
            (MAX_KEY_BYTES, StreamTopic.max_bytes), so that a batch is bounded in bytes.
        topics: By name; every topic of `raw` is among them.

    Returns:
        STREAM_SCHEMA, one row per record.
    """
    parts = [STREAM_SCHEMA.empty_table()]
    for topic in topics.values():
        mine = raw.filter(pc.equal(raw["topic"], topic.name)).select(RAW_SCHEMA.names)
        if not mine.num_rows:
            continue
        if topic.kind is RecordKind.BEHAVIOR_EVENT:
            decoded = decode_batch(
                mine, cluster_id=topic.cluster_id, topic_id=topic.topic_id, behaviors=behaviors, settings=settings
            )
            counted = decoded.events.append_column("num_unknown_fields", pa.array(decoded.unknown_fields_E))
            parts.append(_widen(counted, RecordKind.BEHAVIOR_EVENT.value))
            parts.append(_widen(decoded.control, _CONTROL))
            parts.append(_widen(_said_to_be_cut(decoded.rejected), _REJECTED))
        else:
            parts.append(_widen(_unread(mine, topic), RecordKind.SERVED_LIST.value))
    return pa.concat_tables(parts)


def split_rows(rows: pa.Table, topics: Mapping[str, StreamTopic]) -> StreamBatch:
    """The micro-batch that decode_rows made, in any order of rows; tables come in the order of (source, offset)."""
    rows = rows.select(STREAM_SCHEMA.names).cast(STREAM_SCHEMA)
    rows = in_place_order(rows)
    places = list(PLACE_COLUMNS)
    served = [SERVED_SCHEMA.empty_table()]
    malformed = [rows.select(places).schema.empty_table()]
    lists = _of_kind(rows, RecordKind.SERVED_LIST.value)
    for topic in topics.values():
        mine = lists.filter(pc.equal(lists["topic_id"], topic.topic_id))
        if mine.num_rows and topic.kind is RecordKind.SERVED_LIST:
            names = ["original_key", "original_value", "partition", "offset", "ingest_time_s"]
            raw = mine.select(names).rename_columns(RAW_SCHEMA.names).cast(RAW_SCHEMA)
            table, read_N = decode_served(raw, cluster_id=topic.cluster_id, topic_id=topic.topic_id)
            served.append(table)
            malformed.append(mine.select(places).filter(pa.array(~read_N)))
    events = _of_kind(rows, RecordKind.BEHAVIOR_EVENT.value)
    return StreamBatch(
        events=events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA),
        rejected=_of_kind(rows, _REJECTED).select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA),
        served=pa.concat_tables(served),
        malformed_served=pa.concat_tables(malformed),
        unknown_fields=events.filter(pc.greater(events["num_unknown_fields"], 0)).select(
            [*places, "num_unknown_fields"]
        ),
        ends=_ends(rows),
        newest_ingest_time_s=pc.max(rows["ingest_time_s"]).as_py() or 0.0,
        control=_of_kind(rows, _CONTROL).select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA),
    )


def _of_kind(rows: pa.Table, kind: str) -> pa.Table:
    return rows_where(rows, pc.equal(rows["kind"], kind))


def _said_to_be_cut(rejected: pa.Table) -> pa.Table:
    """Refusals of long records; they say that only the beginning of the original is kept."""
    too_large = pc.equal(rejected["reason"], Rejection.TOO_LARGE.value)
    said = pc.binary_join_element_wise(rejected["detail"], "its beginning is kept", "; ")
    place = rejected.schema.get_field_index("detail")
    field = rejected.schema.field("detail")
    return rejected.set_column(place, field, pc.if_else(too_large, said, rejected["detail"]))


def _widen(table: pa.Table, kind: str) -> pa.Table:
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in STREAM_SCHEMA
    ]
    columns[0] = pa.array([kind] * table.num_rows, type=pa.string())
    return pa.Table.from_arrays(columns, schema=STREAM_SCHEMA)


def _unread(raw: pa.Table, topic: StreamTopic) -> pa.Table:
    return pa.table(
        {
            "cluster_id": pa.array([topic.cluster_id] * raw.num_rows, type=pa.string()),
            "topic_id": pa.array([topic.topic_id] * raw.num_rows, type=pa.string()),
            "partition": raw["partition"],
            "offset": raw["offset"],
            "ingest_time_s": raw["ingest_time_s"],
            "original_key": raw["key"],
            "original_value": raw["value"],
        }
    )


def _ends(rows: pa.Table) -> dict[Source, int]:
    keys = ["cluster_id", "topic_id", "partition"]
    found = rows.select([*keys, "offset"]).group_by(keys).aggregate([("offset", "max")]).to_pylist()
    return {
        Source(cluster_id=f["cluster_id"], topic_id=f["topic_id"], partition=f["partition"]): f["offset_max"]
        for f in found
    }
