"""A BehaviorEvent message as a record: key, value, and whether the codec would take it."""

import json
import math
from typing import Any, Final

from mmrec.config import EventSettings
from mmrec.events.behaviors import BehaviorSet
from mmrec.events.rules import DOUBLE_FIELDS, FIELD_NAMES, EventFields, Refusal, context_json, instant_s, judge
from mmrec.events.verdicts import Rejection
from mmrec.v1.behavior_pb2 import BehaviorEvent

_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
_PLAIN_FIELDS: Final = tuple(name for name in FIELD_NAMES if name not in {"event_time", "context"})
_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def event_key(event: BehaviorEvent) -> bytes:
    """Key of the event's record: the user id, else the anonymous id."""
    return (event.user_id or event.anonymous_id).encode("utf-8")


def encode_event(event: BehaviorEvent) -> tuple[bytes, bytes]:
    """Key and value of an event's record: proto3 JSON, snake_case, default values left out.

    Every message can be written, those that check_event refuses included, so that a rejected record can hold it.
    """
    document: dict[str, Any] = {name: value for name in _PLAIN_FIELDS if (value := getattr(event, name))}
    for name in DOUBLE_FIELDS:
        if name in document and not math.isfinite(document[name]):
            document[name] = _NON_FINITE[str(document[name])]
    if event.HasField("event_time"):
        try:
            document["event_time"] = event.event_time.ToJsonString()
        except ValueError:
            document["event_time"] = f"{event.event_time.seconds}s {event.event_time.nanos}ns"
    if event.context:
        document["context"] = json.loads(context_json(dict(event.context)))
    return event_key(event), json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def check_event(
    event: BehaviorEvent, *, ingest_time_s: float, behaviors: BehaviorSet, settings: EventSettings
) -> tuple[Rejection, str] | None:
    """Why the codec would refuse this event if the broker got it at `ingest_time_s`; None where it would take it."""
    key, value = encode_event(event)
    refusal = check_record(event, key, value, ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
    return None if refusal is None else (refusal.reason, refusal.detail)


def check_record(
    event: BehaviorEvent,
    key: bytes,
    value: bytes,
    *,
    ingest_time_s: float,
    behaviors: BehaviorSet,
    settings: EventSettings,
) -> Refusal | None:
    """The same for an event whose record, as encode_event gave it, is at hand."""
    if len(value) > settings.max_value_bytes:
        return Refusal(Rejection.TOO_LARGE, f"the value has {len(value)} bytes; at most {settings.max_value_bytes}")
    for name in DOUBLE_FIELDS:
        if not math.isfinite(getattr(event, name)):
            return Refusal(Rejection.WRONG_TYPE, f"{name} is {getattr(event, name)}; give a finite number")
    event_time_s = None
    if event.HasField("event_time"):
        time = event.event_time
        if not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < 10**9):
            return Refusal(
                Rejection.BAD_TIME, "event_time is outside the years 1 to 9999, or its nanos outside 0 to 999,999,999"
            )
        event_time_s = float(instant_s(time.seconds, time.nanos))
    fields = EventFields(
        event_id=event.event_id,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        item_id=event.item_id,
        behavior=event.behavior,
        event_time_s=event_time_s,
        session_id=event.session_id,
        request_id=event.request_id,
    )
    return judge(fields, key=key, ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
