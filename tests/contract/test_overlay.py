"""What every overlay promises: in memory, in one SQLite file, and on Redis."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from mmrec.collecting.overlay import MAX_READ, MemoryOverlay, Overlay, OverlayEntry, overlay_batch
from mmrec.config import StoreSettings
from mmrec.errors import StoreError
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.scoring.source import Source
from mmrec.stores.sqlite.overlay import FILE_NAME, SqliteOverlay

NOW_S = 1_767_225_600.0
LEFT, RIGHT = Source("c", "t", 0), Source("c", "t", 1)
Open = Callable[..., Overlay]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the overlay, again where it is called again; the memory one is its own reopening."""
    made: list[Overlay] = []

    def memory(**options: int) -> Overlay:
        made.append(made[0] if made else MemoryOverlay(**options))
        return made[-1]

    def sqlite(**options: int) -> Overlay:
        made.append(SqliteOverlay(str(tmp_path), **options))
        return made[-1]

    def redis(**options: int) -> Overlay:
        from mmrec.stores.redis.access import overlay_access
        from mmrec.stores.redis.overlay import RedisOverlay

        access = overlay_access(StoreSettings(online_store="redis", redis_connection=connection))
        made.append(RedisOverlay(access, timeout_s=10.0, **options))
        return made[-1]

    if request.param == "redis":
        connection = request.getfixturevalue("redis_server")
        with Redis.from_url(f"redis://{connection}") as client:
            client.flushdb()
    yield {"memory": memory, "sqlite": sqlite, "redis": redis}[request.param]
    for overlay in made:
        overlay.close()


def entry(user_key: str, offset: int, *, source: Source = LEFT, **changes: object) -> OverlayEntry:
    values = {
        "behavior": "cart",
        "item_id": f"i{offset}",
        "event_id": f"e{offset}",
        "event_time_s": NOW_S - 10.0,
        "known_time_s": NOW_S + offset,
        "ingest_time_s": NOW_S + offset,
        "exempt": False,
        **changes,
    }
    return OverlayEntry(user_key, source, offset, **values)


def test_entries_are_read_as_they_were_by_user_in_the_order_of_their_sources(opened: Open) -> None:
    overlay = opened()
    given = [
        entry("ann", 7, source=RIGHT),
        entry("ann", 3, exempt=True, item_id="é|1", event_time_s=NOW_S - 0.123456789),
        entry("~guest", 4),
    ]
    overlay.add(given)
    assert overlay.read(["ann", "~guest", "nobody"]) == {"ann": [given[1], given[0]], "~guest": [given[2]]}
    assert overlay.read([]) == {}
    assert overlay.figures() == (3, 0)


def test_another_opening_sees_what_was_added_at_once(opened: Open) -> None:
    writer, reader = opened(), opened()
    assert reader.read(["ann"]) == {}
    for offset in range(5):
        writer.add([entry("ann", offset)])
        assert [e.offset for e in reader.read(["ann"])["ann"]] == list(range(offset + 1))
    writer.prune({LEFT: 4})
    assert reader.read(["ann"]) == {}


def test_the_same_place_added_twice_stands_once(opened: Open) -> None:
    overlay = opened()
    overlay.add([entry("ann", 1)])
    overlay.add([entry("ann", 1), entry("~guest", 1)])  # an identify record stands under both keys
    assert {key: len(found) for key, found in overlay.read(["ann", "~guest"]).items()} == {"ann": 1, "~guest": 1}


def test_pruning_removes_what_the_marks_have_passed_and_nothing_else(opened: Open) -> None:
    overlay = opened()
    overlay.add([entry(f"u{n % 7}", n, source=(LEFT, RIGHT)[n % 2]) for n in range(3_000)])
    removed = overlay.prune({LEFT: 1_999, Source("c", "other", 0): 10_000})
    assert removed == 1_000
    left = [e for found in overlay.read([f"u{n}" for n in range(7)]).values() for e in found]
    assert sorted((e.source.partition, e.offset) for e in left) == [
        *((0, n) for n in range(2_000, 3_000, 2)),
        *((1, n) for n in range(1, 3_000, 2)),
    ]
    assert overlay.prune({LEFT: 1_999}) == 0
    assert overlay.prune({LEFT: 5_000, RIGHT: 5_000}) == 2_000
    assert overlay.figures() == (0, 0)


def test_entries_of_another_topic_go_when_the_topic_is_another_one(opened: Open) -> None:
    overlay = opened()
    old = Source("c", "deleted", 0)
    overlay.add([entry("ann", 1, source=old), entry("ann", 2)])
    assert overlay.keep_topic("c", "t") == 1
    assert [e.source for e in overlay.read(["ann"])["ann"]] == [LEFT]
    overlay.add([entry("ann", 3, source=old)])
    assert len(overlay.read(["ann"])["ann"]) == 2


def test_a_forgotten_user_leaves_no_entry_and_nobody_else_loses_one(opened: Open) -> None:
    overlay = opened()
    overlay.add([entry("ann", 1), entry("ann", 2, source=RIGHT), entry("bob", 3)])
    assert overlay.forget("ann") == 2
    assert overlay.forget("ann") == 0
    assert list(overlay.read(["ann", "bob"])) == ["bob"]
    assert overlay.figures().num_entries == 1


