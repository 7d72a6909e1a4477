"""Changes to events on their way from a file: other names for behaviors, moved times, the flag of history.

    edited = EventEdit(behaviors={"view": "browse"}, imported=True).apply(key, value)

A record that the codec cannot read is passed on byte for byte, so that it is refused in the same place as all others.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mmrec.config import EventSettings
from mmrec.errors import InvalidRequestError
from mmrec.events.rules import FIELD_NAMES
from mmrec.scoring.behaviors import CONTROL_PREFIX
from mmrec.wire.documents import DocumentError, camel_case, load_document
from mmrec.wire.instants import exact_text, parse_time
from mmrec.wire.shown import shown

_FORMS: Final = frozenset(form for name in FIELD_NAMES for form in (name, camel_case(name)))


class Edited(NamedTuple):
    """A record as it is sent to Kafka."""

    key: bytes
    value: bytes
    name: str
    """Name of its behavior in the file; empty where it has none, or where it was not looked at."""
    is_left_out: bool
    """Whether it is not to be sent."""


@dataclass(frozen=True, kw_only=True)
class EventEdit:
    """What happens to every event of a file; the default is nothing."""

    behaviors: Mapping[str, str] = field(default_factory=dict)
    """Names in the file to configured ones; others stay."""
    known: frozenset[str] | None = None
    """Configured behaviors; events of others are left out. None leaves none out, so that the codec refuses them."""
    left_out: frozenset[str] = frozenset()
    """Names in the file whose events are left out."""
    shift_s: float = 0.0
    """Added to every event time; order and gaps stay. Events without a time keep none."""
    imported: bool = False
    """Whether to flag events as history: each then counts as known when it happened."""
    max_bytes: int = EventSettings().max_value_bytes
    """Longest value that the codec reads. Longer ones are passed on unchanged: rewritten, they might be shorter."""

    def apply(self, key: bytes, value: bytes) -> Edited:
        """One record as this edit leaves it."""
        if self.changes_nothing:
            return Edited(key, value, "", False)
        document = document_of(value) if len(value) <= self.max_bytes else None
        if document is None:
            return Edited(key, value, "", "" in self.left_out)
        given = document.get("behavior")
        name = given if isinstance(given, str) else ""
        if self._leaves_out(name):
            return Edited(key, value, name, True)
        if name in self.behaviors:
            document["behavior"] = self.behaviors[name]
        if self.shift_s:
            _shift(document, self.shift_s)
        # A flag of another type stays, so that the codec refuses it.
        if self.imported and isinstance(document.get("imported", False), bool | None):
            document["imported"] = True
        return Edited(key, json_bytes(document) or value, name, False)

    @property
    def changes_nothing(self) -> bool:
        """Whether every record is passed on byte for byte."""
        return not (self.behaviors or self.left_out or self.shift_s or self.imported) and self.known is None

    def target(self, name: str) -> str:
        """The behavior that events of this name in the file are sent as."""
        return self.behaviors.get(name, name)

    def sent_before(self, behaviors: Mapping[str, str]) -> frozenset[str]:
        """Names in the file that need not be sent, since their events were.

        Args:
            behaviors: Those names, and the behaviors they were sent as.

        Raises:
            InvalidRequestError: one was sent as another behavior than this edit says.
        """
        for name, sent_as in behaviors.items():
            if name and sent_as != self.target(name) and not self._leaves_out(name):
                raise InvalidRequestError(
                    f"events of {shown(name)} in this file were imported as {sent_as}, not {self.target(name)}; "
                    f"an event counts under one behavior. --again sends the file whole, all the same"
                )
        return frozenset(behaviors)

    def _leaves_out(self, name: str) -> bool:
        if name in self.left_out:
            return True
        is_event = bool(name) and not name.startswith(CONTROL_PREFIX)
        return is_event and self.known is not None and self.target(name) not in self.known


def document_of(value: bytes) -> dict[str, Any] | None:
    """The object that a record holds, as the codec's decoder reads it; None where it holds none."""
    try:
        return load_document(value, max_bytes=len(value))
    except DocumentError:
        return None


def key_of(document: Mapping[str, Any]) -> bytes:
    """The key of an event's record: its user id, else its anonymous id, else nothing."""
    for name in ("user_id", "anonymous_id"):
        user = document.get(name) or document.get(camel_case(name))
        if isinstance(user, str) and user:
            return user.encode("utf-8", errors="replace")
    return b""


def event_time_s(document: Mapping[str, Any]) -> float | None:
    """Epoch seconds of an event's own time; None where it has none that can be read."""
    text = document.get("event_time", document.get("eventTime"))
    return parse_time(text) if isinstance(text, str) else None


def json_bytes(document: Mapping[str, Any]) -> bytes | None:
    """A document as JSON; None where a field of an event cannot be written, which the codec would refuse anyway."""
    known = {name: value for name, value in document.items() if name in _FORMS}
    # Half a surrogate pair can only be written escaped, and 1e400 not at all; a field that nobody reads is dropped.
    for part, is_ascii in ((document, False), (document, True), (known, True)):
        try:
            text = json.dumps(part, separators=(",", ":"), ensure_ascii=is_ascii, allow_nan=False)
            return text.encode("utf-8")
        except (ValueError, RecursionError):
            continue
    return None


def _shift(document: dict[str, Any], shift_s: float) -> None:
    time_s = event_time_s(document)
    if time_s is None or ("event_time" in document and "eventTime" in document):
        return
    if text := exact_text(time_s + shift_s):
        document.pop("eventTime", None)
        document["event_time"] = text
