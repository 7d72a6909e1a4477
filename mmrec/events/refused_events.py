"""Decoded events that *apply* refused, as rows for the rejected topic: each event is written again as canonical JSON.

Nothing of an event is lost by that, so it can be resubmitted (mmrec.events.resubmit).
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mmrec.events.columns import ANONYMOUS_PREFIX, REJECTED_SCHEMA
from mmrec.events.encoding import encode_event
from mmrec.events.rejection import Rejection
from mmrec.v1.behavior_pb2 import BehaviorEvent

_SAME = (
    *("event_id", "item_id", "behavior", "session_id", "request_id", "position", "quantity", "price"),
    *("currency", "domain", "imported"),
)


def refused_events(events: pa.Table, reasons: Sequence[Rejection]) -> pa.Table:
    """REJECTED_SCHEMA, one row per event.

    Args:
        events: EVENT_SCHEMA.
        reasons: Why each was refused.
    """
    rows = [_rejected(event, reason) for event, reason in zip(events.to_pylist(), reasons, strict=True)]
    return pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA)


def event_of(row: dict[str, Any]) -> BehaviorEvent:
    """The message that decodes to this row of EVENT_SCHEMA. Its event time is set, even where it was absent."""
    event = BehaviorEvent(**{name: row[name] for name in _SAME}, context=_context(row["context"]))
    if row["user_key"].startswith(ANONYMOUS_PREFIX):
        event.anonymous_id = row["user_key"].removeprefix(ANONYMOUS_PREFIX)
    else:
        event.user_id = row["user_key"]
    event.event_time.FromMicroseconds(round(row["event_time_s"] * 1e6))
    return event


def _context(text: str) -> dict[str, str]:
    values: dict[str, str] = json.loads(text) if text else {}
    return values


def _rejected(row: dict[str, Any], reason: Rejection) -> dict[str, Any]:
    key, value = encode_event(event_of(row))
    place = {name: row[name] for name in ("cluster_id", "topic_id", "partition", "offset", "ingest_time_s")}
    detail = f"too many events of {row['user_key']!r}; the event was written anew"
    return {**place, "reason": reason.value, "detail": detail, "original_key": key, "original_value": value}
