"""The rule table of behavior events: what a record must be, and the reason it is refused otherwise.

    parse_value(bytes) -> EventFields      proto3 JSON of mmrec.v1.BehaviorEvent; snake_case and camelCase are both read
    judge(fields, ...) -> Refusal | None   ids, behavior, times, key

One obvious form, one record at a time. The vectorized codec accepts only records that are certainly valid and passes
all others to these functions, so reasons are decided here alone.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from mmrec.config import EventSettings
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.control import CONTROL_BEHAVIORS, IDENTIFY
from mmrec.events.rejection import Rejection
from mmrec.scoring.behaviors import CONTROL_PREFIX, BehaviorSet
from mmrec.wire.documents import JSON_NUMBER, DocumentError, camel_case, check_text, load_document, load_json
from mmrec.wire.ids import id_problem
from mmrec.wire.instants import parse_time
from mmrec.wire.shown import shown

STRING_FIELDS: Final = (
    "event_id",
    "user_id",
    "anonymous_id",
    "item_id",
    "behavior",
    "event_time",
    "session_id",
    "request_id",
    "currency",
    "domain",
)
DOUBLE_FIELDS: Final = ("quantity", "price")
FIELD_NAMES: Final = (*STRING_FIELDS, *DOUBLE_FIELDS, "position", "imported", "context")


_FIELD_OF: Final = {form: name for name in FIELD_NAMES for form in (name, camel_case(name))}


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFields:
    """One behavior event as it was sent; absent strings are "", absent numbers 0."""

    event_id: str = ""
    user_id: str = ""
    anonymous_id: str = ""
    item_id: str = ""
    behavior: str = ""
    event_time_s: float | None = None
    """None where absent: ingest time stands in."""
    session_id: str = ""
    request_id: str = ""
    position: int = 0
    quantity: float = 0.0
    price: float = 0.0
    currency: str = ""
    domain: str = ""
    context: str = ""
    """JSON object with sorted keys, or ""."""
    imported: bool = False
    num_unknown_fields: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused, and what would be right."""

    reason: Rejection
    detail: str


class _RefusedError(Exception):
    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


def _wrong(name: str, value: object, right: str) -> _RefusedError:
    return _RefusedError(Rejection.WRONG_TYPE, f"{name} is {shown(value)}; give {right}")


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a string")
    check_text(name, value)
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and JSON_NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(name, number, "a finite number")
    return number


def _int32(name: str, value: Any) -> int:
    number = _number(name, value)
    if not number.is_integer() or not -(2**31) <= number < 2**31:
        raise _wrong(name, value, "a whole number of 32 bits")
    return int(number)


