"""Work that takes longer than a call should: in a thread of its own, one of a kind at a time, with its progress told.

    for message in LongWork().run("rebuild", work, progress=...): ...

The work goes on where whoever reads its messages goes away: what was begun is finished, and its act says how.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from mmrec.errors import InvalidRequestError, PreconditionError
from mmrec.v1.admin_pb2 import WorkProgress

PAUSE_S: Final = 1.0
"""Between two messages of progress."""
MAX_WAIT_S: Final = 3_600.0
"""Longest that a request may have long work wait for something."""
Told = Callable[[str, int], None]
"""(unit, number done since the last call)."""
Work = Callable[[Told], Iterable[Any]]
"""Does the work and returns the messages with its result."""


class LongWork:
    """The long work of one program. Safe to use from several threads."""

    def __init__(self) -> None:
        self._begun_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def run(
        self, kind: str, work: Work, *, progress: Callable[[WorkProgress], Any] | None, pause_s: float = PAUSE_S
    ) -> Iterator[Any]:
        """Do it, and hand on its messages; None at every pause that has nothing to tell, so that no reader is held.

        Args:
            kind: Only one of a kind is done at a time.
            progress: Makes the message of a state of the work; None where no such message is wanted.

        Raises:
            PreconditionError: other work of this kind is under way.
            Exception: whatever the work raised.
        """
        with self._lock:
            if kind in self._begun_s:
                age_s = time.monotonic() - self._begun_s[kind]
                raise PreconditionError(f"{kind} is under way since {age_s:.0f} s; wait for its end, the acts show it")
            self._begun_s[kind] = time.monotonic()
        done = WorkProgress()
        ended: queue.Queue[tuple[Iterable[Any], BaseException | None]] = queue.Queue()

        def tell(unit: str, number: int) -> None:
            done.unit, done.num_done = unit, (done.num_done if done.unit == unit else 0) + number

        def do() -> None:
            try:
                result: tuple[Iterable[Any], BaseException | None] = list(work(tell)), None
            except BaseException as error:
                result = (), error
            with self._lock:
                del self._begun_s[kind]
            ended.put(result)

        threading.Thread(target=do, name=f"work-{kind}", daemon=True).start()
        while True:
            try:
                messages, error = ended.get(timeout=pause_s)
                break
            except queue.Empty:
                yield progress(done) if progress is not None and done.unit else None
        if error is not None:
            raise error
        yield from messages


def wait_of(wait_s: float, *, usual_s: float) -> float:
    """Seconds to wait as a request has them; the usual ones where it has 0.

    Raises:
        InvalidRequestError: below 0, above MAX_WAIT_S, or no number.
    """
    if not 0 <= wait_s <= MAX_WAIT_S:  # NaN, too
        raise InvalidRequestError(f"wait_s is {wait_s}; give seconds up to {MAX_WAIT_S:g}, or 0 for {usual_s:g}")
    return wait_s or usual_s
