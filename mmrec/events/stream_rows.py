"""Decoded records as rows of one table, so that accepted, refused and served records travel through Spark together.

rows = decode_rows(raw, topics, ...)     on the workers: one row per record, in STREAM_SCHEMA
batch = split_rows(rows, topics)         on the driver: tables by kind, and how far each source has come
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import EventSettings
from mmrec.events.behaviors import BehaviorSet
from mmrec.events.codec import decode_batch
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA, REJECTED_SCHEMA
from mmrec.events.served import SERVED_SCHEMA, decode_served
from mmrec.scoring.profile import Source


class RecordKind(Enum):
    """What a topic carries."""

    BEHAVIOR_EVENT = "event"
    SERVED_LIST = "served"


_REJECTED = "rejected"

STREAM_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string()),
        *(pa.field(f.name, f.type) for f in EVENT_SCHEMA),
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


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamBatch:
    """One micro-batch."""

    events: pa.Table
    """EVENT_SCHEMA."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""
    served: pa.Table
    """SERVED_SCHEMA."""
    num_malformed_served: int
    """Records of the served topic that hold no served list."""
    ends: Mapping[Source, int]
    """Highest offset of each source in this batch."""
    newest_ingest_time_s: float
    """Of any record; 0 in an empty batch."""

    @property
    def num_records(self) -> int:
        """Records of every kind."""
        return int(self.events.num_rows + self.rejected.num_rows + self.served.num_rows + self.num_malformed_served)


def decode_rows(
    raw: pa.Table, topics: Mapping[str, StreamTopic], *, behaviors: BehaviorSet, settings: EventSettings
) -> pa.Table:
    """Decode records of any of the topics.

    Args:
        raw: `topic` and the columns of RAW_SCHEMA, any order.
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
            parts.append(_widen(decoded.events, RecordKind.BEHAVIOR_EVENT.value))
            parts.append(_widen(decoded.rejected, _REJECTED))
        else:
            parts.append(_widen(_unread(mine, topic), RecordKind.SERVED_LIST.value))
    return pa.concat_tables(parts)


def split_rows(rows: pa.Table, topics: Mapping[str, StreamTopic]) -> StreamBatch:
    """The micro-batch that decode_rows made, in any order of rows; tables come in the order of (source, offset)."""
    rows = rows.select(STREAM_SCHEMA.names).cast(STREAM_SCHEMA)
    rows = rows.sort_by([(name, "ascending") for name in ("cluster_id", "topic_id", "partition", "offset")])
    served, num_malformed = [SERVED_SCHEMA.empty_table()], 0
    lists = _of_kind(rows, RecordKind.SERVED_LIST.value)
    for topic in topics.values():
        mine = lists.filter(pc.equal(lists["topic_id"], topic.topic_id))
        if mine.num_rows and topic.kind is RecordKind.SERVED_LIST:
            names = ["original_key", "original_value", "partition", "offset", "ingest_time_s"]
            raw = mine.select(names).rename_columns(RAW_SCHEMA.names).cast(RAW_SCHEMA)
            table, malformed = decode_served(raw, cluster_id=topic.cluster_id, topic_id=topic.topic_id)
            served.append(table)
            num_malformed += malformed
    return StreamBatch(
        events=_of_kind(rows, RecordKind.BEHAVIOR_EVENT.value).select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA),
        rejected=_of_kind(rows, _REJECTED).select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA),
        served=pa.concat_tables(served),
        num_malformed_served=num_malformed,
        ends=_ends(rows),
        newest_ingest_time_s=pc.max(rows["ingest_time_s"]).as_py() or 0.0,
    )


def _of_kind(rows: pa.Table, kind: str) -> pa.Table:
    return rows.filter(pc.equal(rows["kind"], kind))


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
