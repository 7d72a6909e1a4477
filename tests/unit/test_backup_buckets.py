"""What a log in a bucket holds while a backup is put back into it, and after a crash in between."""

import shutil
from pathlib import Path

import pytest

from mmrec.errors import StoreError
from mmrec.state.backup_buckets import replace_objects
from tests.contract.test_event_log import events, ids
from tests.contract.test_event_log_unlocked import KilledError, ObjectsUntil, log_in
from tests.object_places import OpenFolder


def read(folder: Path) -> list[str] | None:
    """The rows of a log; None where it says that its manifest is gone."""
    rows = ids(log_in(OpenFolder(folder)).read())
    try:
        log_in(OpenFolder(folder)).tend()
    except StoreError as error:
        assert "put the manifest back from a backup" in str(error)
        return None
    return rows


def fill(folder: Path, first: int, *, tended_at: int) -> None:
    log = log_in(OpenFolder(folder))
    for number in range(first, first + 4):
        log.append(events(number), batch_key=str(number))
        if number - first == tended_at:
            log.tend()


@pytest.mark.parametrize("tended_at", [1, -1])
def test_a_restore_that_ends_early_leaves_no_log_that_looks_whole_without_its_tail(
    tmp_path: Path, tended_at: int
) -> None:
    start, source = tmp_path / "start", tmp_path / "source"
    fill(start, 0, tended_at=tended_at)
    fill(source, 10, tended_at=tended_at)
    whole = [ids(log_in(OpenFolder(folder)).read()) for folder in (start, source)]
    for operations in range(100):
        folder, ObjectsUntil.left = tmp_path / "killed", operations
        shutil.copytree(start, folder)
        try:
            replace_objects(source, ObjectsUntil(folder), registry={}, kept=())
        except KilledError:
            found = read(folder)
            assert found in (None, [], *whole), operations
        else:
            break
        replace_objects(source, OpenFolder(folder), registry={}, kept=())
        assert read(folder) == whole[1]
        shutil.rmtree(folder)
    assert operations > 8
    assert read(folder) == whole[1]


def test_a_backup_that_is_replaced_says_first_that_it_is_none_and_last_that_it_is_one(tmp_path: Path) -> None:
    source, bucket = tmp_path / "source", OpenFolder(tmp_path / "bucket")
    for name in ("log/events/manifest/state.json", "log/events/manifest/000000000003.json", "manifest.json"):
        OpenFolder(source).write(name, b"new")
        bucket.write(name, b"old")
    for operations in range(1, 100):
        ObjectsUntil.left = operations
        try:
            replace_objects(source, ObjectsUntil(tmp_path / "bucket"), registry={}, kept=())
        except KilledError:
            assert not bucket.version("manifest.json"), operations
            bucket.write("manifest.json", b"old")
        else:
            break
    found = bucket.read("manifest.json")
    assert found is not None
    assert found.data == b"new"


def test_what_is_kept_is_newer_than_the_backups_and_what_it_lacks_comes_from_there(tmp_path: Path) -> None:
    source, bucket = OpenFolder(tmp_path / "source"), OpenFolder(tmp_path / "bucket")
    for name in ("imports/both.json", "imports/lost.json"):
        source.write(name, b"old")
    bucket.write("imports/both.json", b"new")
    replace_objects(tmp_path / "source", bucket, registry={}, kept=("imports",))
    found = {entry.name: stored.data for entry in bucket.entries() if (stored := bucket.read(entry.name)) is not None}
    assert found == {"imports/both.json": b"new", "imports/lost.json": b"old"}
