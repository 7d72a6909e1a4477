"""A write that SQLite's lock keeps out is made once the other transaction ends."""

import sqlite3
import threading
from pathlib import Path

import pytest

from mmrec.stores.sqlite.busy import when_unlocked


def opened(path: Path, *, timeout: float = 0.0) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    connection = opened(tmp_path / "rows.db")
    connection.execute("CREATE TABLE rows (value)")
    connection.close()
    return tmp_path / "rows.db"


def test_a_write_waits_for_another_connections_transaction(file: Path) -> None:
    other, mine, kept_out = opened(file, timeout=30.0), opened(file), threading.Event()
    other.execute("BEGIN IMMEDIATE")

    def write() -> None:
        try:
            mine.execute("INSERT INTO rows VALUES (1)")
        except sqlite3.OperationalError:
            kept_out.set()
            raise

    waiting = threading.Thread(target=when_unlocked, args=(write,), kwargs={"patience_s": 60.0})
    waiting.start()
    assert kept_out.wait(30)
    other.execute("COMMIT")
    waiting.join(30)
    assert other.execute("SELECT value FROM rows").fetchall() == [(1,)]


def test_a_lock_that_is_never_given_back_is_an_error(file: Path) -> None:
    other, mine = opened(file), opened(file)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        when_unlocked(lambda: mine.execute("INSERT INTO rows VALUES (1)"), patience_s=0.0)


def test_what_no_waiting_mends_is_an_error_at_once(file: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        when_unlocked(lambda: opened(file).execute("INSERT INTO absent VALUES (1)"), patience_s=60.0)
