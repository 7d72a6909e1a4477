"""What holds while the event log is compacted, forgets and drops what is old: in memory, in a folder, in a bucket."""

import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrec.config import Settings
from mmrec.disk.files import DurableFiles
from mmrec.disk.objects import FolderObjects
from mmrec.errors import StoreError
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.log import EventLog, MemoryEventLog
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.log.manifest import MAX_DIGESTS
from mmrec.stores.log.parquet_log import ParquetEventLog
from mmrec.stream.replay import profiles_from_log
from tests.contract.test_event_log import INGEST_S, events, ids, served
from tests.object_places import OBJECT_PLACES, place_for

DAY_S = 86_400.0
Reopen = Callable[[], EventLog]


@pytest.fixture
def users() -> MemoryForgottenUsers:
    return MemoryForgottenUsers()


@pytest.fixture(params=["memory", *OBJECT_PLACES])
def reopen(request: pytest.FixtureRequest, users: MemoryForgottenUsers) -> Reopen:
    if request.param == "memory":
        log = MemoryEventLog(users=users)
        return lambda: log
    objects = place_for(request)
    return lambda: ParquetEventLog(objects, users=users)


def of_users(*keys: str, start: int = 0, step_s: float = 1.0) -> pa.Table:
    table = events(*range(start, start + len(keys)), step_s=step_s)
    table = table.set_column(table.column_names.index("user_key"), table.schema.field("user_key"), pa.array(keys))
    at = table.column_names.index("known_time_s")
    return table.set_column(at, table.schema.field("known_time_s"), table["ingest_time_s"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.sampled_from([1, 3])),
        min_size=1,
        max_size=10,
    ),
    step_s=st.sampled_from([1.0, DAY_S / 3, -DAY_S / 3]),
)
def test_compaction_changes_nothing_that_any_reader_gets(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], step_s: float
) -> None:
    objects = FolderObjects(tmp_path_factory.mktemp("log"))
    reference, log = MemoryEventLog(), ParquetEventLog(objects)
    opened_before = ParquetEventLog(objects)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            log.tend(min_appends=step)
            assert opened_before.sequence() == reference.sequence()
            continue
        batch = events(*step, step_s=step_s)
        assert reference.append(batch, batch_key=str(number)) == log.append(batch, batch_key=str(number))
    log.tend()
    for reader in (log, opened_before, ParquetEventLog(objects)):
        for cut in range(reference.sequence() + 1):
            assert reader.read(after_sequence=cut).equals(reference.read(after_sequence=cut))
            upto = pa.concat_tables([reference.read().slice(0, 0), *reference.scan(up_to_sequence=cut)])
            assert ids(pa.concat_tables([upto.slice(0, 0), *reader.scan(up_to_sequence=cut)])) == ids(upto)


def test_a_batch_sent_again_after_compaction_changes_nothing(reopen: Reopen) -> None:
    reopen().append(events(0, 1), batch_key="0")
    reopen().append(events(1, 2), batch_key="1")
    reopen().tend()
    assert reopen().append(events(0, 1), batch_key="0") == 1
    assert reopen().append(events(1, 2), batch_key="1") == 2
    assert reopen().append(events(2, 3), batch_key="2") == 3
    reopen().tend()
    assert ids(reopen().read()) == ["t-0-0", "t-0-1", "t-0-2", "t-0-3"]
    assert ids(reopen().read(after_sequence=2)) == ["t-0-3"]


def test_one_file_a_day_is_left_once_a_later_day_has_begun(tmp_path: Path) -> None:
    log = ParquetEventLog(FolderObjects(tmp_path))
    for number in range(30):
        log.append(events(number, step_s=DAY_S / 10), batch_key=str(number))
        log.tend(min_appends=4)
    log.tend()
    files = [p.parent.name for p in (tmp_path / "events").glob("day=*/*")]
    assert sorted(set(files)) == ["day=2026-01-01", "day=2026-01-02", "day=2026-01-03"]
    assert files.count("day=2026-01-01") == files.count("day=2026-01-02") == 1
    assert files.count("day=2026-01-03") <= 4
    assert [each.name for each in FolderObjects(tmp_path / "events" / "manifest").entries()] == ["state.json"]
    assert log.read().num_rows == 30


def test_rows_of_forgotten_users_are_hidden_at_once_and_gone_after_tending(
    reopen: Reopen, users: MemoryForgottenUsers
) -> None:
    log = reopen()
    log.append(of_users("ann", "bob", "ann"), batch_key="0")
    log.tend()
    log.append(of_users("ann", "cat", start=3), batch_key="1")
    log.append_served(served(0))
    users.forget("ann", known_time_s=INGEST_S + 3.0)
    users.forget("u", known_time_s=INGEST_S + 0.5)
    for _ in range(2):
        assert reopen().read(columns=["user_key"])["user_key"].to_pylist() == ["bob", "cat"]
        assert reopen().read(after_sequence=1)["user_key"].to_pylist() == ["cat"]
        assert reopen().read_served().num_rows == 0
        reopen().tend()
    assert reopen().sequence() == 2
    log.append(of_users("ann", start=5), batch_key="2")  # known after the request: a new beginning
    reopen().tend()
    assert reopen().read()["user_key"].to_pylist() == ["bob", "cat", "ann"]
    assert reopen().tend().events.num_forgotten == 0


