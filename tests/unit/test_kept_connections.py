"""Connections to SQLite files that stay open: which file they speak of, and what happens to one that failed."""

import sqlite3
import threading
from pathlib import Path

import pytest

from mmrec.disk.kept_connections import KeptConnections

OPENED: list[sqlite3.Connection] = []


def opened(path: Path) -> sqlite3.Connection:
    OPENED.append(sqlite3.connect(path, check_same_thread=False))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _none_opened() -> None:
    OPENED.clear()


def is_closed(database: sqlite3.Connection) -> bool:
    try:
        database.execute("select 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def test_one_thread_opens_a_file_once_and_each_further_thread_once(tmp_path) -> None:
    kept = KeptConnections(opened)

    def use() -> None:
        for _ in range(3):
            with kept.connection(tmp_path / "a"):
                pass

    use()
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(OPENED) == 2
    assert not is_closed(OPENED[0])
    assert is_closed(OPENED[1])  # with its thread


def test_a_file_that_took_the_name_of_another_is_opened_anew(tmp_path) -> None:
    kept, path, beside = KeptConnections(opened), tmp_path / "a", tmp_path / "b"
    for each in (path, beside):
        with sqlite3.connect(each) as database:
            database.execute(f"create table {each.name} (x)")
    for name in ("a", "b"):
        with kept.connection(path) as database:
            assert database.execute("select name from sqlite_master").fetchall() == [(name,)]
        beside.replace(path) if name == "a" else None
    assert is_closed(OPENED[0])


def test_a_connection_whose_use_failed_is_closed_and_the_next_use_opens_one(tmp_path) -> None:
    kept = KeptConnections(opened)
    with pytest.raises(RuntimeError, match="middle"), kept.connection(tmp_path / "a"):
        raise RuntimeError("in the middle")
    assert is_closed(OPENED[0])
    with kept.connection(tmp_path / "a") as database:
        assert database.execute("select 1").fetchone() == (1,)


def test_what_is_not_to_be_kept_is_closed_after_each_use(tmp_path) -> None:
    kept = KeptConnections(opened, keeps=False)
    for _ in range(2):
        with kept.connection(tmp_path / "a"):
            pass
    assert [is_closed(each) for each in OPENED] == [True, True]
