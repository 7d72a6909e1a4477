"""SQLite connections that stay open between transactions: one per thread, to one file after the other.

    kept = KeptConnections(connect)
    with kept.connection(path) as database: ...       open for this thread's next use, unless something failed

To open a file and to close its last connection costs more than twenty small transactions: the schema is read, and where
writes go to a log, that is copied into the file and both are synced. A file that was replaced under its name is opened
anew, and so is one that another process inherited.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class KeptConnections:
    """Connections of the threads of one owner; they are closed with their thread or their owner.

    Args:
        connect: Opens a file; sqlite3.Error where it cannot. Its connection must allow to be closed by another thread.
        keeps: False opens and closes one for every use.
    """

    def __init__(self, connect: Callable[[Path], sqlite3.Connection], *, keeps: bool = True) -> None:
        self._connect, self._keeps = connect, keeps
        self._of_thread = threading.local()

    @contextmanager
    def connection(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection to the file at `path`; one whose use failed is closed.

        Raises:
            sqlite3.Error: the file cannot be opened.
        """
        kept: dict[Path, _Kept] = self._of_thread.__dict__.setdefault("kept", {})
        found = kept.get(path)
        if found is None or found.identity != _identity(path):
            kept.pop(path, None)
            found = _Kept(self._connect(path), path)
        try:
            yield found.connection
        except BaseException:
            kept.pop(path, None)
            found.close()
            raise
        if self._keeps:
            kept[path] = found
        else:
            found.close()


class _Kept:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection, self.identity = connection, _identity(path)
        self._process = os.getpid()

    def close(self) -> None:
        if self._process == os.getpid():  # what was inherited is the other process's to close
            self.connection.close()

    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


def _identity(path: Path) -> tuple[int, ...]:
    """Of this process and the file that has the name now; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return os.getpid(), found.st_dev, found.st_ino