def test_no_byte_of_a_forgotten_user_is_left_in_the_folder(tmp_path: Path) -> None:
    log = ParquetEventLog(FolderObjects(tmp_path))
    mark = "a-very-unique-user"
    log.append(of_users("bob", mark), batch_key="0")
    merge = of_users("cat", start=2)
    for name, value in (("behavior", "mmrec.identify"), ("item_id", f"~{mark}")):
        merge = merge.set_column(merge.column_names.index(name), merge.schema.field(name), pa.array([value]))
    log.append(merge, batch_key="1")
    (tmp_path / "events" / "day=2026-01-01" / "left_by_a_crash.parquet").write_text(mark)
    for key in (mark, f"~{mark}"):
        log._events.users.forget(key, known_time_s=INGEST_S + 2.0)
    done = log.tend()
    assert done.events.num_forgotten == 2
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and mark.encode() in p.read_bytes()]
    assert log.read()["user_key"].to_pylist() == ["bob"]


def test_days_before_the_span_are_dropped_and_numbers_stay(reopen: Reopen) -> None:
    log = reopen()
    for number in range(6):
        log.append(events(2 * number, 2 * number + 1, step_s=DAY_S / 2), batch_key=str(number))
        log.tend()
    assert log.tend(keep_s=0.0).events.num_expired == 0
    assert log.tend(keep_s=2 * DAY_S).events.num_expired == 6
    assert ids(reopen().read()) == [f"t-0-{n}" for n in range(6, 12)]
    assert ids(reopen().read(after_sequence=4)) == [f"t-0-{n}" for n in range(8, 12)]
    assert reopen().sequence() == 6
    assert reopen().append(events(12, step_s=DAY_S / 2), batch_key="6") == 7


def test_a_log_that_keeps_rows_for_ever_loses_none(reopen: Reopen) -> None:
    reopen().append(of_users(*["ann"] * 7, step_s=400 * DAY_S), batch_key="0")
    for keep_s in (math.inf, 0.0):
        assert reopen().tend(keep_s=keep_s).events.num_expired == 0
        assert len(ids(reopen().read())) == 7


def with_logins(table: pa.Table, **guests: str) -> pa.Table:
    """The same rows, those of these users as logins on these devices."""
    for name, values in (("behavior", dict.fromkeys(guests, "mmrec.identify")), ("item_id", guests)):
        column = [
            values.get(user, was)
            for user, was in zip(table["user_key"].to_pylist(), table[name].to_pylist(), strict=True)
        ]
        table = table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(column))
    return table


def test_logins_stay_however_old_until_one_of_their_sides_is_forgotten(
    reopen: Reopen, users: MemoryForgottenUsers
) -> None:
    days = {"step_s": DAY_S}
    reopen().append(with_logins(of_users("ann", "~g", "bob", **days), ann="~g", bob="~h"), batch_key="0")
    reopen().append(of_users(*["cat"] * 7, start=3, **days), batch_key="1")
    done = reopen().tend(keep_s=2 * DAY_S)
    assert done.events.num_expired == 5
    assert ids(reopen().read()) == [f"t-0-{n}" for n in (0, 2, 7, 8, 9)]
    assert ids(reopen().read(after_sequence=1)) == [f"t-0-{n}" for n in (7, 8, 9)]
    again = reopen().tend(keep_s=2 * DAY_S)
    assert (again.events.num_expired, again.events.num_rows_written) == (0, 0)  # nothing is due for ever
    users.forget("~g", known_time_s=INGEST_S + 9 * DAY_S)
    assert reopen().tend(keep_s=2 * DAY_S).events.num_forgotten == 1
    assert ids(reopen().read()) == [f"t-0-{n}" for n in (2, 7, 8, 9)]


def test_after_years_a_guest_counts_for_the_user_who_had_logged_in(reopen: Reopen, users: MemoryForgottenUsers) -> None:
    rows = with_logins(of_users("ann", "~g", step_s=DAY_S), ann="~g")
    reopen().append(rows, batch_key="0")
    late = of_users("~g", start=900, step_s=DAY_S)
    place = late.column_names.index("behavior")
    reopen().append(late.set_column(place, late.schema.field(place), pa.array(["cart"])), batch_key="1")
    reopen().tend(keep_s=400 * DAY_S)
    config = ScoringConfig(behaviors=Settings().behaviors)
    grown = profiles_from_log(reopen(), ["ann", "~g"], up_to_sequence=2, forgotten=users, config=config)
    assert (grown["ann"].num_events, grown["~g"].merged_into) == (1, "ann")


