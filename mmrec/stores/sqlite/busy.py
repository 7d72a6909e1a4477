"""Writes of a connection that is not ours to set up, such as Feast's, while another process holds SQLite's lock."""

import sqlite3
import time
from collections.abc import Callable


def when_unlocked(write: Callable[[], object], *, patience_s: float) -> None:
    """Call `write`, which changes nothing when it fails, again while another connection's transaction keeps it out.

    Each call waits as long as its connection says (5 s by default), so there is no pause between them.

    Raises:
        sqlite3.OperationalError: the lock was not to be had for `patience_s`, or something else is wrong.
    """
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            write()
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up_s:
                raise
