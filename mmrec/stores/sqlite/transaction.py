"""One transaction of a connection that begins none by itself (isolation_level=None)."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """COMMIT at the end, ROLLBACK where something is raised.

    The write lock is taken at the begin, so that waiting for another writer happens before anything is done.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
