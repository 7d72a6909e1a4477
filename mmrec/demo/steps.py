"""Progress of a long run: one line per step with its seconds, and the same for a machine to read."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Steps:
    """Numbers, times and tells the steps of a run."""

    def __init__(self, *, num_steps: int, tell: Callable[[str], None]) -> None:
        self._num_steps = num_steps
        self._tell = tell
        self._done: list[dict[str, float | str]] = []
        self._started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """One step; the block is handed a function that says what came of it."""
        number = len(self._done) + 1
        self._tell(f"[{number:2d}/{self._num_steps}] {name} ...")
        outcome: list[str] = []
        started = time.monotonic()
        yield outcome.append
        seconds = time.monotonic() - started
        self._done.append({"name": name, "seconds": round(seconds, 2)})
        self._tell(f"        {seconds:6.1f} s  {'; '.join(outcome) or 'done'}")

    @property
    def done(self) -> list[dict[str, float | str]]:
        """Name and seconds of each finished step, in order."""
        return list(self._done)

    @property
    def total_s(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self._started
