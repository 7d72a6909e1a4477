"""Times of a file's cells as epoch seconds: RFC 3339 and ISO texts, numbers since 1970 in any unit, days.

    clock = column_clock(samples, unit="", zone="")         decides the unit of a column of numbers by its size
    clock.read("2018-09-27 13:45:00") -> Instant(1538055900.0, is_day=False)

A time without a zone is read in the zone given, else UTC. A day stands at noon of it: nobody knows more, and half a day
is the largest error.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from mmrec.errors import InvalidRequestError
from mmrec.wire.instants import MAX_SECONDS, MIN_SECONDS, parse_time

PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FROM_S, _TO_S = 315_532_800, 2_524_608_000
"""1980 to 2050: numbers of no unit would lie here in two units only if a shop were older than time-keeping."""
_NUMBER: Final = re.compile(r"-?\d{1,19}(?:\.\d*)?", re.ASCII)
_LARGEST: Final = 1e19
"""Of numbers that are looked at, as of those in texts."""
_MONTH_FIRST: Final = re.compile(r"(\d{1,2}) (\d{1,2}), (\d{4})", re.ASCII)
"""As Amazon's reviewTime: "09 13, 2009"."""
_OFFSET: Final = re.compile(r"\s?(?:UTC|GMT|Z)$")


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, or a day."""

    time_s: float
    is_day: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """How the times of a column are read."""

    unit: str = ""
    """Of numbers: s, ms, us or ns; empty where the column has none."""
    zone: str = ""
    """IANA name for times without a zone; empty is UTC."""

    def read(self, value: Any) -> Instant | None:
        """The moment that a cell means; None where it means none."""
        found = self._read(value)
        return found if found is not None and MIN_SECONDS <= found.time_s <= MAX_SECONDS else None

    def _read(self, value: Any) -> Instant | None:
        if isinstance(value, datetime.datetime):
            return Instant(self._local(value), is_day=False)
        if isinstance(value, datetime.date):
            return self._noon(value.year, value.month, value.day)
        if (number := _number(value)) is not None:
            return Instant(number / PER_SECOND[self.unit], is_day=False) if self.unit else None
        if not isinstance(value, str):
            return None
        text = value.strip()
        if (time_s := parse_time(text)) is not None:
            return Instant(time_s, is_day=False)
        if found := _MONTH_FIRST.fullmatch(text):
            return self._noon(int(found[3]), int(found[1]), int(found[2]))
        try:
            moment = datetime.datetime.fromisoformat(_OFFSET.sub("+00:00", text))
        except ValueError:
            return None
        if len(text) <= len("2018-09-27") and moment.time() == datetime.time():
            return self._noon(moment.year, moment.month, moment.day)
        return Instant(self._local(moment), is_day=False)

    def _noon(self, year: int, month: int, day: int) -> Instant | None:
        try:
            return Instant(self._local(datetime.datetime(year, month, day, 12)), is_day=True)
        except (ValueError, OverflowError):
            return None

    def _local(self, moment: datetime.datetime) -> float:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self.zone) if self.zone else datetime.UTC)
        return moment.timestamp()


def column_clock(samples: Iterable[Any], *, unit: str = "", zone: str = "", column: str = "") -> Clock:
    """How a column is read, by some of its values.

    Args:
        unit: Of numbers, where the caller knows it.
        column: Its name, for the message.

    Raises:
        InvalidRequestError: the unit or zone does not exist, or numbers are in no unit that makes them times.
    """
    if unit not in ("", *PER_SECOND):
        raise InvalidRequestError(f"time unit {unit!r}; give one of {', '.join(PER_SECOND)}")
    if zone:
        try:
            ZoneInfo(zone)
        except (LookupError, ValueError, OSError):
            raise InvalidRequestError(
                f"time zone {zone!r} is not known; give an IANA name, such as Europe/Berlin"
            ) from None
    numbers = sorted(number for value in samples if (number := _number(value)) is not None)
    if unit or not numbers:
        return Clock(unit=unit, zone=zone)
    middle = numbers[len(numbers) // 2]
    units = [name for name, per_second in PER_SECOND.items() if _FROM_S <= middle / per_second < _TO_S]
    if not units:
        raise InvalidRequestError(
            f"column {column} holds numbers such as {middle:.0f}, which are times between 1980 and 2050 in no unit; "
            f"name it with --time-unit {', '.join(PER_SECOND)}, or another column with --column event_time=COLUMN"
        )
    return Clock(unit=units[0], zone=zone)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # JSON has integers beyond every float, which are no times.
        return float(value) if -_LARGEST < value < _LARGEST else None
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else None
