"""Event times in the columns of files: every unit, with and without a zone, exact to the nanosecond.

A time without a zone is read in the zone given by the caller, or UTC; never in the machine's own. When clocks are set
back, a time of day occurs twice: the earlier instant is taken. When they are set forward, an hour is skipped: a time
within it never existed, and its row is refused. Numbers do not name a unit, so the caller has to.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from mmrec.errors import InvalidRequestError
from mmrec.wire.instants import instant_text

NANOS_PER_UNIT: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EPOCH: Final = datetime(1970, 1, 1)


class ColumnTypeError(ValueError):
    """A column's type does not say what an event needs; the text says what would."""


class Fault(NamedTuple):
    """A value that cannot be expressed in an event."""

    written: Any
    """JSON that shows the value and that the codec refuses in this field."""


@dataclass(frozen=True, kw_only=True)
class FileReading:
    """What a file cannot say of itself."""

    time_unit: str = ""
    """Of event_time where that is a number since 1970-01-01 UTC: s, ms, us, ns; empty where it is none."""
    time_zone: str = ""
    """IANA name of the zone of zone-less timestamps; empty is UTC."""
    max_bytes: int = 65_536
    """Longest value that the codec reads (events.max_value_bytes); longer ones are cut one byte beyond that."""

    def __post_init__(self) -> None:
        if self.time_unit not in ("", *NANOS_PER_UNIT):
            raise InvalidRequestError(f"time unit {self.time_unit!r}; give one of {', '.join(NANOS_PER_UNIT)}")
        if self.time_zone:
            try:
                ZoneInfo(self.time_zone)
            except (LookupError, ValueError, OSError):
                raise InvalidRequestError(
                    f"time zone {self.time_zone!r} is not known; give an IANA name, such as Europe/Berlin"
                ) from None


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A column's type without dictionary, runs or extension."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of times needs a unit."""
    plain = plain_type(kind)
    return bool(pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain))


def lacks_zone(kind: pa.DataType) -> bool:
    """Whether a column holds times without a zone."""
    plain = plain_type(kind)
    return bool(pa.types.is_timestamp(plain) and plain.tz is None)


def time_reader(kind: pa.DataType, reading: FileReading) -> Callable[[pa.Array], list[Any]]:
    """How a column of this plain type becomes RFC 3339 texts, None where absent, a Fault where it is no instant.

    Raises:
        ColumnTypeError: the type and the given unit or zone do not describe instants.
    """
    if pa.types.is_timestamp(kind):
        nanos = NANOS_PER_UNIT[kind.unit]
        zone = ZoneInfo(reading.time_zone) if reading.time_zone and kind.tz is None else None
        written = _instant if zone is None else _local(zone)
        return lambda array: [
            None if value is None else written(value * nanos) for value in array.cast(pa.int64()).to_pylist()
        ]
    if is_number(kind):
        if not reading.time_unit:
            raise ColumnTypeError(
                "numbers do not say their unit: name it with --time-unit s, ms, us or ns, or give timestamps"
            )
        unit = NANOS_PER_UNIT[reading.time_unit]
        return lambda array: [None if value is None else _number(value, unit) for value in array.to_pylist()]
    if pa.types.is_date(kind):
        raise ColumnTypeError("a day is no instant; give a timestamp")
    raise ColumnTypeError("give a timestamp, RFC 3339 text, or numbers with --time-unit")


def _number(value: Any, nanos_per_unit: int) -> str | Fault:
    if isinstance(value, int):
        return _instant(value * nanos_per_unit)
    if not math.isfinite(value):
        return Fault(str(value))
    return _instant(round(Fraction(value) * nanos_per_unit))


def _instant(nanos: int) -> str | Fault:
    """RFC 3339 of nanoseconds since 1970-01-01 UTC."""
    seconds, rest = divmod(nanos, 10**9)
    return instant_text(seconds, rest) or Fault(f"{seconds}s {rest}ns")


def _local(zone: ZoneInfo) -> Callable[[int], str | Fault]:
    def written(nanos: int) -> str | Fault:
        seconds, rest = divmod(nanos, 10**9)
        try:
            wall = _EPOCH + timedelta(seconds=seconds)
            instant = wall.replace(tzinfo=zone).astimezone(UTC)  # fold=0: the earlier one of two
            if instant.astimezone(zone).replace(tzinfo=None) != wall:
                return Fault(f"{wall.isoformat()}, which {zone.key} skips")
        except OverflowError:
            return Fault(f"{seconds}s {rest}ns")
        offset = wall - instant.replace(tzinfo=None)
        return _instant(nanos - round(offset.total_seconds()) * 10**9)

    return written
