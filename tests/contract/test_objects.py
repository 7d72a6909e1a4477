"""What every place for objects promises: a folder, and a bucket of a real object store."""

import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmrec.config import StoreSettings
from mmrec.disk.files import DurableFiles
from mmrec.disk.locks import locked
from mmrec.disk.objects import FolderObjects, Objects, conditional_problem, copied_in, copied_out
from mmrec.errors import ConfigurationError, StoreError, UnreachableError
from mmrec.stores.objects import objects_at
from mmrec.stores.s3_objects import S3Objects, S3Place
from tests.s3_server import S3Server, s3_lacking
from tests.tcp_proxy import Manner, TcpProxy


def test_what_was_written_is_read_and_what_was_not_is_absent(objects: Objects) -> None:
    assert objects.read("a/b") is None
    assert objects.version("a/b") == ""
    assert objects.entries() == []
    objects.remove("a/b")
    objects.write("a/b", b"")
    objects.write("a/c d-é", b"x" * 70_000)
    found = objects.read("a/c d-é")
    assert found is not None
    assert found.data == b"x" * 70_000
    assert found.version == objects.version("a/c d-é") != ""
    empty = objects.read("a/b")
    assert empty is not None
    assert empty.data == b""
    assert [(each.name, each.num_bytes) for each in objects.entries()] == [("a/b", 0), ("a/c d-é", 70_000)]
    assert objects.entries("none") == []
    assert objects.read("a") is None
    objects.remove("a/b")
    assert [each.name for each in objects.entries("a")] == ["a/c d-é"]


def test_a_folder_of_objects_is_a_place_of_its_own(objects: Objects) -> None:
    inner = objects.within("x").within("y")
    inner.write("z", b"1")
    objects.write("x2/z", b"2")
    assert [each.name for each in objects.entries("x")] == ["x/y/z"]
    assert [each.name for each in inner.entries()] == ["z"]
    assert inner.place("z") == objects.place("x/y/z") == f"{objects.place()}/x/y/z"


def test_one_of_many_creates_an_object_and_the_others_find_it(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: objects.create("entry", f"{number}".encode()), range(8)))
    assert made.count(True) == 1
    found = objects.read("entry")
    assert found is not None
    assert found.data == f"{made.index(True)}".encode()
    assert not objects.create("entry", b"another")
    assert objects.create("entry", found.data)  # as after an answer that got lost


def test_only_who_has_seen_the_newest_version_replaces_it(objects: Objects) -> None:
    assert not objects.swap("state", b"1", seen="never")
    assert objects.swap("state", b"1", seen="")
    assert not objects.swap("state", b"2", seen="")
    first = objects.version("state")
    assert objects.swap("state", b"2", seen=first)
    assert not objects.swap("state", b"3", seen=first)
    assert objects.version("state") != first
    found = objects.read("state")
    assert found is not None
    assert found.data == b"2"


def test_counting_by_swaps_loses_no_count(objects: Objects) -> None:
    objects.write("count", b"0 nobody")

    def add(who: int) -> None:
        while True:
            found = objects.read("count")
            assert found is not None
            if objects.swap("count", f"{int(found.data.split()[0]) + 1} {who}".encode(), seen=found.version):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(20)))
    total = objects.read("count")
    assert total is not None
    assert total.data.split()[0] == b"20"


def test_a_large_object_is_written_and_read_through_files(objects: Objects, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 20
    with objects.writing("large") as path:
        path.write_bytes(data)
        assert objects.read("large") is None
    with objects.opened("large") as path, path.open("rb") as file:
        assert path.name == "large"
        objects.remove("large")
        assert file.read() == data
    assert objects.read("large") is None
    (tmp_path / "source").write_bytes(data)
    copied_in(objects, "again", tmp_path / "source")
    assert [each.num_bytes for each in objects.entries()] == [len(data)]


def test_a_file_that_was_not_finished_becomes_no_object(objects: Objects) -> None:
    with pytest.raises(KeyError), objects.writing("half") as path:
        path.write_bytes(b"half")
        raise KeyError
    assert objects.read("half") is None
    with objects.writing("none") as path:
        path.write_bytes(b"")
        path.unlink()
    assert objects.read("none") is None
    with pytest.raises(FileNotFoundError), objects.opened("none") as path, path.open("rb"):
        pass


def test_a_folder_is_copied_out_whole_once(objects: Objects, tmp_path: Path) -> None:
    objects.write("model/a", b"a")
    objects.write("model/b/c", b"c")
    objects.write("models/d", b"d")
    target = tmp_path / "cache" / "model"
    barrier = threading.Barrier(4)

    def copy(_: int) -> None:
        barrier.wait()
        copied_out(objects, "model", target)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(copy, range(4)))
    assert {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()} == {
        "a": b"a",
        "b/c": b"c",
    }
    assert [p.name for p in target.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "a/", "."])
def test_names_that_lead_elsewhere_are_refused(objects: Objects, name: str) -> None:
    with pytest.raises(ValueError, match="names no object"):
        objects.write(name, b"")


