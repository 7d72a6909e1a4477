"""Searching files for a user's id, and removing their rows from Parquet and SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.errors import DeadlineError
from mmrec.features.stores import MemoryFeatureStore
from mmrec.forgetting.erase import wait_until_read
from mmrec.forgetting.removal import retention_document
from mmrec.forgetting.user_bytes import CHUNK_BYTES, remove_from_parquet, rows_of_users, scan_folder, vacuum_databases
from mmrec.scoring.source import Source

MARK = "a-very-unique-user"


def test_an_id_is_found_where_it_is_cut_by_the_end_of_a_piece(tmp_path: Path) -> None:
    for num_before_the_end in (0, 1, 9, len(MARK)):
        (tmp_path / "file").write_bytes(b"." * (CHUNK_BYTES - num_before_the_end) + MARK.encode() + b".")
        assert scan_folder(tmp_path, [MARK]).found == ("file",)
    (tmp_path / "file").write_bytes(b"." * (CHUNK_BYTES - 9) + MARK.encode()[:-1] + b".")
    assert scan_folder(tmp_path, [MARK]).found == ()


def test_an_id_is_found_in_compressed_columns_and_an_anonymous_one_without_its_prefix(tmp_path: Path) -> None:
    others = [f"{n:08x}{'-very-unique-user' * 3}" for n in range(2_000)]
    table = pa.table({"note": pa.array([*others, f"{{{MARK}}}"]), "n": range(2_001)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    assert MARK.encode() not in (tmp_path / "a.parquet").read_bytes()
    for key in (MARK, f"~{MARK}"):
        scan = scan_folder(tmp_path, [key])
        assert scan.found == ("a.parquet",)
        assert (scan.num_files, scan.num_bytes) == (1, (tmp_path / "a.parquet").stat().st_size)
    assert scan_folder(tmp_path, ["somebody-else"]).found == ()
    assert scan_folder(tmp_path / "absent", [MARK]).num_files == 0


def test_a_search_for_nobody_finds_nothing_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text(MARK)
    (tmp_path / "broken.parquet").write_bytes(b"no Parquet")
    pq.write_table(pa.table({"user_key": [MARK]}), tmp_path / "rows.parquet")
    scan = scan_folder(tmp_path, [])
    assert (scan.num_files, scan.found, scan.unread) == (3, (), ("broken.parquet",))
    assert remove_from_parquet(tmp_path, []).num_rows == 0


def test_only_the_rows_of_the_user_go_and_files_without_users_stay(tmp_path: Path) -> None:
    folder = tmp_path / "view"
    folder.mkdir()
    keys = pa.array(["ann", "bob", "ann", f"~{MARK}"]).dictionary_encode()
    pq.write_table(pa.table({"user_key": keys, "n": [1, 2, 3, 4]}), folder / "rows.parquet")
    pq.write_table(pa.table({"item_id": ["ann"]}), folder / "items.parquet")
    assert [table["n"].to_pylist() for _, table in rows_of_users(tmp_path, ["ann"])] == [[1, 3]]
    assert remove_from_parquet(tmp_path, ["ann", f"~{MARK}"]).num_rows == 3
    assert pq.read_table(folder / "rows.parquet")["n"].to_pylist() == [2]
    assert pq.read_table(folder / "items.parquet").num_rows == 1
    assert remove_from_parquet(tmp_path, ["ann"]).num_rows == 0


def test_a_vacuumed_database_holds_no_byte_of_a_removed_row(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("CREATE TABLE t (name TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(MARK,), ("bob",)])
        connection.execute("DELETE FROM t WHERE name = ?", (MARK,))
    (tmp_path / "notes").write_text(MARK)
    assert scan_folder(tmp_path, [MARK]).found == ("a.db", "notes")
    assert vacuum_databases(tmp_path, ["a.db", "a.db-wal", "notes"]) == ["a.db"]
    assert scan_folder(tmp_path, [MARK]).found == ("notes",)


def test_retention_says_until_when_or_that_there_is_no_end() -> None:
    kept = {"retention.ms": "5000", "segment.ms": "2000"}
    assert retention_document("t", kept.__getitem__, forgotten_s=100.0)["bytes_may_stand_until_s"] == 107.0
    endless = retention_document("t", {**kept, "retention.ms": "-1"}.__getitem__, forgotten_s=100.0)
    assert endless["bytes_may_stand_until_s"] is None
    assert "retention.ms of t" in endless["note"]


def test_a_stream_that_does_not_read_the_request_is_said() -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    source = Source(cluster_id="c", topic_id="t", partition=0)
    with pytest.raises(DeadlineError, match="will be obeyed"):
        wait_until_read(MemoryFeatureStore(), source, 7, wait_s=2.0, sleep=sleep, timer=lambda: clock[0])
    assert clock[0] >= 2.0
