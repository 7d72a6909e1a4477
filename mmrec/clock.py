"""Where time comes from. Only shells read the system clock; all other code gets instants as arguments."""

import time
from typing import Protocol


class Clock(Protocol):
    """Source of the current instant."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class ManualClock:
    """A clock moved by hand, for tests and replays."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Seconds since the epoch, as last set."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds` >= 0."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds}); give seconds >= 0")
        self._now_s += seconds
