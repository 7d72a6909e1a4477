"""A BehaviorEvent message as a record: key, value, and whether the codec would take it."""

import json
import math
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.config import EventSettings
from mmrec.events.rejection import Rejection
from mmrec.events.rules import DOUBLE_FIELDS, STRING_FIELDS, Refusal, context_json, judge
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wire.instants import MAX_SECONDS, MIN_SECONDS, instant_s, instant_text

_TEXT_FIELDS: Final = tuple(name for name in STRING_FIELDS if name != "event_time")
_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class _Judged(NamedTuple):
    """The fields that judge() looks at; making an EventFields takes five times as long."""

    event_id: str
    user_id: str
    anonymous_id: str
    item_id: str
    behavior: str
    event_time_s: float | None
    session_id: str
    request_id: str
    quantity: float
    price: float
    position: int


def event_key(event: BehaviorEvent) -> bytes:
    """Key of the event's record: the user id, else the anonymous id."""
    return (event.user_id or event.anonymous_id).encode("utf-8")


def encode_event(event: BehaviorEvent) -> tuple[bytes, bytes]:
    """Key and value of an event's record: proto3 JSON, snake_case, default values left out.

    Every message can be written, those that check_record refuses included, so that a rejected record can hold it.
    """
    parts = [f'"{name}":{_quoted(value)}' for name in _TEXT_FIELDS if (value := getattr(event, name))]
    parts += [f'"{name}":{_number_text(value)}' for name in DOUBLE_FIELDS if (value := getattr(event, name))]
    if event.position:
        parts.append(f'"position":{event.position}')
    if event.imported:
        parts.append('"imported":true')
    if event.HasField("event_time"):
        parts.append(f'"event_time":"{_time_text(event.event_time)}"')
    if event.context:
        parts.append(f'"context":{context_json(dict(event.context))}')
    return event_key(event), f"{{{','.join(parts)}}}".encode()


def _number_text(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'"{_NON_FINITE[str(value)]}"'


def _time_text(time: Timestamp) -> str:
    """RFC 3339 as proto3 JSON writes it; for an instant that has no such form, its seconds and nanoseconds."""
    return instant_text(time.seconds, time.nanos) or f"{time.seconds}s {time.nanos}ns"


def check_record(
    event: BehaviorEvent,
    key: bytes,
    value: bytes,
    *,
    ingest_time_s: float,
    behaviors: BehaviorSet,
    settings: EventSettings,
) -> Refusal | None:
    """Why the codec would refuse an event if the broker got it at `ingest_time_s`; None where it would take it.

    Args:
        key: Key of its record, as returned by encode_event; `value` likewise.
    """
    if len(value) > settings.max_value_bytes:
        return Refusal(Rejection.TOO_LARGE, f"the value has {len(value)} bytes; at most {settings.max_value_bytes}")
    for name in DOUBLE_FIELDS:
        if not math.isfinite(getattr(event, name)):
            return Refusal(Rejection.WRONG_TYPE, f"{name} is {getattr(event, name)}; give a finite number")
    event_time_s = None
    if event.HasField("event_time"):
        time = event.event_time
        if not (MIN_SECONDS <= time.seconds <= MAX_SECONDS and 0 <= time.nanos < 10**9):
            return Refusal(
                Rejection.BAD_TIME, "event_time is outside the years 1 to 9999, or its nanos outside 0 to 999,999,999"
            )
        event_time_s = float(instant_s(time.seconds, time.nanos))
    fields = _Judged(
        event.event_id,
        event.user_id,
        event.anonymous_id,
        event.item_id,
        event.behavior,
        event_time_s,
        event.session_id,
        event.request_id,
        event.quantity,
        event.price,
        event.position,
    )
    return judge(fields, key=key, ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