def test_a_request_to_forget_and_what_came_after_it_stay(opened: Open) -> None:
    overlay = opened()
    request = entry("ann", 5, ingest_time_s=50.0)
    early = [entry("ann", 4, ingest_time_s=50.0), entry("ann", 9, source=RIGHT, ingest_time_s=49.0)]
    late = [entry("ann", 6, ingest_time_s=50.0), entry("ann", 1, source=RIGHT, ingest_time_s=51.0)]
    overlay.add([*early, request, *late, entry("bob", 3, ingest_time_s=1.0)])
    assert overlay.forget("ann", request) == 2
    assert sorted(overlay.read(["ann"])["ann"]) == sorted([request, *late])
    assert len(overlay.read(["bob"])["bob"]) == 1
    assert overlay.figures().num_entries == 4


def test_what_became_known_after_an_instant_stays_when_a_user_is_forgotten_up_to_it(opened: Open) -> None:
    overlay = opened()
    overlay.add([entry("ann", n, known_time_s=40.0 + n) for n in range(4)])
    overlay.add([entry("ann", 9, source=RIGHT, known_time_s=41.0, ingest_time_s=90.0)])  # known early, imported late
    assert overlay.forget("ann", known_up_to_s=41.0) == 3
    assert [found.known_time_s for found in overlay.read(["ann"])["ann"]] == [42.0, 43.0]
    assert overlay.forget("ann") == 2


def test_a_process_that_saw_a_topic_go_later_takes_no_other_topic_for_it(opened: Open) -> None:
    slow, quick = opened(), opened()
    gone, new = Source("c", "gone", 0), Source("c", "new", 3)
    slow.add([entry("ann", 1, source=gone)])
    quick.keep_topic("c", "new")
    quick.add([entry("ann", 2, source=new)])
    slow.add([entry("ann", 7, source=gone)])
    assert sorted((e.source, e.offset) for e in slow.read(["ann"])["ann"]) == [(gone, 7), (new, 2)]
    assert slow.keep_topic("c", "new") == 1


def test_beyond_the_bound_the_oldest_go_first_and_are_counted(opened: Open) -> None:
    overlay = opened(max_entries=64)
    for start in range(0, 200, 10):
        overlay.add([entry("ann", n, source=(LEFT, RIGHT)[n % 2]) for n in range(start, start + 10)])
        assert overlay.figures().num_entries <= 64
    kept = sorted(e.offset for e in overlay.read(["ann"])["ann"])
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) >= 50
    assert overlay.figures() == (len(kept), 200 - len(kept))


def test_a_read_returns_the_newest_of_a_user_with_very_many(opened: Open) -> None:
    overlay = opened()
    overlay.add([entry("ann", n) for n in range(MAX_READ + 10)])
    found = overlay.read(["ann"])["ann"]
    assert [e.offset for e in found] == list(range(10, MAX_READ + 10))


def test_entries_become_columns_without_control_records_and_unknown_behaviors() -> None:
    entries = [
        entry("ann", 1, behavior="mmrec.identify", item_id="~a"),
        entry("ann", 2, exempt=True),
        entry("ann", 3, behavior="gone"),
        entry("ann", 4, source=RIGHT, behavior="purchase"),
    ]
    batch = overlay_batch(entries, shop_behaviors())
    assert batch.item_ids.tolist() == ["i2", "i4"]
    assert batch.behavior_ids_N.tolist() == [3, 4]
    assert [batch.sources[place] for place in batch.source_index_N] == [LEFT, RIGHT]
    assert batch.offsets_N.tolist() == [2, 4]
    assert batch.exempt_N is not None
    assert batch.exempt_N.tolist() == [True, False]
    assert len(overlay_batch([], shop_behaviors())) == 0


def test_a_locked_a_broken_and_a_missing_file_are_errors_that_pass(tmp_path: Path) -> None:
    missing = SqliteOverlay(str(tmp_path / "not there"))
    with pytest.raises(StoreError):
        missing.read(["ann"])
    overlay = SqliteOverlay(str(tmp_path), busy_timeout_s=0.01)
    overlay.add([entry("ann", 1)])
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        overlay.add([entry("ann", 2)])
    assert len(overlay.read(["ann"])["ann"]) == 1  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    overlay.add([entry("ann", 2)])
    for path in tmp_path.glob(FILE_NAME + "*"):
        path.unlink()
    with pytest.raises(StoreError):
        overlay.add([entry("ann", 3)])
    overlay.add([entry("ann", 4)])
    assert [e.offset for e in overlay.read(["ann"])["ann"]] == [4]
    overlay.close()
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreError):
        overlay.read(["ann"])


def test_forgotten_bytes_are_gone_from_file_and_wal(tmp_path: Path) -> None:
    overlay = SqliteOverlay(str(tmp_path))
    reader = SqliteOverlay(str(tmp_path))
    overlay.add([entry("secret-ann", n, item_id=f"secret-item-{n}") for n in range(300)] + [entry("bob", 300)])
    reader.read(["secret-ann"])
    overlay.forget("secret-ann")
    for path in tmp_path.glob(FILE_NAME + "*"):
        assert b"secret-" not in path.read_bytes(), path.name
    assert len(reader.read(["bob"])["bob"]) == 1


READER = """
import sys
from mmrec.stores.sqlite.overlay import SqliteOverlay
overlay = SqliteOverlay(sys.argv[1])
for line in sys.stdin:
    print(len(overlay.read([line.strip()]).get(line.strip(), [])), flush=True)
"""


def test_another_process_sees_a_commit_at_once_while_pruning_goes_on(tmp_path: Path) -> None:
    overlay = SqliteOverlay(str(tmp_path))
    overlay.add([entry("bulk", n, source=RIGHT) for n in range(2_000)])
    command = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for number in range(20):
            overlay.add([entry("ann", number)])
            overlay.prune({RIGHT: number * 100})
            other.stdin.write("ann\n")
            other.stdin.flush()
            assert other.stdout.readline() == f"{number + 1}\n"
        other.stdin.close()