def test_another_process_sees_what_this_one_did(tmp_path: Path) -> None:
    FolderObjects(tmp_path).create("a", b"1")
    code = f"from mmrec.disk.objects import *; print(FolderObjects(Path({str(tmp_path)!r})).create('a', b'2'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_private_objects_are_their_owners(tmp_path: Path) -> None:
    private = FolderObjects(tmp_path).within("secret", private=True)
    private.create("a", b"1")
    private.write("b", b"1")
    private.swap("c", b"1", seen="")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secret").iterdir()} == {0o600}


def test_a_swap_leaves_a_lock_that_is_no_object(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "a")
    objects.swap("b/c", b"1", seen="")
    objects.within("b").swap("d", b"1", seen="")
    assert [each.name for each in objects.entries()] == ["b/c", "b/d"]
    copied_out(objects, "b", tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["c", "d"]


@pytest.mark.parametrize("shared", [True, False])
def test_what_holds_a_lock_is_a_file_open_for_reading_and_writing_as_a_share_wants_it(
    tmp_path: Path, shared: bool
) -> None:
    path = tmp_path / "lock"
    with locked(path, shared=shared), path.open("rb") as other:
        modes = [
            fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
            for number in range(other.fileno())
            if _is_same(number, path)
        ]
        assert modes == [os.O_RDWR]
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:  # no such descriptor
        return False


class CutFiles(DurableFiles):
    """File operations of a process that ends before the new file gets its name."""

    def move(self, path: Path, target: Path) -> None:
        raise OSError("ended here")


def test_a_write_that_ends_early_leaves_the_old_object(tmp_path: Path) -> None:
    FolderObjects(tmp_path).write("a", b"old")
    with pytest.raises(OSError, match="ended here"):
        FolderObjects(tmp_path, files=CutFiles()).write("a", b"new")
    found = FolderObjects(tmp_path).read("a")
    assert found is not None
    assert found.data == b"old"


@pytest.mark.parametrize("address", ["gs://bucket/log", "http://host/log", "ftp://x"])
def test_other_addresses_are_refused_in_words(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"stores\.event_log is .*give a folder, a file:// URL or s3://"):
        objects_at(address, StoreSettings(), setting="stores.event_log")


@pytest.mark.parametrize("address", ["s3://", "s3:///prefix", "s3://key:secret@bucket/x", "s3://bucket/x?y"])
def test_an_address_that_is_no_bucket_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no bucket; give s3://bucket/prefix"):
        S3Place.of(address, StoreSettings())


@pytest.fixture
def stores(s3_server: S3Server) -> StoreSettings:
    return StoreSettings(s3_endpoint=s3_server.endpoint, s3_key_file=str(s3_server.key_file))


class Careless(FolderObjects):
    """A place that does not look at conditions."""

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        self.write(name, data)
        return True


class MoreCareless(Careless):
    def create(self, name: str, data: bytes) -> bool:
        return self.swap(name, data, seen="")


def test_a_place_is_asked_whether_it_keeps_to_conditions(objects: Objects, tmp_path: Path) -> None:
    assert conditional_problem(objects) == ""
    assert objects.entries() == []
    assert conditional_problem(Careless(tmp_path / "x")).endswith("If-Match is ignored")
    assert conditional_problem(MoreCareless(tmp_path / "x")).endswith("If-None-Match is ignored")


@pytest.mark.integration
@pytest.mark.parametrize("manner", [Manner.REFUSE, Manner.RESET])
def test_a_store_that_is_away_is_an_error_and_is_used_again_when_it_is_back(
    stores: StoreSettings, s3_server: S3Server, manner: Manner
) -> None:
    with TcpProxy(int(s3_server.endpoint.rpartition(":")[2])) as proxy:
        through = StoreSettings(s3_endpoint=f"http://{proxy.address}", s3_key_file=stores.s3_key_file)
        objects = S3Objects(S3Place.of(f"s3://tests/away-{manner.name.lower()}", through))
        objects.write("a", b"1")
        proxy.manner = manner
        proxy.cut()
        with pytest.raises(UnreachableError, match=r"s3://tests/away-.*/a was not read"):
            objects.read("a")
        proxy.manner = Manner.PASS
        found = objects.read("a")
        assert found is not None
        assert found.data == b"1"


@pytest.mark.integration
def test_wrong_keys_are_said_without_the_keys(s3_server: S3Server, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.touch(mode=0o600)
    keys.write_text("tests:s3cret", encoding="utf-8")
    wrong = StoreSettings(s3_endpoint=s3_server.endpoint, s3_key_file=str(keys))
    with pytest.raises(StoreError, match=r"refuses these credentials; see stores\.s3_key_file") as caught:
        S3Objects(S3Place.of("s3://tests/wrong", wrong)).write("a", b"1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(bool(s3_lacking()), reason=s3_lacking())
@pytest.mark.parametrize(
    ("content", "mode", "said"), [("nocolon", 0o600, "holds no access key id"), ("a:b", 0o644, "mode 0644")]
)
def test_a_key_file_that_is_no_secret_is_refused(tmp_path: Path, content: str, mode: int, said: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=said):
        S3Objects(S3Place.of("s3://bucket/x", StoreSettings(s3_key_file=str(path))))
