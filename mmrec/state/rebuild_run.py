"""A rebuild from begin to end, while the stream runs or not.

    done = rebuild(parts, take_lock=..., clock=...)       fill, catch up, flip
    done = back(parts, ...)                               the other generation as it is: catch up, flip

The pointer is moved by the one writer of profiles. Where a stream runs, that is the stream: it finds the request beside
the profiles and answers it between two micro-batches. Else this process takes the writer's lock and does it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from mmrec.errors import IncompatibleStateError, StoreError
from mmrec.features.schema import other_generation
from mmrec.features.values import StreamProgress
from mmrec.stream.rebuild import RebuildParts, catch_up, fill, flip

POLL_S: Final = 0.5
NEAR_ROWS: Final = 5_000
"""So few rows are left to the flip itself, which holds the stream up."""
MAX_ROUNDS: Final = 10


class Waiting(Protocol):
    """A clock that can wait."""

    def now_s(self) -> float:
        """Epoch seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


TakeLock = Callable[[], AbstractContextManager[object]]
"""The right to write profiles; StoreError where a stream holds it."""


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild did."""

    generation: str
    num_rows: int
    """Rows of the log that were read."""
    seconds: float
    flipped_by: str
    """"this process", "the stream", or "" where nobody was to."""


def rebuild(parts: RebuildParts, *, take_lock: TakeLock, waiting: Waiting, with_flip: bool, wait_s: float) -> Rebuilt:
    """Fill the generation that is not live from the log, and make it live.

    Args:
        with_flip: False leaves it filled, for back() later.
        wait_s: How long a running stream may take to answer.

    Raises:
        StoreError: the stream did not answer, or refused; the live generation is as it was.
        IncompatibleStateError: a stream runs with other decay rates; the generation is filled and waits.
    """
    began_s = waiting.now_s()
    filled = fill(parts, write_time_s=began_s)
    rows = filled.num_rows + _near(parts, filled.generation, waiting)
    by = _made_live(parts, filled.generation, take_lock, waiting, wait_s) if with_flip else ""
    seconds = waiting.now_s() - began_s
    return Rebuilt(generation=filled.generation, num_rows=rows, seconds=seconds, flipped_by=by)


def back(parts: RebuildParts, *, take_lock: TakeLock, waiting: Waiting, wait_s: float) -> Rebuilt:
    """Make the generation that is not live, live: it was before, or a rebuild filled it.

    Raises:
        InvalidRequestError: it was never filled.
        StoreError, IncompatibleStateError: see rebuild.
    """
    began_s, name = waiting.now_s(), other_generation(parts.store.live_generation())
    rows = _near(parts, name, waiting)
    by = _made_live(parts, name, take_lock, waiting, wait_s)
    return Rebuilt(generation=name, num_rows=rows, seconds=waiting.now_s() - began_s, flipped_by=by)


def _near(parts: RebuildParts, name: str, waiting: Waiting) -> int:
    """Catch up until little is left; returns the rows read."""
    num_rows = 0
    for _ in range(MAX_ROUNDS):
        done = catch_up(parts, name, write_time_s=waiting.now_s())
        num_rows += done.num_rows
        if done.num_rows < NEAR_ROWS:
            break
    return num_rows


def _made_live(parts: RebuildParts, name: str, take_lock: TakeLock, waiting: Waiting, wait_s: float) -> str:
    """Who moved the pointer."""
    store, give_up_s = parts.store, waiting.now_s() + wait_s
    while waiting.now_s() < give_up_s:
        try:
            lock = take_lock()
        except StoreError:
            _ask_stream(parts, name, waiting, give_up_s)
            if store.live_generation() == name:
                return "the stream"
            continue  # it ended meanwhile, or it refused
        with lock:
            progress = store.generation(store.live_generation()).read_progress() or StreamProgress()
            flip(parts, name, progress=progress, write_time_s=waiting.now_s())
            return "this process"
    store.request_flip(None)
    raise StoreError(f"the stream did not flip to generation {name!r} within {wait_s:.0f} s; its log may say why")


def _ask_stream(parts: RebuildParts, name: str, waiting: Waiting, give_up_s: float) -> None:
    try:
        parts.store.read_progress()
    except IncompatibleStateError as error:
        raise IncompatibleStateError(
            f"generation {name!r} is filled, but a stream runs with other decay rates; stop it (`mmrec down`), run "
            "`mmrec rebuild --back` with this configuration, and start it again"
        ) from error
    parts.store.request_flip(name)
    while waiting.now_s() < give_up_s and parts.store.requested_flip() is not None:
        waiting.sleep(POLL_S)