def test_days_of_which_logins_are_left_share_few_files(tmp_path: Path) -> None:
    num_days, written = 64, 0
    log = ParquetEventLog(FolderObjects(tmp_path))
    for number in range(num_days):
        rows = with_logins(of_users("ann", "bob", start=2 * number, step_s=DAY_S / 2), ann="~g")
        log.append(rows, batch_key=str(number))
        written += log.tend(keep_s=2 * DAY_S).events.num_rows_written
    assert ids(log.read())[: num_days - 3] == [f"t-0-{2 * number}" for number in range(num_days - 3)]
    assert len(log._events.manifest.parts) <= 3 + 6
    assert written <= num_days * (2 + 1 + 6)
    assert sorted(p.day for p in log._events.manifest.parts) == [p.day for p in log._events.manifest.parts]
    for cut in range(num_days):
        assert ids(log.read(after_sequence=cut)) == [name for name in ids(log.read()) if int(name[4:]) >= 2 * cut]


def test_an_emptied_log_goes_on_counting(reopen: Reopen, users: MemoryForgottenUsers) -> None:
    reopen().append(of_users("ann"), batch_key="0")
    users.forget("ann", known_time_s=INGEST_S)
    reopen().tend()
    assert reopen().read().num_rows == 0
    assert reopen().append(of_users("bob", start=1), batch_key="1") == 2
    assert ids(reopen().read(after_sequence=1)) == ["t-0-1"]


class KilledError(Exception):
    """The process ended here."""


