"""Waiting for an engine that is unavailable for a moment, such as a broker that is being restarted.

    right = when_it_answers(lambda: take_writer_right(settings))

For calls at a program's start: trying again costs less than starting the program again.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from mmrec.errors import UnreachableError
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.5
Answer = TypeVar("Answer")


def when_it_answers(look: Callable[[], Answer], *, patience_s: float = PATIENCE_S, pause_s: float = PAUSE_S) -> Answer:
    """The result of `look`, which is called again as long as it raises UnreachableError.

    Raises:
        UnreachableError: the engine has not answered for `patience_s`.
    """
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            return look()
        except UnreachableError as error:
            if time.monotonic() > give_up_s:
                raise
            log.warning("waiting_for_engine", error=str(error))
        time.sleep(pause_s)
