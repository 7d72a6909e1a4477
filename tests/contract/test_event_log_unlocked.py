"""What holds of an event log where nobody can be kept out, as in a bucket: writers, tend() and readers meet."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mmrec.disk.objects import Entry
from mmrec.errors import StoreError
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.stores.log.parquet_log import ParquetEventLog
from mmrec.stores.log.tend import LEFT_S
from tests.contract.test_event_log import events, ids
from tests.contract.test_event_log_tending import of_users
from tests.object_places import OpenFolder

DAY_S = 86_400.0


def log_in(objects: OpenFolder) -> ParquetEventLog:
    return ParquetEventLog(objects, users=MemoryForgottenUsers())


def make_old(folder: Path, seconds: float) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            facts = path.stat()
            os.utime(path, (facts.st_atime - seconds, facts.st_mtime - seconds))


class KilledError(Exception):
    """The process ended here."""


class ObjectsUntil(OpenFolder):
    """Operations of a process that is killed before operation number `left`."""

    left = 0

    def __getattribute__(self, name: str) -> Any:
        if name in {"write", "create", "swap", "writing", "remove"}:
            if ObjectsUntil.left <= 0:
                raise KilledError
            ObjectsUntil.left -= 1
        return super().__getattribute__(name)


def test_a_kill_between_any_two_operations_leaves_the_same_rows_and_the_next_run_mends_it(tmp_path: Path) -> None:
    start = tmp_path / "start"
    log = log_in(OpenFolder(start))
    for number in range(4):
        log.append(events(2 * number, 2 * number + 1, step_s=DAY_S / 4), batch_key=str(number))
    log.tend()
    for number in range(4, 7):
        log.append(events(2 * number - 1, 2 * number, step_s=DAY_S / 4), batch_key=str(number))
    rows = ids(log.read())
    for operations in range(100):
        folder, ObjectsUntil.left = tmp_path / f"killed_{operations}", operations
        shutil.copytree(start, folder)
        killed = log_in(ObjectsUntil(folder))
        try:
            killed.append(events(30), batch_key="new")
            killed.tend()
        except KilledError:
            pass
        else:
            break
        found = ids(log_in(OpenFolder(folder)).read())
        assert found in (rows, [*rows, "t-0-30"])
        make_old(folder, LEFT_S + 60)
        mended = log_in(OpenFolder(folder))
        mended.append(events(30), batch_key="new")
        mended.append(events(31), batch_key="newer")
        mended.tend()
        assert ids(mended.read()) == [*rows, "t-0-30", "t-0-31"]
        named = {part.file for part in mended._events.manifest.parts}
        assert {each.name for each in mended._events.objects.entries() if each.name.startswith("day=")} == named
        shutil.rmtree(folder)
    else:
        pytest.fail("this has no end")
    assert operations > 8


def test_a_file_that_nothing_names_is_left_alone_while_it_may_be_on_its_way(tmp_path: Path) -> None:
    log = log_in(OpenFolder(tmp_path))
    log.append(events(0), batch_key="0")
    young = tmp_path / "events" / "day=2026-01-01" / "young.parquet"
    young.write_bytes(b"on its way")
    log.tend()
    assert young.exists()
    facts = young.stat()
    os.utime(young, (facts.st_atime - LEFT_S - 60, facts.st_mtime - LEFT_S - 60))
    log.tend()
    assert not young.exists()
    assert ids(log.read()) == ["t-0-0"]


class SweptMeanwhile(OpenFolder):
    """A writer that is so slow that its file is swept before it is named."""

    def create(self, name: str, data: bytes) -> bool:
        for path in Path(self.place()).parent.glob("day=*/*.parquet"):
            path.unlink()
        return super().create(name, data)


def test_a_writer_whose_file_was_swept_writes_it_again_once_it_is_named(tmp_path: Path) -> None:
    log_in(SweptMeanwhile(tmp_path)).append(events(0, 1), batch_key="0")
    log = log_in(OpenFolder(tmp_path))
    assert ids(log.read()) == ["t-0-0", "t-0-1"]
    log.tend()
    assert ids(log.read()) == ["t-0-0", "t-0-1"]


class TendedMeanwhile(OpenFolder):
    """A compaction during which another one ends."""

    again = True

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        if TendedMeanwhile.again:
            TendedMeanwhile.again = False
            log_in(OpenFolder(Path(self.place()).parents[1])).tend()
        return super().swap(name, data, seen=seen)


class AlwaysTended(OpenFolder):
    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        found = self.read(name)
        self.write(name, found.data + b" " if found is not None else data)
        return super().swap(name, data, seen=seen)


def test_of_two_that_tend_one_starts_over_and_no_row_is_lost(tmp_path: Path) -> None:
    log = log_in(OpenFolder(tmp_path))
    for number in range(5):
        log.append(events(number), batch_key=str(number))
    log_in(TendedMeanwhile(tmp_path)).tend()
    assert not TendedMeanwhile.again
    log.append(events(9), batch_key="9")
    with pytest.raises(StoreError, match=r"state\.json was replaced by another tend\(\) meanwhile; nothing is lost"):
        log_in(AlwaysTended(tmp_path)).tend()
    assert ids(log_in(OpenFolder(tmp_path)).read()) == [f"t-0-{number}" for number in (0, 1, 2, 3, 4, 9)]
    make_old(tmp_path, LEFT_S + 60)
    mended = log_in(OpenFolder(tmp_path))
    mended.append(events(5), batch_key="5")
    mended.tend()
    assert ids(mended.read()) == [f"t-0-{number}" for number in (0, 1, 2, 3, 4, 9, 5)]


def nothing() -> None:
    return


class Interrupted(OpenFolder):
    """A tender that sleeps once, right after the state is its own, while something else happens."""

    meanwhile: Callable[[], None] = nothing

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        done = super().swap(name, data, seen=seen)
        happens, Interrupted.meanwhile = Interrupted.meanwhile, nothing
        happens()
        return done


class SlowToRemove(OpenFolder):
    def remove(self, name: str) -> None:
        """Not yet."""


def test_a_tender_whose_new_state_was_replaced_at_once_starts_over_and_no_row_is_lost(tmp_path: Path) -> None:
    users = MemoryForgottenUsers()
    log = ParquetEventLog(OpenFolder(tmp_path), users=users)
    for start, keys in ((0, "xy"), (2, "xyy"), (5, "xy")):  # two days; the second has two files
        log.append(of_users(*keys, start=start, step_s=DAY_S / max(start, 2)), batch_key=str(start))
        log.tend()
    assert len(log._events.manifest.compacted) == 3
    users.forget("x", known_time_s=1e12)

    def joins_the_second_day() -> None:
        other = ParquetEventLog(SlowToRemove(tmp_path), users=users)
        other.append(of_users("y", "y", start=7, step_s=DAY_S / 7), batch_key="7")
        other.tend()

    Interrupted.meanwhile = joins_the_second_day
    ParquetEventLog(Interrupted(tmp_path), users=users).tend()
    assert ids(ParquetEventLog(OpenFolder(tmp_path), users=users).read()) == [f"t-0-{n}" for n in (1, 3, 4, 6, 7, 8)]


class LateToOpen(OpenFolder):
    """A tender that finds the first file it wants to read compacted away by another one."""

    late = False

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        if not LateToOpen.late:
            LateToOpen.late = True
            log_in(OpenFolder(Path(self.place()).parent)).tend()
        with super().opened(name) as path:
            yield path


def test_a_tender_whose_file_another_one_removed_starts_over(tmp_path: Path) -> None:
    log = log_in(OpenFolder(tmp_path))
    for number in range(3):
        log.append(events(number), batch_key=str(number))
    log_in(LateToOpen(tmp_path)).tend()
    assert LateToOpen.late
    assert ids(log.read()) == ["t-0-0", "t-0-1", "t-0-2"]


class Swept(OpenFolder):
    """A sweep during which something else happens once: before or after it lists, or before it replaces the state."""

    at = ""
    meanwhile: Callable[[], object] = nothing

    def entries(self, folder: str = "") -> list[Entry]:
        self._comes_to("before the listing")
        found = super().entries(folder)
        self._comes_to("after the listing")
        return found

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        self._comes_to("before the swap")
        return super().swap(name, data, seen=seen)

    @staticmethod
    def _comes_to(at: str) -> None:
        if Swept.at == at:
            Swept.at = ""
            Swept.meanwhile()


@pytest.mark.parametrize("at", ["before the listing", "after the listing", "before the swap"])
def test_an_old_file_that_is_named_while_the_log_is_swept_stays(tmp_path: Path, at: str) -> None:
    ObjectsUntil.left = 1
    with pytest.raises(KilledError):
        log_in(ObjectsUntil(tmp_path)).append(events(0, 1), batch_key="0")
    (tmp_path / "events" / "day=2026-01-01" / "left.parquet").write_bytes(b"by a crash")
    make_old(tmp_path, LEFT_S + 60)
    log = log_in(OpenFolder(tmp_path))
    log.append(events(2), batch_key="1")
    Swept.at, Swept.meanwhile = at, lambda: log.append(events(0, 1), batch_key="0")
    log_in(Swept(tmp_path)).tend()
    assert Swept.at == ""
    assert ids(log_in(OpenFolder(tmp_path)).read()) == ["t-0-2", "t-0-0", "t-0-1"]


@pytest.mark.parametrize("place", ["folder", pytest.param("bucket", marks=pytest.mark.integration)])
def test_writers_a_tender_and_a_reader_at_once_lose_nothing_and_double_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, place: str
) -> None:
    objects = OpenFolder(tmp_path) if place == "folder" else request.getfixturevalue("new_bucket")()
    num_appends, errors, found = 12, list[BaseException](), list[str]()
    done = threading.Event()

    def tends() -> None:
        try:
            while not done.is_set():
                ParquetEventLog(objects).tend()
        except BaseException as error:  # a thread's failure is the test's
            errors.append(error)

    def writes(first: int) -> None:
        try:
            log = ParquetEventLog(objects)
            for number in range(first, num_appends, 2):
                log.append(events(2 * number, 2 * number + 1, step_s=DAY_S / 20), batch_key=str(number))
        except BaseException as error:
            errors.append(error)

    def follows() -> None:
        try:
            reader, stands_at = ParquetEventLog(objects), 0
            while stands_at < num_appends and not errors:
                last = reader.sequence()
                for piece in reader.scan(after_sequence=stands_at, up_to_sequence=last, max_rows=5):
                    found.extend(ids(piece))
                stands_at = last
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for work in (tends, follows)]
    threads += [threading.Thread(target=writes, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(120)
    done.set()
    threads[0].join(120)
    assert errors == []
    assert sorted(found) == sorted(f"t-0-{n}" for n in range(2 * num_appends))
    assert ids(ParquetEventLog(objects).read()) == found
