"""Numbers, durations and instants in words: the same on every page."""

import math
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def duration(seconds: float) -> str:
    """Such as "12 ms", "3.4 s", "5 min", "7 h" or "3 d"; "-" where it is not finite."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def age(instant_s: float, *, now_s: float) -> str:
    """How long an instant has passed, such as "5 min ago"; "never" where it is 0, which is no instant."""
    if instant_s == 0:
        return "never"
    since_s = now_s - instant_s
    return f"in {duration(-since_s)}" if since_s < -1 else f"{duration(max(since_s, 0.0))} ago"


def instant(instant_s: float) -> str:
    """Such as "2026-03-01 12:00:05 UTC"; "never" where it is 0 or no instant of the calendar."""
    try:
        return (
            "never" if instant_s == 0 else datetime.fromtimestamp(instant_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        )
    except (OverflowError, ValueError, OSError):
        return "never"


def number(value: float) -> str:
    """A whole number with its thousands apart, else four digits that count."""
    if not math.isfinite(value):
        return str(value)
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:,.4g}"


def price(value: float, currency: str) -> str:
    """Such as "12.50 EUR"; empty where there is none (0)."""
    return f"{value:,.2f} {currency}".strip() if value > 0 and math.isfinite(value) else ""
