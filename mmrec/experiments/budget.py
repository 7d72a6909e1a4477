"""A run that ends in time: asked before every trial and fit, since what is done is kept (cells.py, tuning.py)."""

import math

from mmrec.clock import Clock, SystemClock
from mmrec.errors import DeadlineError, InvalidRequestError


class Budget:
    """So many minutes from now."""

    def __init__(self, minutes: float = math.inf, *, clock: Clock | None = None) -> None:
        """Of a clock, the machine's where none is given.

        Raises:
            InvalidRequestError: minutes below 0, or no number.
        """
        if not minutes >= 0:
            raise InvalidRequestError(f"a budget of {minutes} minutes; give 0 or more")
        self._clock: Clock = clock or SystemClock()
        self._until_s = self._clock.now_s() + 60.0 * minutes

    def check(self) -> None:
        """DeadlineError once the time is over: no further trial or fit begins."""
        if self._clock.now_s() >= self._until_s:
            raise DeadlineError("the budget of time is over; run again to go on")
