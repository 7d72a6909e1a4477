"""A row of a table as events, and events as records of the topic behavior-events.

    reader = EventReader(columns={"user_id": "visitorid", ...}, rules=BehaviorRules())
    for event in reader.events(row.cells, number=row.number, place="line 7", reading=reading): ...

A row gives one event for the name in its column of behaviors and one for each condition it meets; the name of the
latter is the condition's text. Event ids that the file does not have are made of the row's content and its number: the
same file read again gives the same ids, longer by some rows or not, and rows that are alike are different events.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.instants import Clock
from mmrec.catalog.importers.numbers import parse_number, parse_price
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.events.behavior_rules import BehaviorRules
from mmrec.events.event_edits import json_bytes
from mmrec.events.event_files import FileRow
from mmrec.wire.instants import exact_text

MAX_CONTEXT: Final = 200
"""Characters of a context's value; longer ones, such as texts of reviews, are left to the catalogue."""


class _NoTimeError(Exception):
    """A time is there and cannot be read: the event would count as of its arrival, which is not when it happened."""


class ImportedEvent(NamedTuple):
    """One event of a source, its behavior by the name it has there."""

    number: int
    """Of its line or row."""
    event_id: str
    user_id: str
    item_id: str
    behavior: str
    """Name in the file, or the text of a condition; empty where the row has none."""
    time_s: float | None
    """Epoch seconds; None where the row has none."""
    price: float = 0.0
    currency: str = ""
    quantity: float = 0.0
    session_id: str = ""
    context: Mapping[str, str] = {}

    def row(self) -> FileRow:
        """The record, as a file of behavior events has it."""
        document: dict[str, Any] = {
            "event_id": self.event_id,
            "user_id": self.user_id,
            "item_id": self.item_id,
            "behavior": self.behavior,
        }
        if self.time_s is not None:
            document["event_time"] = exact_text(self.time_s)
        more = ("price", "currency", "quantity", "session_id")
        document |= {name: value for name in more if (value := getattr(self, name))}
        if self.context:
            document["context"] = dict(self.context)
        return FileRow(self.number, self.user_id.encode("utf-8", errors="replace"), json_bytes(document) or b"")


@dataclass(frozen=True, kw_only=True)
class EventReader:
    """How rows of one table become events."""

    columns: Mapping[str, str]
    """Column by field of an event; `user_id` and `item_id` at least."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Names in the context by column."""
    rules: BehaviorRules = field(default_factory=BehaviorRules)
    """Conditions on rows. Ids of events are made of the behavior that a name or condition means, so that another rule
    that means the same gives the same event."""
    clock: Clock = field(default_factory=Clock)
    decimal: str = ""
    behavior: str = ""
    """Of every row, where there is no column of behaviors and no condition."""
    user_prefix: str = ""
    item_prefix: str = ""
    """Before every id, where ids of several kinds would meet."""

    def events(self, cells: Mapping[str, Any], *, number: int, place: str, reading: Reading) -> Iterator[ImportedEvent]:
        """The events of a row: none without user or item, with a time that cannot be read, or where no rule is met."""
        user_id, item_id = (cell_text(cells.get(self.columns[name])).strip() for name in ("user_id", "item_id"))
        if not user_id or not item_id:
            reading.note(Noticed.MISSING_ID, place, column=self.columns["item_id" if user_id else "user_id"])
            return
        names = self._names(cells)
        if not names:
            reading.note(Noticed.NO_BEHAVIOR, place)
            return
        try:
            time_s = self._time_s(cells, place, reading)
        except _NoTimeError:
            return
        price, currency = self._price(cells, place, reading)
        given_id, context = self._text(cells, "event_id"), self._context(cells, place, reading)
        meant = self.rules.table
        for name in names:
            reading.num_events += 1
            yield ImportedEvent(
                number=number,
                event_id=(given_id if len(names) == 1 else f"{given_id}-{name}")
                if given_id
                else _event_id(user_id, item_id, meant.get(name, name), repr(time_s), str(number)),
                user_id=self.user_prefix + user_id,
                item_id=self.item_prefix + item_id,
                behavior=name,
                time_s=time_s,
                price=price,
                currency=currency,
                quantity=self._quantity(cells, place, reading),
                session_id=self._text(cells, "session_id"),
                context=context,
            )

    def _names(self, cells: Mapping[str, Any]) -> list[str]:
        name = self._text(cells, "behavior") or self.behavior
        met = [condition.text for condition in self.rules.conditions if condition.is_met(cells.get(condition.column))]
        return [name, *met] if name else met

    def _text(self, cells: Mapping[str, Any], field: str) -> str:
        column = self.columns.get(field)
        return cell_text(cells.get(column)).strip() if column else ""

    def _time_s(self, cells: Mapping[str, Any], place: str, reading: Reading) -> float | None:
        column = self.columns.get("event_time")
        value = cells.get(column) if column else None
        if value is None or value == "":
            return None
        found = self.clock.read(value)
        if found is None:
            reading.note(Noticed.BAD_TIME, place, value, column=column or "")
            raise _NoTimeError
        if found.is_day:
            reading.note(Noticed.DAY_ONLY, place, value, column=column or "")
        return found.time_s

    def _price(self, cells: Mapping[str, Any], place: str, reading: Reading) -> tuple[float, str]:
        currency, text = self._text(cells, "currency"), self._text(cells, "price")
        price = parse_price(text, decimal=self.decimal) if text else None
        if text and (price is None or not 0 <= price.amount < float("inf")):
            reading.note(Noticed.BAD_PRICE, place, text, column=self.columns["price"])
            return 0.0, currency
        return (price.amount, currency or price.currency) if price else (0.0, currency)

    def _quantity(self, cells: Mapping[str, Any], place: str, reading: Reading) -> float:
        if not (text := self._text(cells, "quantity")):
            return 0.0
        number = parse_number(text, decimal=self.decimal)
        if number is None:
            reading.note(Noticed.BAD_NUMBER, place, text, column=self.columns["quantity"])
        return number or 0.0

    def _context(self, cells: Mapping[str, Any], place: str, reading: Reading) -> dict[str, str]:
        found: dict[str, str] = {}
        for column, name in self.context.items():
            text = cell_text(cells.get(column)).strip()
            if len(text) > MAX_CONTEXT:
                reading.note(Noticed.LONG_VALUE, place, text, column=column)
            elif text:
                found[name] = text
        return found


def _event_id(*content: str) -> str:
    return blake2b("\0".join(content).encode("utf-8", errors="replace"), digest_size=12).hexdigest()
