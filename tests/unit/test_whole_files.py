"""Files that are replaced at once: old or new, never a part of one, and nothing else left in the folder."""

import os
import stat
import threading
from pathlib import Path

import pytest

from mmrec.disk.files import create_file, replace_file, replacing


@pytest.mark.parametrize("durable", [True, False])
def test_a_replaced_file_has_the_new_content_and_stands_alone(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "mark.json"
    replace_file(path, "first", durable=durable)
    replace_file(path, "zweites, über", durable=durable)
    assert path.read_text(encoding="utf-8") == "zweites, über"
    replace_file(path, b"\x00\xff", durable=durable)
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    replace_file(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    replace_file(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_folder_that_is_missing_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        replace_file(tmp_path / "nowhere" / "mark.json", "{}")


def test_permissions_are_those_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        replace_file(tmp_path / "secret", b"", mode=0o600)
        replace_file(tmp_path / "script", b"", mode=0o755)
        replace_file(tmp_path / "plain", b"")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"secret": 0o600, "script": 0o755, "plain": 0o644}


def test_of_many_that_create_a_file_at_once_one_wins_and_all_read_its_content(tmp_path: Path) -> None:
    path, won, start = tmp_path / "key", [], threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if create_file(path, bytes([number]) * 32, mode=0o600):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes()] == [bytes([number]) * 32 for number in won]
    assert list(tmp_path.iterdir()) == [path]