class FilesUntil(DurableFiles):
    """File operations of a process that is killed before operation number `left`."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __getattribute__(self, name: str) -> Any:
        if name in {"make_folder", "write", "sync", "move", "link", "remove"}:
            if self.left <= 0:
                raise KilledError
            self.left -= 1
        return super().__getattribute__(name)


def test_a_kill_between_any_two_file_operations_leaves_the_same_rows(tmp_path: Path) -> None:
    users = MemoryForgottenUsers()
    start = tmp_path / "start"
    log = ParquetEventLog(FolderObjects(start), users=users)
    for number in range(4):
        log.append(of_users("ann", "bob", start=2 * number, step_s=DAY_S / 4), batch_key=str(number))
    log.tend()
    for number in range(4, 8):
        log.append(of_users("ann", "bob", start=2 * number - 1, step_s=DAY_S / 4), batch_key=str(number))
    users.forget("ann", known_time_s=INGEST_S + DAY_S)
    rows = ids(log.read())
    old = {f"t-0-{n}" for n in range(4)}
    operations = 0
    while True:
        folder = tmp_path / f"killed_{operations}"
        shutil.copytree(start, folder)
        try:
            killed = ParquetEventLog(FolderObjects(folder, files=FilesUntil(operations)), users=users)
            killed.tend(keep_s=2 * DAY_S)
            break
        except KilledError:
            operations += 1
        found = ids(ParquetEventLog(FolderObjects(folder), users=users).read())
        assert [row for row in found if row not in old] == [row for row in rows if row not in old]
        assert found == [row for row in rows if row in found]
        mended = ParquetEventLog(FolderObjects(folder), users=users)
        mended.append(of_users("new", start=20, step_s=DAY_S / 4), batch_key="after")
        mended.tend(keep_s=2 * DAY_S)
        named = {p.name for p in (folder / "events").glob("day=*/*")}
        assert len(named) == len(mended._events.manifest.parts)
        shutil.rmtree(folder)
    assert operations > 15


def test_an_append_that_is_killed_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    for operations in range(40):
        folder = tmp_path / str(operations)
        ParquetEventLog(FolderObjects(folder)).append(events(0), batch_key="0")
        try:
            ParquetEventLog(FolderObjects(folder, files=FilesUntil(operations))).append(events(1, 2), batch_key="1")
            break
        except KilledError:
            pass
        assert ids(ParquetEventLog(FolderObjects(folder)).read()) in (["t-0-0"], ["t-0-0", "t-0-1", "t-0-2"])
        again = ParquetEventLog(FolderObjects(folder))
        assert again.append(events(1, 2), batch_key="1") == 2
        assert ids(again.read()) == ["t-0-0", "t-0-1", "t-0-2"]
    else:
        pytest.fail("an append has no end")


def test_a_reader_in_the_middle_of_a_scan_gets_every_row_once_while_files_are_compacted_away(tmp_path: Path) -> None:
    log, tender = ParquetEventLog(FolderObjects(tmp_path)), ParquetEventLog(FolderObjects(tmp_path))
    for number in range(12):
        log.append(events(*range(3 * number, 3 * number + 3)), batch_key=str(number))
    found: list[str] = []
    for count, piece in enumerate(ParquetEventLog(FolderObjects(tmp_path)).scan(max_rows=2)):
        found += ids(piece)
        if count in {3, 9}:
            tender.tend()
            log.append(events(100 + count), batch_key=f"later {count}")
    assert found == [f"t-0-{n}" for n in range(36)]


def test_a_writer_a_tender_and_readers_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    num_appends, errors = 50, list[BaseException]()
    done = threading.Event()

    def tends() -> None:
        try:
            tender = ParquetEventLog(FolderObjects(tmp_path))
            while not done.is_set():
                tender.tend()
        except BaseException as error:  # a thread's failure is the test's
            errors.append(error)

    def follows(found: list[str]) -> None:
        try:
            reader, stands_at = ParquetEventLog(FolderObjects(tmp_path)), 0
            while stands_at < num_appends:
                last = reader.sequence()
                for piece in reader.scan(after_sequence=stands_at, up_to_sequence=last, max_rows=5):
                    found.extend(ids(piece))
                stands_at = last
        except BaseException as error:
            errors.append(error)

    lists: list[list[str]] = [[], []]
    threads = [threading.Thread(target=tends), *(threading.Thread(target=follows, args=(f,)) for f in lists)]
    for thread in threads:
        thread.start()
    log = ParquetEventLog(FolderObjects(tmp_path))
    for number in range(num_appends):
        log.append(events(2 * number, 2 * number + 1, step_s=DAY_S / 20), batch_key=str(number))
    for thread in threads[1:]:
        thread.join(60)
    done.set()
    threads[0].join(60)
    assert errors == []
    assert lists == [[f"t-0-{n}" for n in range(2 * num_appends)]] * 2


def test_a_writer_that_slept_while_its_number_was_taken_and_compacted_takes_the_next(tmp_path: Path) -> None:
    sleeper, other = ParquetEventLog(FolderObjects(tmp_path)), ParquetEventLog(FolderObjects(tmp_path))
    manifest = sleeper._events.manifest
    other.append(events(0), batch_key="a")
    other.append(events(1), batch_key="b")
    other.tend()
    assert not manifest.claim(1, {"digest": "late", "files": ["x"], "num_rows": 1, "ranges": {}})
    assert [each.name for each in FolderObjects(tmp_path / "events" / "manifest").entries()] == ["state.json"]
    assert sleeper.append(events(2), batch_key="c") == 3


@pytest.mark.parametrize("compacted", [0, 3, 6])
@pytest.mark.parametrize("damage", ["manifest entry gone", "state gone", "state cut", "file cut"])
def test_tending_a_damaged_log_says_what_is_wrong_and_removes_nothing(
    tmp_path: Path, compacted: int, damage: str
) -> None:
    log, table = ParquetEventLog(FolderObjects(tmp_path)), tmp_path / "events"
    for number in range(6):
        log.append(events(2 * number, 2 * number + 1), batch_key=str(number))
        if number + 1 == compacted:
            log.tend()
    entries, state = sorted((table / "manifest").glob("0*.json")), table / "manifest" / "state.json"
    rows = ids(log.read())
    if damage == "manifest entry gone":
        path = entries[1] if entries else state
    elif damage.startswith("state"):
        path = state if compacted else entries[0]
    else:
        path = next(table.glob("day=*/*.parquet"))
    whole = path.read_bytes()
    if damage.endswith("gone"):
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2])
    before = set(table.rglob("*.parquet"))
    if compacted == 6 and damage == "file cut":
        with pytest.raises(StoreError, match=path.name):
            ParquetEventLog(FolderObjects(tmp_path)).read()
    else:
        with pytest.raises(StoreError, match=f"{path.name} (is gone|is no JSON|cannot be read).*backup"):
            ParquetEventLog(FolderObjects(tmp_path)).tend()
    assert set(table.rglob("*.parquet")) == before
    path.write_bytes(whole)
    mended = ParquetEventLog(FolderObjects(tmp_path))
    mended.tend()
    assert ids(mended.read()) == rows


def test_the_manifest_stays_small(tmp_path: Path) -> None:
    log = ParquetEventLog(FolderObjects(tmp_path))
    log.append(events(0), batch_key="0")
    log._events.manifest.numbers = {f"{n:032x}": 1 for n in range(3 * MAX_DIGESTS)}
    log.tend()
    assert len(ParquetEventLog(FolderObjects(tmp_path))._events.manifest.numbers) == 0  # nothing was read yet
    fresh = ParquetEventLog(FolderObjects(tmp_path))
    assert fresh.sequence() == 1
    assert len(fresh._events.manifest.numbers) == MAX_DIGESTS