def context_json(context: dict[str, str]) -> str:
    """Canonical form of a context map: JSON with sorted keys; "" where empty."""
    return json.dumps(context, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if context else ""


def _context(value: Any) -> str:
    if not isinstance(value, dict):
        raise _wrong("context", value, "an object of strings")
    for name, text in value.items():
        _string("a name of context", name)
        _string("context." + ascii(name)[1:-1], text)
    return context_json(value)


def parse_context(text: str) -> str | None:
    """Canonical form of the JSON text of a context map; None where it is none."""
    try:
        return _context(load_json(text))
    except (DocumentError, _RefusedError):
        return None


def parse_value(value: bytes | None, *, settings: EventSettings) -> EventFields | Refusal:
    """Fields of one record's value, proto3 JSON of mmrec.v1.BehaviorEvent.

    Args:
        value: The record's bytes; None is a tombstone and refused.

    Returns:
        Fields with the right types (ids may still be missing or bad), or the refusal.
    """
    try:
        return _fields(load_document(value, max_bytes=settings.max_value_bytes))
    except DocumentError as error:
        return Refusal(Rejection(error.reason), error.detail)
    except _RefusedError as refused:
        return refused.refusal


def _fields(document: dict[str, Any]) -> EventFields:
    found: dict[str, Any] = {}
    num_unknown = 0
    for form, value in document.items():
        name = _FIELD_OF.get(form)
        if name is None:
            num_unknown += 1
        elif value is not None:
            if name in found:
                raise _RefusedError(Rejection.MALFORMED_JSON, f"{name} stands twice, as {name} and {camel_case(name)}")
            found[name] = value
    fields: dict[str, Any] = {}
    for name, value in found.items():
        if name in DOUBLE_FIELDS:
            fields[name] = _number(name, value)
        elif name == "position":
            fields[name] = _int32(name, value)
        elif name == "imported":
            if not isinstance(value, bool):
                raise _wrong(name, value, "true or false")
            fields[name] = value
        elif name == "context":
            fields[name] = _context(value)
        else:
            fields[name] = _string(name, value)
    event_time = fields.pop("event_time", None)
    if event_time is not None:
        event_time_s = parse_time(event_time)
        if event_time_s is None:
            raise _RefusedError(
                Rejection.BAD_TIME, f"event_time is {shown(event_time)}; give RFC 3339, such as 2026-01-31T12:00:00Z"
            )
        fields["event_time_s"] = event_time_s
    return EventFields(**fields, num_unknown_fields=num_unknown)


def _id_problem(name: str, value: str) -> str:
    if problem := id_problem(name, value):
        return problem
    if name == "user_id" and value.startswith(ANONYMOUS_PREFIX):
        return f'{name} is {shown(value)}; "{ANONYMOUS_PREFIX}" is reserved, give anonymous_id for anonymous users'
    return ""


class JudgedNumbers(Protocol):
    """The numbers of an event."""

    @property
    def quantity(self) -> float: ...
    @property
    def price(self) -> float: ...
    @property
    def position(self) -> int: ...


def number_problem(numbers: JudgedNumbers) -> str:
    """What is wrong with the numbers of an event, "" where nothing is. 0 is absent and -0.0 is 0."""
    for name in DOUBLE_FIELDS:
        number = getattr(numbers, name)
        if not number >= 0:
            return f"{name} is {number}; give a number >= 0, 0 where there is none"
    if numbers.position < 0:
        return f"position is {numbers.position}; give a rank from 1, 0 where there is none"
    return ""


def _undo_hint(behavior: str, behaviors: BehaviorSet) -> str:
    undoing = [each.name for each in behaviors if each.undo_of == behavior]
    return f"; to take back a {behavior} send {' or '.join(undoing)}" if undoing else ""


class JudgedFields(JudgedNumbers, Protocol):
    """What judge() looks at; EventFields has it."""

    @property
    def event_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def anonymous_id(self) -> str: ...
    @property
    def item_id(self) -> str: ...
    @property
    def behavior(self) -> str: ...
    @property
    def event_time_s(self) -> float | None: ...
    @property
    def session_id(self) -> str: ...
    @property
    def request_id(self) -> str: ...


def judge(
    fields: JudgedFields, *, key: bytes | None, ingest_time_s: float, behaviors: BehaviorSet, settings: EventSettings
) -> Refusal | None:
    """Why an event or control record with fields of the right types is refused; None where it is accepted.

    Args:
        key: The record's key; must be the user id, or the anonymous id where there is no user id.
        ingest_time_s: The broker's append time, which event time is judged against.
    """
    if not fields.event_id:
        return Refusal(Rejection.MISSING_EVENT_ID, "give an event_id that is unique for the user")
    if not fields.user_id and not fields.anonymous_id:
        return Refusal(Rejection.MISSING_USER_ID, "give user_id or anonymous_id")
    control = fields.behavior in CONTROL_BEHAVIORS
    if fields.behavior == IDENTIFY and not (fields.user_id and fields.anonymous_id):
        return Refusal(Rejection.MISSING_USER_ID, f"give user_id and anonymous_id to {IDENTIFY}")
    if not fields.item_id and not control:
        return Refusal(Rejection.MISSING_ITEM_ID, "give item_id")
    if not fields.behavior:
        return Refusal(Rejection.MISSING_BEHAVIOR, f"give one of {', '.join(behaviors.names)}")
    for name in ("event_id", "user_id", "anonymous_id", "item_id", "session_id", "request_id"):
        if problem := _id_problem(name, getattr(fields, name)):
            return Refusal(Rejection.BAD_ID, problem)
    if not control and (fields.behavior.startswith(CONTROL_PREFIX) or fields.behavior not in behaviors):
        known = ", ".join(behaviors.names)
        return Refusal(Rejection.UNKNOWN_BEHAVIOR, f"behavior is {shown(fields.behavior)}; known: {known}")
    # Nobody reads the numbers of a control record, and a request to forget must not fail because of one.
    if not control and (problem := number_problem(fields)):
        return Refusal(Rejection.OUT_OF_RANGE, problem + _undo_hint(fields.behavior, behaviors))
    event_time_s = ingest_time_s if fields.event_time_s is None else fields.event_time_s
    if event_time_s > ingest_time_s + settings.max_future_s:
        late = event_time_s - ingest_time_s
        return Refusal(
            Rejection.TIME_IN_FUTURE, f"event_time is {late:.3f} s after ingest; at most {settings.max_future_s}"
        )
    if event_time_s < settings.horizon_s:
        return Refusal(
            Rejection.TIME_BEFORE_HORIZON,
            f"event_time is epoch second {event_time_s:.3f}; not before {settings.horizon_s}",
        )
    if key != (fields.user_id or fields.anonymous_id).encode("utf-8"):
        return Refusal(Rejection.KEY_MISMATCH, f"the key is {shown(key)}; give the event's user id as key")
    return None


def decode_record(
    key: bytes | None, value: bytes | None, *, ingest_time_s: float, behaviors: BehaviorSet, settings: EventSettings
) -> EventFields | Refusal:
    """Reference decoder: one record, every rule in order. Event time is filled in where it was absent."""
    fields = parse_value(value, settings=settings)
    if isinstance(fields, Refusal):
        return fields
    refusal = judge(fields, key=key, ingest_time_s=ingest_time_s, behaviors=behaviors, settings=settings)
    if refusal is not None:
        return refusal
    return fields if fields.event_time_s is not None else replace(fields, event_time_s=ingest_time_s)
