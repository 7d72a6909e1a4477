"""Instants on the wire: RFC 3339 text and epoch seconds (float64), with one way of rounding.

parse_time("2026-01-31T12:00:00Z") -> 1769860800.0        rfc3339(1769860800.0) -> "2026-01-31T12:00:00Z"
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.errors import InvalidRequestError

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)
MIN_SECONDS: Final = -62_135_596_800
MAX_SECONDS: Final = 253_402_300_799
"""Years 1 to 9999, the range of RFC 3339 and google.protobuf.Timestamp."""


def parse_time(text: str) -> float | None:
    """Epoch seconds of an RFC 3339 instant, to the nanosecond; None where the text is none.

    Years 1 to 9999; leap seconds are not accepted, as in proto3 JSON.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    offset_s = 0
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        if hours > 23 or minutes > 59:
            return None
        offset_s = (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
    delta = moment - _EPOCH
    whole_s = delta.days * 86_400 + delta.seconds - offset_s
    nanos = int((fraction or "").ljust(9, "0"))
    time_s = float(instant_s(whole_s, nanos))
    # An offset may lead beyond year 9999, and so may rounding; such an instant could not be written again.
    return time_s if MIN_SECONDS <= time_s <= MAX_SECONDS else None


def instant_s(seconds: Any, nanos: Any) -> Any:
    """Float64 instant of whole seconds and nanoseconds; used everywhere, so that all code rounds in the same way."""
    return seconds + nanos / 1e9


def instant_text(seconds: int, nanos: int) -> str | None:
    """RFC 3339 of an instant as proto3 JSON writes it, with 0, 3, 6 or 9 decimals; None where it cannot write it."""
    if not (MIN_SECONDS <= seconds <= MAX_SECONDS and 0 <= nanos < 10**9):
        return None
    whole = (_NAIVE_EPOCH + timedelta(0, seconds)).isoformat()
    if not nanos:
        return f"{whole}Z"
    if nanos % 1_000_000 == 0:
        return f"{whole}.{nanos // 1_000_000:03d}Z"
    return f"{whole}.{nanos // 1_000:06d}Z" if nanos % 1_000 == 0 else f"{whole}.{nanos:09d}Z"


def exact_text(time_s: float) -> str | None:
    """RFC 3339 that parse_time() reads back as the very same number; None where there is none."""
    if not math.isfinite(time_s):
        return None
    whole_s = math.floor(time_s)
    return instant_text(*divmod(whole_s * 10**9 + round((time_s - whole_s) * 1e9), 10**9))


def log_time(time_s: float) -> str:
    """RFC 3339 with three decimals, always: lines that begin with it sort by time as texts."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def rfc3339(time_s: float) -> str:
    """Epoch seconds as proto3 JSON writes an instant, to the microsecond.

    Raises:
        InvalidRequestError: it is outside the years 1 to 9999, or not a number.
    """
    stamp = Timestamp()
    try:
        stamp.FromMicroseconds(round(time_s * 1e6))
        return str(stamp.ToJsonString())
    except (ValueError, OverflowError):
        raise InvalidRequestError(f"epoch second {time_s} lies outside the years 1 to 9999") from None
