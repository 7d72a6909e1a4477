"""Lists as they were served, as columns: from the topic served-lists to the log.

table, read_N = decode_served(raw, cluster_id=..., topic_id=...)
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import json_format

from mmrec.events.columns import RAW_SCHEMA, user_key
from mmrec.v1.behavior_pb2 import ServedList
from mmrec.wire.ids import first_id_problem
from mmrec.wire.instants import instant_s

SERVED_ITEM: Final = pa.struct(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("ranking_score", pa.float64(), nullable=False),
        pa.field("sources", pa.list_(pa.string()), nullable=False),
        pa.field("propensity", pa.float64(), nullable=False),
    ]
)
SERVED_SCHEMA: Final = pa.schema(
    [
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("ingest_time_s", pa.float64(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("placement", pa.string(), nullable=False),
        pa.field("serve_time_s", pa.float64(), nullable=False),
        pa.field("release_id", pa.string(), nullable=False),
        pa.field("items", pa.list_(SERVED_ITEM), nullable=False),
        pa.field("degraded", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row per list. `user_key` is "" for a request without a user."""


def find_served(tables: Iterable[pa.Table], request_id: str) -> dict[str, Any] | None:
    """The list that answered a request, as a row of SERVED_SCHEMA; None where no table has it.

    Args:
        tables: Of served lists, as a log scans them; they are read until it is found.
    """
    for table in tables:
        found = table.filter(pc.equal(table["request_id"], request_id))
        if found.num_rows:
            row: dict[str, Any] = found.slice(0, 1).to_pylist()[0]
            return row
    return None


def decode_served(raw: pa.Table, *, cluster_id: str, topic_id: str) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Served lists of one topic.

    Args:
        raw: RAW_SCHEMA, N rows; values are proto3 JSON of mmrec.v1.ServedList.

    Returns:
        SERVED_SCHEMA in the order of `raw`, and which records it holds, shape (N,). The others are not served lists:
        not such JSON, without a request_id, or with invalid ids (mmrec.wire.ids).
    """
    rows: list[dict[str, Any]] = []
    read_N = np.zeros(raw.num_rows, dtype=np.bool_)
    for number, record in enumerate(raw.select(RAW_SCHEMA.names).to_pylist()):
        try:
            served = json_format.Parse(record["value"] or b"", ServedList(), ignore_unknown_fields=True)
        except (json_format.ParseError, UnicodeDecodeError, RecursionError):
            continue
        ids = (served.request_id, served.user_id, served.anonymous_id)
        if not served.request_id or first_id_problem("ids", [*ids, *(item.item_id for item in served.items)]):
            continue
        read_N[number] = True
        time = served.serve_time
        given = served.HasField("serve_time")
        rows.append(
            {
                "cluster_id": cluster_id,
                "topic_id": topic_id,
                "partition": record["partition"],
                "offset": record["offset"],
                "ingest_time_s": record["ingest_time_s"],
                "request_id": served.request_id,
                "user_key": user_key(served.user_id, served.anonymous_id),
                "placement": served.placement,
                "serve_time_s": float(instant_s(time.seconds, time.nanos)) if given else record["ingest_time_s"],
                "release_id": served.release_id,
                "items": [
                    {
                        "item_id": item.item_id,
                        "rank": item.rank,
                        "ranking_score": item.ranking_score,
                        "sources": list(item.sources),
                        "propensity": item.propensity,
                    }
                    for item in served.items
                ],
                "degraded": list(served.degraded),
            }
        )
    return pa.Table.from_pylist(rows, schema=SERVED_SCHEMA), read_N
