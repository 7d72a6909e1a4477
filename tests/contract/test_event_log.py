"""What every EventLog promises: in memory, as Parquet files of a folder, and as objects of a bucket."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrec.disk.objects import FolderObjects
from mmrec.errors import IncompatibleStateError
from mmrec.events.columns import EVENT_SCHEMA, RAW_SCHEMA
from mmrec.events.log import SEQUENCE, EventLog, MemoryEventLog
from mmrec.events.served import SERVED_SCHEMA, decode_served
from mmrec.stores.log.parquet_log import ParquetEventLog
from tests.object_places import OBJECT_PLACES, place_for

INGEST_S = 1_767_225_600.0
Reopen = Callable[[], EventLog]


def events(*offsets: int, partition: int = 0, topic: str = "t", step_s: float = 1.0) -> pa.Table:
    columns = {
        f.name: pa.array([{"string": "", "bool": False}.get(str(f.type), 0)] * len(offsets), f.type)
        for f in EVENT_SCHEMA
    }
    columns["topic_id"] = pa.array([topic] * len(offsets))
    columns["partition"] = pa.array([partition] * len(offsets), pa.int32())
    columns["offset"] = pa.array(offsets, pa.int64())
    columns["event_id"] = pa.array([f"{topic}-{partition}-{o}" for o in offsets], pa.string())
    columns["ingest_time_s"] = pa.array([INGEST_S + step_s * o for o in offsets], pa.float64())
    return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


def ids(table: pa.Table) -> list[str]:
    return table["event_id"].to_pylist()


@pytest.fixture(params=["memory", *OBJECT_PLACES])
def reopen(request: pytest.FixtureRequest) -> Reopen:
    """Opens the same log again; the memory log is its own reopening."""
    if request.param == "memory":
        log = MemoryEventLog()
        return lambda: log
    objects = place_for(request)
    return lambda: ParquetEventLog(objects)


def test_an_empty_log_stands_at_zero(reopen: Reopen) -> None:
    log = reopen()
    assert log.sequence() == 0
    assert log.read().schema == EVENT_SCHEMA
    assert log.read().num_rows == 0
    assert list(log.scan()) == []
    assert log.append(EVENT_SCHEMA.empty_table(), batch_key="0") == 0
    assert log.read(after_sequence=7, columns=["offset"]).num_rows == 0


def test_what_was_appended_is_read_as_it_was(reopen: Reopen) -> None:
    first, second = events(0, 1, 2), events(3, 4, step_s=86_400.0)
    assert reopen().append(first, batch_key="0") == 1
    assert reopen().append(second, batch_key="1") == 2
    log = reopen()
    assert log.read().sort_by("offset").equals(pa.concat_tables([first, second]))
    assert log.sequence() == 2
    assert log.read(after_sequence=1).sort_by("offset").equals(second)
    assert log.read(columns=["offset", "item_id"]).schema.names == ["offset", "item_id"]


def test_rows_are_read_in_the_order_of_appending_though_ingest_time_steps_back_over_midnight(reopen: Reopen) -> None:
    batch = events(0, 1, 2, step_s=-1.0)  # the first on one day, the others on the day before
    reopen().append(batch, batch_key="0")
    assert reopen().read().equals(batch)
    assert [ids(piece) for piece in reopen().scan(max_rows=2)] == [["t-0-0", "t-0-1"], ["t-0-2"]]


def test_the_same_batch_again_changes_nothing(reopen: Reopen) -> None:
    assert reopen().append(events(0, 1), batch_key="0") == 1
    assert reopen().append(events(2), batch_key="1") == 2
    assert reopen().append(events(0, 1), batch_key="0") == 1
    assert reopen().sequence() == 2
    assert ids(reopen().read()) == ["t-0-0", "t-0-1", "t-0-2"]


def test_a_batch_key_with_other_events_adds_them(reopen: Reopen) -> None:
    reopen().append(events(0, 1), batch_key="0")
    assert reopen().append(events(0, 1, 2), batch_key="0") == 2
    assert ids(reopen().read()) == ["t-0-0", "t-0-1", "t-0-2"]
    assert ids(reopen().read(after_sequence=1)) == ["t-0-2"]


def test_a_record_is_given_once_however_batches_overlap(reopen: Reopen) -> None:
    log = reopen()
    log.append(events(0, 1, 2, 3), batch_key="0")
    log.append(events(2, 3, 4), batch_key="1")
    log.append(events(0, 1, 2, 3, 4, 5), batch_key="2")
    assert ids(log.read()) == [f"t-0-{n}" for n in range(6)]
    assert ids(log.read(after_sequence=1)) == ["t-0-4", "t-0-5"]
    assert ids(log.read(after_sequence=2)) == ["t-0-5"]


def test_a_repeat_inside_one_batch_counts_once(reopen: Reopen) -> None:
    log = reopen()
    log.append(events(5, 5, 6), batch_key="0")
    assert ids(log.read()) == ["t-0-5", "t-0-6"]


def test_other_partitions_and_topics_are_other_records(reopen: Reopen) -> None:
    log = reopen()
    log.append(events(0), batch_key="0")
    log.append(pa.concat_tables([events(0, partition=1), events(0, topic="t2")]), batch_key="1")
    assert sorted(ids(log.read())) == ["t-0-0", "t-1-0", "t2-0-0"]


def test_a_scan_gives_what_a_read_gives_in_small_pieces(reopen: Reopen) -> None:
    log = reopen()
    log.append(events(*range(10)), batch_key="0")
    log.append(events(*range(5, 17)), batch_key="1")
    pieces = list(log.scan(max_rows=4, columns=["event_id"]))
    assert max(p.num_rows for p in pieces) <= 4
    assert pa.concat_tables(pieces).equals(log.read(columns=["event_id"]).combine_chunks())
    assert [ids(piece) for piece in log.scan(after_sequence=1, up_to_sequence=1)] == []
    assert sum(piece.num_rows for piece in log.scan(up_to_sequence=1)) == 10


def test_rows_name_the_append_they_came_with_first_compacted_or_not(reopen: Reopen) -> None:
    log = reopen()
    log.append(events(0, 1, 2, 3), batch_key="0")
    log.append(events(2, 3, 4), batch_key="1")
    log.append(events(0, 5), batch_key="2")
    numbered = ["event_id", SEQUENCE]
    for _ in range(2):
        assert log.read(columns=numbered)[SEQUENCE].to_pylist() == [1, 1, 1, 1, 2, 3]
        pieces = list(log.scan(after_sequence=1, columns=[SEQUENCE, "event_id"], max_rows=1))
        assert [piece.to_pylist() for piece in pieces] == [
            [{SEQUENCE: 2, "event_id": "t-0-4"}],
            [{SEQUENCE: 3, "event_id": "t-0-5"}],
        ]
        assert log.read(after_sequence=3, columns=numbered).schema.names == numbered
        assert SEQUENCE not in log.read().schema.names
        log.tend()
    log.append(events(6), batch_key="3")
    assert reopen().read(columns=[SEQUENCE])[SEQUENCE].to_pylist() == [1, 1, 1, 1, 2, 3, 4]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=5),
    cut=st.integers(0, 5),
)
def test_reading_in_steps_gives_what_reading_at_once_gives(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], cut: int
) -> None:
    reference, log = MemoryEventLog(), ParquetEventLog(FolderObjects(tmp_path_factory.mktemp("log")))
    for number, offsets in enumerate(batches):
        batch = events(*offsets)
        assert reference.append(batch, batch_key=str(number)) == log.append(batch, batch_key=str(number))
    assert ids(reference.read()) == ids(log.read())
    assert ids(reference.read(after_sequence=cut)) == ids(log.read(after_sequence=cut))
    assert len(set(ids(log.read()))) == len({o for offsets in batches for o in offsets}) == log.read().num_rows
    upto = len(ids(log.read())) - len(ids(log.read(after_sequence=cut)))
    assert ids(log.read())[upto:] == ids(log.read(after_sequence=cut))
    assert log.read(columns=[SEQUENCE]).equals(reference.read(columns=[SEQUENCE]))
    log.tend()
    assert log.read(columns=[SEQUENCE]).equals(reference.read(columns=[SEQUENCE]))


def served(*offsets: int) -> pa.Table:
    value = (
        b'{"request_id":"r","userId":"u","serve_time":"2026-01-01T00:00:00.5Z","placement":"home","degraded":["no_release"],'
        b'"items":[{"item_id":"i","rank":1,"rankingScore":0.5,"sources":["popular"],"propensity":1}]}'
    )
    raw = pa.table(
        [[b"u"] * len(offsets), [value] * len(offsets), [0] * len(offsets), list(offsets), [INGEST_S] * len(offsets)],
        schema=RAW_SCHEMA,
    )
    return decode_served(raw, cluster_id="c", topic_id="s")[0]


def test_served_lists_follow_the_same_laws_apart_from_events(reopen: Reopen) -> None:
    log = reopen()
    assert log.append_served(served(0, 1)) == 1
    assert log.append_served(served(0, 1)) == 1
    assert log.append_served(served(1, 2)) == 2
    lists = reopen().read_served()
    assert lists.schema == SERVED_SCHEMA
    assert lists["offset"].to_pylist() == [0, 1, 2]
    assert lists["user_key"].to_pylist() == ["u"] * 3
    assert lists["serve_time_s"].to_pylist() == [INGEST_S + 0.5] * 3
    assert lists["items"][0].as_py()[0]["sources"] == ["popular"]
    assert reopen().sequence() == 0


def test_a_record_that_is_no_served_list_is_told_apart() -> None:
    values = [b"{", None, b'"a"', b"{}", b"[]", b'{"request_id":"r"}']
    number = len(values)
    raw = pa.table([[b"k"] * number, values, [0] * number, [*range(number)], [0.0] * number], schema=RAW_SCHEMA)
    table, read_N = decode_served(raw, cluster_id="c", topic_id="s")
    assert read_N.tolist() == [False] * 5 + [True]
    assert table["offset"].to_pylist() == [5]


def test_a_file_without_manifest_entry_is_not_read(tmp_path: Path) -> None:
    log = ParquetEventLog(FolderObjects(tmp_path))
    log.append(events(0, 1), batch_key="0")
    (tmp_path / "events" / "manifest" / "000000000001.json").unlink()  # as if killed between file and entry
    assert ParquetEventLog(FolderObjects(tmp_path)).read().num_rows == 0
    assert ParquetEventLog(FolderObjects(tmp_path)).append(events(0), batch_key="0") == 1
    assert ParquetEventLog(FolderObjects(tmp_path)).append(events(0, 1), batch_key="0") == 2
    assert ids(ParquetEventLog(FolderObjects(tmp_path)).read()) == ["t-0-0", "t-0-1"]


def test_two_writers_cannot_take_one_number(tmp_path: Path) -> None:
    one, other = ParquetEventLog(FolderObjects(tmp_path)), ParquetEventLog(FolderObjects(tmp_path))
    assert one.sequence() == other.sequence() == 0
    assert one.append(events(0), batch_key="a") == 1
    assert other.append(events(1), batch_key="b") == 2
    assert one.append(events(1), batch_key="b") == 2
    assert ids(one.read()) == ["t-0-0", "t-0-1"]


def test_a_format_of_another_version_is_said(tmp_path: Path) -> None:
    ParquetEventLog(FolderObjects(tmp_path)).append(events(0), batch_key="a")
    entry = tmp_path / "events" / "manifest" / "000000000001.json"
    entry.write_text(entry.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(IncompatibleStateError, match="format 9"):
        ParquetEventLog(FolderObjects(tmp_path)).sequence()
