"""A backup is the state at one instant; put back, the stream makes it exact again and nobody forgotten returns."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.apply import apply_repository
from mmrec.config import Settings, StoreSettings
from mmrec.content.matrix import content_matrix
from mmrec.content.store import CATALOG_MARK, MATRIX, ContentStore
from mmrec.disk.objects import FolderObjects
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError
from mmrec.features.ports import FeatureStore
from mmrec.features.record_counts import RecordCounts
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import StreamProgress
from mmrec.forgetting.pending import Asked, PendingRequest, pending_requests
from mmrec.scoring.packing import pack
from mmrec.scoring.verdicts import Verdict
from mmrec.state.backup import MANIFEST, backup, restore, verify
from mmrec.state.profile_dump import dump_profiles, load_profiles
from mmrec.stores.log.forgotten_file import FileForgottenUsers
from mmrec.stores.sqlite.engine import DATABASE
from mmrec.stream.rebuild import fill, flip
from mmrec.wiring import open_event_log, open_feature_store, open_forgotten_users, open_objects
from tests.unit.test_rebuild import CONFIG, NOW_S, Log, check, parts_of, rows, stream_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    stores = StoreSettings(
        event_log=str(home / "log"),
        feature_repo=str(home / "repo"),
        releases=str(home / "releases"),
        content=str(home / "content"),
    )
    (home / "releases" / "r1").mkdir(parents=True)
    (home / "releases" / "r1" / "release.json").write_text("{}")
    (home / "mmrec.toml").write_text("")
    apply_repository(stores, CONFIG.decay_per_day)
    return Settings(stores=stores, scoring=CONFIG)


def made(settings: Settings, folder: Path, **how: Any) -> None:
    how = {"with_content": False, "overwrite": False, **how}
    home = Path(settings.stores.feature_repo).parent
    store = open_feature_store(settings)
    backup(
        settings,
        folder,
        store=store,
        log=open_objects(settings.stores, "event_log"),
        releases=open_objects(settings.stores, "releases"),
        database=DATABASE,
        config=home / "mmrec.toml",
        made_time_s=NOW_S,
        **how,
    )


def put_back(settings: Settings, folder: Path, **how: bool) -> None:
    restore(
        settings,
        folder,
        open_store=lambda: open_feature_store(settings),
        log=open_objects(settings.stores, "event_log"),
        releases=open_objects(settings.stores, "releases"),
        database=DATABASE,
        **{"overwrite": True, **how},
    )


def recovered(settings: Settings, log: Log) -> FeatureStore:
    store = open_feature_store(settings)
    stream_of(replace(parts_of(log, store), forgotten=open_forgotten_users(settings)))
    return store


def test_what_was_backed_up_comes_back_and_a_newer_log_makes_an_older_store_exact(
    settings: Settings, tmp_path: Path
) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(60, seed=1))
    recovered(settings, log)
    log.add(*rows(10, seed=2))  # in the log, not yet in the store
    made(settings, folder)
    log.add(*rows(50, seed=3))
    recovered(settings, log)
    later = list(log.rows)

    put_back(settings, folder, store_only=True)
    progress = open_feature_store(settings).read_progress()
    assert progress is not None
    assert progress.log_sequence == 1
    check(recovered(settings, log), log)

    put_back(settings, folder)
    log.log, log.rows = open_event_log(settings), later[:70]
    assert log.log.read().num_rows == 70
    check(recovered(settings, log), log)
    log.add(*rows(5, seed=4))
    check(recovered(settings, log), log)
    assert (Path(settings.stores.releases) / "r1" / "release.json").is_file()


def test_it_goes_to_a_fresh_place_too(settings: Settings, tmp_path: Path) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(60, seed=1))
    recovered(settings, log)
    made(settings, folder)
    shutil.rmtree(tmp_path / "home")
    put_back(settings, folder, overwrite=False)
    log.log = open_event_log(settings)
    check(recovered(settings, log), log)


def test_a_file_that_changed_or_is_gone_is_found_before_anything_is_touched(settings: Settings, tmp_path: Path) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(20, seed=1))
    made(settings, folder)
    assert verify(folder).num_files == len(json.loads((folder / MANIFEST).read_text())["files"])
    victim = next((folder / "log" / "events").glob("day=*/*.parquet"))
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IncompatibleStateError, match="is not what it was"):
        put_back(settings, folder)
    victim.unlink()
    with pytest.raises(IncompatibleStateError, match="lacks"):
        put_back(settings, folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(NotFoundError, match="no finished backup"):
        put_back(settings, folder)
    assert open_event_log(settings).read().num_rows == 20


def test_nothing_is_replaced_unasked(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    made(settings, folder)
    with pytest.raises(InvalidRequestError, match="--yes"):
        made(settings, folder)
    made(settings, folder, overwrite=True)
    with pytest.raises(InvalidRequestError, match="--yes"):
        put_back(settings, folder, overwrite=False)
    with pytest.raises(InvalidRequestError, match="no backup"):
        made(settings, tmp_path / "home", overwrite=True)


def test_who_was_forgotten_after_the_backup_stays_forgotten(settings: Settings, tmp_path: Path) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(80, seed=1))
    open_forgotten_users(settings).forget("u0", known_time_s=NOW_S + 500)
    recovered(settings, log)
    made(settings, folder)
    open_forgotten_users(settings).forget("u1", known_time_s=NOW_S + 500)
    pending = PendingRequest(pending_requests(open_objects(settings.stores, "event_log")), "ab")
    pending.write(Asked(at_least_s={"~g": NOW_S}, sure=["~g"]))
    put_back(settings, folder)
    assert pending.read() == Asked(at_least_s={"~g": NOW_S}, sure=["~g"])
    assert set(open_forgotten_users(settings).forgotten_s(["u0", "u1", "u2"])) == {"u0", "u1"}
    log.log = open_event_log(settings)
    found = recovered(settings, log).read_profiles(["u0", "u1", "u2"])
    assert list(found) == ["u2"]


def test_a_request_to_forget_that_waits_is_found_again_after_a_restore_from_before_the_first_one(
    settings: Settings, tmp_path: Path
) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(80, seed=1))
    recovered(settings, log)
    made(settings, folder)
    home = Path(settings.stores.event_log)
    name = open_forgotten_users(settings).hash_of("u1")
    asked = Asked(at_least_s={"~g": NOW_S}, sure=["~g"])
    PendingRequest(pending_requests(FolderObjects(home)), name).write(asked)
    put_back(settings, folder)
    assert open_forgotten_users(settings).hash_of("u1") == name
    assert PendingRequest(pending_requests(FolderObjects(home)), name).read() == asked


def test_requests_to_forget_that_wait_under_another_key_than_the_backups_keep_a_restore_away(
    settings: Settings, tmp_path: Path
) -> None:
    log, folder = Log(open_event_log(settings)), tmp_path / "backup"
    log.add(*rows(80, seed=1))
    open_forgotten_users(settings).forget("u0", known_time_s=NOW_S + 500)
    recovered(settings, log)
    made(settings, folder)
    home = Path(settings.stores.event_log)
    (home / "forgotten" / "entries").unlink()
    (home / "forgotten" / "key").write_bytes(bytes(32))
    name = open_forgotten_users(settings).hash_of("u1")
    PendingRequest(pending_requests(FolderObjects(home)), name).write(Asked(at_least_s={"~g": NOW_S}, sure=["~g"]))
    with pytest.raises(IncompatibleStateError, match="different keys"):
        put_back(settings, folder)
    assert (home / "forgotten" / "key").read_bytes() == bytes(32)


def test_content_that_is_written_while_it_is_copied_comes_back_whole(settings: Settings, tmp_path: Path) -> None:
    home, store = Path(settings.stores.content), ContentStore(settings.stores.content)

    def put(*item_ids: str) -> None:
        for item_id in item_ids:
            row = {"text": {item_id: np.ones(3, np.float32)}}
            store.put(content_matrix([item_id], row, embedding_dims={"text": 3}, encoders={"text": "e"}))

    before = [f"i{number}" for number in range(32)]
    put(*before)
    (home / CATALOG_MARK).write_text("{}")
    with closing(sqlite3.connect(home / "wanted.sqlite")) as database, database:
        database.execute("create table wanted (item_id text)")
        database.execute("insert into wanted values ('i0')")
    writing = threading.Thread(target=put, args=("later", "later still"))

    def begin(_: int) -> None:
        if not writing.ident and (folder / "content").is_dir():
            writing.start()
            writing.join(0.5)  # as far as it comes while the rest is being copied

    folder = tmp_path / "backup"
    made(settings, folder, with_content=True, told=begin)
    writing.join(30)
    assert store.item_ids() == {*before, "later", "later still"}
    shutil.rmtree(home)
    put_back(settings, folder)
    assert {*before} <= ContentStore(settings.stores.content).item_ids()
    assert (home / CATALOG_MARK).is_file()
    with closing(sqlite3.connect(home / "wanted.sqlite")) as database:
        assert database.execute("select item_id from wanted").fetchall() == [("i0",)]


def test_a_backup_made_while_others_write_and_read_content_has_what_no_file_has_whole_yet(
    settings: Settings, tmp_path: Path
) -> None:
    home, folder = Path(settings.stores.content), tmp_path / "backup"
    store = ContentStore(home)
    ids = [f"i{number}" for number in range(3)]
    with closing(sqlite3.connect(":memory:")) as reader:
        for item_id in ids:
            row = {"text": {item_id: np.ones(3, np.float32)}}
            store.put(content_matrix([item_id], row, embedding_dims={"text": 3}, encoders={"text": "e"}))
            store.remember("f", [item_id.encode()], np.ones((1, 3), np.float32))
            if item_id == ids[0]:  # from here on the files stay behind their logs
                reader.execute("attach ? as matrix", (str(home / MATRIX),))
                reader.execute("attach ? as cache", (str(home / "cache" / "f.sqlite"),))
                reader.execute("begin")
                reader.execute("select * from matrix.vectors, cache.vectors").fetchall()
        assert (home / f"{MATRIX}-wal").stat().st_size
        for ending in ("", "-wal", "-shm"):  # of a matrix that another process is about to make
            (home / f".{MATRIX}.0.tmp{ending}").write_bytes(b"half")
        made(settings, folder, with_content=True)
        reader.rollback()
    shutil.rmtree(home)
    put_back(settings, folder)
    assert not [*folder.rglob("*.sqlite-*"), *folder.rglob(".*.tmp*")]
    again = ContentStore(home)
    assert again.item_ids() == set(ids)
    assert len(again.lookup("f", [item_id.encode() for item_id in ids])) == 3


def test_registries_of_different_keys_are_not_joined(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    open_forgotten_users(settings).forget("u0", known_time_s=NOW_S)
    made(settings, folder)
    shutil.rmtree(tmp_path / "home" / "log" / "forgotten")
    FileForgottenUsers(FolderObjects(tmp_path / "home" / "log" / "forgotten")).forget("u1", known_time_s=NOW_S)
    with pytest.raises(IncompatibleStateError, match="different keys"):
        put_back(settings, folder)


def test_profiles_of_an_engine_without_files_go_through_the_port(tmp_path: Path) -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(60, seed=1))
    parts = parts_of(log, store)
    fill(parts, write_time_s=NOW_S)
    flip(
        parts,
        "b",
        progress=StreamProgress(counts=RecordCounts(verdicts={Verdict.ACCEPTED: 60}), log_sequence=1),
        write_time_s=NOW_S,
    )
    for name in ("a", "b"):
        dump_profiles(store, name, tmp_path / f"{name}.bin")
    other = MemoryFeatureStore()
    other.write_profiles(store.read_profiles(["u1"]), write_time_s=NOW_S)
    for name in ("a", "b"):
        load_profiles(other, tmp_path / f"{name}.bin", write_time_s=NOW_S)
    assert other.live_generation() == "b"
    assert other.read_progress() == store.read_progress()
    keys = list(store.user_keys())
    assert {k: pack(p) for k, p in other.read_profiles(keys).items()} == {
        k: pack(p) for k, p in store.read_profiles(keys).items()
    }
    assert list(other.generation("a").user_keys()) == []
    cut = (tmp_path / "b.bin").read_bytes()[:-3]
    (tmp_path / "b.bin").write_bytes(cut)
    with pytest.raises(IncompatibleStateError, match="cut"):
        load_profiles(other, tmp_path / "b.bin", write_time_s=NOW_S)
