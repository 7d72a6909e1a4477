"""A deployment whose event log and releases lie in a bucket: backed up, lost, restored, forgotten, checked."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from feature_repo.apply import apply_repository
from mmrec.cli.configuration_checks import check_configuration
from mmrec.config import Settings, StoreSettings
from mmrec.disk.objects import Objects
from mmrec.errors import IncompatibleStateError, InvalidRequestError, NotFoundError
from mmrec.forgetting.pending import Asked, PendingRequest, num_pending, pending_requests
from mmrec.forgetting.user_bytes import scan_objects
from mmrec.state.backup import backup, restore
from mmrec.state.backup_buckets import check_free, fetch_backup, keep_backup
from mmrec.stores.s3_objects import S3Objects
from mmrec.stores.sqlite.engine import DATABASE
from mmrec.wiring import (
    measure_event_log,
    open_event_log,
    open_feature_store,
    open_forgotten_users,
    open_objects,
    open_objects_at,
)
from tests.s3_server import S3Server
from tests.unit.test_rebuild import CONFIG, Log, rows

pytestmark = pytest.mark.integration
NOW_S = 1_760_000_000.0


@pytest.fixture
def settings(tmp_path: Path, s3_server: S3Server, new_bucket: Callable[[], S3Objects]) -> Settings:
    place = new_bucket().place()
    stores = StoreSettings(
        event_log=f"{place}/log",
        releases=f"{place}/releases",
        feature_repo=str(tmp_path / "repo"),
        content=str(tmp_path / "content"),
        s3_endpoint=s3_server.endpoint,
        s3_key_file=str(s3_server.key_file),
    )
    (tmp_path / "mmrec.toml").write_text("")
    apply_repository(stores, CONFIG.decay_per_day)
    return Settings(stores=stores, scoring=CONFIG)


def objects_of(settings: Settings, name: str) -> Objects:
    return open_objects(settings.stores, name)


def made(settings: Settings, folder: Path) -> None:
    backup(
        settings,
        folder,
        store=open_feature_store(settings),
        log=objects_of(settings, "event_log"),
        releases=objects_of(settings, "releases"),
        database=DATABASE,
        config=Path(settings.stores.feature_repo).parent / "mmrec.toml",
        made_time_s=NOW_S,
        with_content=False,
        overwrite=False,
    )


def put_back(settings: Settings, folder: Path, *, overwrite: bool = True) -> None:
    restore(
        settings,
        folder,
        open_store=lambda: open_feature_store(settings),
        log=objects_of(settings, "event_log"),
        releases=objects_of(settings, "releases"),
        database=DATABASE,
        overwrite=overwrite,
    )


def test_what_was_backed_up_into_a_bucket_comes_back_and_who_was_forgotten_since_stays_so(
    settings: Settings, tmp_path: Path
) -> None:
    log = Log(open_event_log(settings))
    log.add(*rows(30, seed=1))
    open_event_log(settings).tend()
    log.add(*rows(10, seed=2))
    objects_of(settings, "releases").write("r1/release.json", b"{}")
    users = open_forgotten_users(settings)
    users.forget("u0", known_time_s=NOW_S + 500)
    before = open_event_log(settings).read()
    assert before.num_rows < 40
    assert measure_event_log(settings).num_files == 2
    bucket = open_objects_at(f"{settings.stores.event_log}-backup", settings.stores, setting="here")
    made(settings, tmp_path / "backup")
    check_free(bucket, overwrite=False)
    keep_backup(tmp_path / "backup", bucket, overwrite=False)
    with pytest.raises(InvalidRequestError, match="is not empty"):
        check_free(bucket, overwrite=False)
    with pytest.raises(InvalidRequestError, match="no backup"):
        check_free(objects_of(settings, "event_log"), overwrite=True)

    log.add(*rows(10, seed=3))
    users.forget("u1", known_time_s=NOW_S + 500)
    asked = Asked(at_least_s={"~g": NOW_S}, sure=["~g"])
    requests = pending_requests(objects_of(settings, "event_log"))
    PendingRequest(requests, users.hash_of("u1")).write(asked)
    objects_of(settings, "event_log").within("imports").write("mark.json", b"{}")
    with tempfile.TemporaryDirectory() as folder:
        fetch_backup(bucket, Path(folder))
        with pytest.raises(InvalidRequestError, match="--yes"):
            put_back(settings, Path(folder), overwrite=False)
        put_back(settings, Path(folder))
    found = open_event_log(settings).read()
    assert set(open_forgotten_users(settings).forgotten_s(["u0", "u1", "u2"])) == {"u0", "u1"}
    assert found.num_rows == sum(key != "u1" for key in before["user_key"].to_pylist())
    assert open_event_log(settings).sequence() == 2
    assert PendingRequest(requests, users.hash_of("u1")).read() == asked
    assert num_pending(objects_of(settings, "event_log")) == 1
    assert objects_of(settings, "event_log").version("imports/mark.json")
    assert objects_of(settings, "releases").version("r1/release.json")
    log.log = open_event_log(settings)
    assert log.log.append(found.slice(0, 0), batch_key="x") == 2


def test_a_backup_that_was_not_finished_is_none(settings: Settings, tmp_path: Path) -> None:
    bucket = open_objects_at(f"{settings.stores.event_log}-backup", settings.stores, setting="here")
    bucket.write("log/events/manifest/state.json", b"{}")
    with pytest.raises(NotFoundError, match="holds no finished backup"):
        fetch_backup(bucket, tmp_path / "x")


def test_registries_with_different_keys_keep_a_restore_away(settings: Settings, tmp_path: Path) -> None:
    Log(open_event_log(settings)).add(*rows(5, seed=1))
    open_forgotten_users(settings).forget("u0", known_time_s=NOW_S)
    made(settings, tmp_path / "backup")
    registry = objects_of(settings, "event_log").within("forgotten")
    registry.write("key", bytes(32))
    with pytest.raises(IncompatibleStateError, match="different keys"):
        put_back(settings, tmp_path / "backup")
    found = registry.read("key")
    assert found is not None
    assert found.data == bytes(32)


def test_the_log_of_a_forgotten_user_holds_no_byte_of_the_id_after_tending(settings: Settings) -> None:
    Log(open_event_log(settings)).add(*rows(40, seed=1))
    log = objects_of(settings, "event_log")
    assert scan_objects(log, ["u1"]).found
    open_forgotten_users(settings).forget("u1", known_time_s=NOW_S * 2)
    open_event_log(settings).tend()
    scan = scan_objects(log, ["u1"], leave_out="forgetting")
    assert (scan.found, scan.unread) == ((), ())
    assert scan.num_files >= 3


def test_a_configuration_check_tries_the_bucket(settings: Settings, tmp_path: Path) -> None:
    def found(stores: StoreSettings) -> list[str]:
        file = tmp_path / "checked.toml"
        names = ("event_log", "releases", "s3_endpoint", "s3_key_file")
        file.write_text("\n".join(["[stores]", *(f'{name} = "{getattr(stores, name)}"' for name in names)]))
        checks = check_configuration(file, now_s=0.0, reach=True)
        return [f"{each.health.name} {each.found}" for each in checks if each.name == "buckets"]

    good = found(settings.stores)
    assert [each.split(":")[0] for each in good] == ["OK stores.event_log", "OK stores.releases"]
    (bad, _) = found(replace(settings.stores, s3_endpoint="http://127.0.0.1:1"))
    assert bad.startswith("FAIL stores.event_log: s3://tests/")
    assert "was not written" in bad
