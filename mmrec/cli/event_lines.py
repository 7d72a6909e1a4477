"""Records of the event topics as one line each."""

import json
from datetime import UTC, datetime
from typing import Any

from mmrec.events.columns import user_key
from mmrec.events.producer import TopicRecord
from mmrec.events.rejected import decode_rejected
from mmrec.wire.documents import camel_case

MAX_SHOWN = 160


def event_line(record: TopicRecord) -> str:
    """`12:03:04.567 1:1042  u00017 browse i00042  e000000`; a value that is not an event is shown as it is."""
    fields = _fields(record.value)
    user = user_key(_text(fields, "user_id"), _text(fields, "anonymous_id"))
    behavior, item = _text(fields, "behavior"), _text(fields, "item_id")
    if not fields or not (behavior and item):
        return f"{_place(record)}  {_shown(record.value)}"
    parts = [_place(record), "", user, behavior, item, "", _text(fields, "event_id")]
    return " ".join([*parts, *(["imported, of", _text(fields, "event_time")] if fields.get("imported") else [])])


def rejected_line(record: TopicRecord) -> str:
    """Reason and detail of a refused record, its place, and its content."""
    try:
        refused = decode_rejected(record.value or b"")
    except (ValueError, KeyError, TypeError):
        return f"{_place(record)}  {_shown(record.value)}"
    key = refused["original_key"].decode("utf-8", errors="replace")
    return (
        f"{_place(record)}  {refused['reason']}: {refused['detail']}; record {refused['partition']}:"
        f"{refused['offset']} key {key!r} value {_shown(refused['original_value'])}"
    )


def record_document(record: TopicRecord) -> dict[str, Any]:
    """A record for machines; a value that is no JSON object is given as text."""
    fields = _fields(record.value)
    return {
        "partition": record.partition,
        "offset": record.offset,
        "ingest_time_s": record.timestamp_s,
        "key": (record.key or b"").decode("utf-8", errors="replace"),
        "value": fields or (record.value or b"").decode("utf-8", errors="replace"),
    }


def _place(record: TopicRecord) -> str:
    moment = datetime.fromtimestamp(record.timestamp_s, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
    return f"{moment} {record.partition}:{record.offset}"


def _fields(value: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, fields.get(camel_case(name), ""))
    # repr, so that no record can send control codes to the terminal
    return value if isinstance(value, str) and value.isprintable() else repr(value)


def _shown(value: bytes | None) -> str:
    text = repr((value or b"").decode("utf-8", errors="replace"))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
