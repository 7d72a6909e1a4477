"""Records of the topic behavior-events: events, logins and requests to forget, whole and broken."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from mmrec.clock import ManualClock
from mmrec.config import EventSettings
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.wire.instants import rfc3339
from tests.fuzz import awkward
from tests.fuzz.door import Fuzzed, Parts
from tests.fuzz.json_damage import damaged_document, damaged_key, written

NOW_S: Final = 1_767_225_600.25
BEHAVIORS: Final = shop_behaviors()
SETTINGS: Final = EventSettings()


def clock() -> ManualClock:
    """A clock that stands at NOW_S."""
    return ManualClock(NOW_S)


def event_document(rng: Random, number: int) -> dict[str, Any]:
    """A valid event with an id of its own; about half of the fields that may be absent are."""
    document: dict[str, Any] = {
        "event_id": f"e{number}",
        "item_id": f"i{rng.randrange(50)}",
        "behavior": rng.choice(("browse", "favorite", "cart", "purchase")),
    }
    document["anonymous_id" if rng.random() < 0.2 else "user_id"] = f"u{number}"
    more: dict[str, Any] = {
        "event_time": rfc3339(NOW_S - rng.randrange(0, 86_400 * 300)),
        "session_id": "s1",
        "request_id": "r1",
        "position": rng.randint(1, 50),
        "quantity": rng.choice((1, 2.0, 0.5)),
        "price": rng.choice((12.5, 100, 0.99)),
        "currency": "EUR",
        "domain": "beauty",
        "context": {"page": "home", "campaign": "ü"},
        "imported": rng.random() < 0.5,
    }
    document.update({name: value for name, value in more.items() if rng.random() < 0.5})
    return document


def control_document(rng: Random, number: int) -> dict[str, Any]:
    """A login or a request to forget, of users that no valid event is of."""
    if rng.random() < 0.5:
        return {
            "event_id": f"e{number}",
            "user_id": f"c{number}",
            "anonymous_id": f"d{number}",
            "behavior": IDENTIFY,
        }
    return {"event_id": f"e{number}", "user_id": f"c{number}", "behavior": FORGET}


def key_of(document: Mapping[str, Any]) -> bytes:
    """The key of a document's record."""
    return str(document.get("user_id") or document.get("anonymous_id", "")).encode()


def valid_event(rng: Random, number: int) -> Parts:
    """Key and value of a valid event."""
    document = event_document(rng, number)
    return key_of(document), written(document, rng).encode()


def malformed_event(rng: Random, number: int) -> Fuzzed:
    """Key and value of a broken record; the ids it began with are its own, so that it meets no valid one."""
    document = event_document(rng, number) if rng.random() < 0.8 else control_document(rng, number)
    kind = rng.randrange(20)
    if kind == 0:
        return Fuzzed((key_of(document), None), made_by="no_value")
    if kind == 1:
        name = rng.choice(("event_id", "item_id", "user_id", "session_id"))
        document[name] = awkward.text(rng)
        return Fuzzed((key_of(document), written(document, rng).encode()), made_by="awkward_id")
    value, made_by = damaged_document(document, rng)
    return Fuzzed((damaged_key(key_of(document), rng), value), made_by=made_by)
