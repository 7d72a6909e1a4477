"""What a receipt of forgetting says is so: whoever broke off, logged in meanwhile or could not be read is in it."""

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.cli.checks import Health
from mmrec.cli.doctor import check_forgetting
from mmrec.collecting.overlay import MemoryOverlay, OverlayEntry
from mmrec.config import Settings, StoreSettings
from mmrec.disk.objects import FolderObjects
from mmrec.errors import DeadlineError, IncompatibleStateError, StoreError
from mmrec.events.codec import decode_batch
from mmrec.events.control import forget_event, identify_event
from mmrec.events.encoding import encode_event
from mmrec.events.forgotten import ForgottenUsers, MemoryForgottenUsers
from mmrec.events.log import MemoryEventLog
from mmrec.events.producer import RecordPlace, TopicRecord
from mmrec.events.topics import TopicIdentity
from mmrec.forgetting.erase import Forgotten, Parts, forget_user
from mmrec.forgetting.keys import KnownLogins
from mmrec.forgetting.new_life import profiles_left, used_since
from mmrec.forgetting.pending import Asked, PendingRequest, pending_requests
from mmrec.forgetting.removal import Stores
from mmrec.forgetting.user_bytes import remove_from_parquet, rows_of_users, scan_folder
from mmrec.scoring.identity import MAX_MERGED_FROM
from mmrec.scoring.source import Source
from tests.unit.test_stream import NOW_S, Deployment, event
from tests.unit.test_stream_control import guest_event

PLACE = ("behavior-events", 0)
ALL = {PLACE: 10_000}
Hook = Callable[[], None]


def nothing() -> None:
    """Happens where nothing is to happen."""


def login(number: int, user: str, guest: str) -> tuple[bytes, bytes]:
    return encode_event(identify_event(event_id=f"l{number}", user_id=user, anonymous_id=guest))


class World:
    """A deployment, its stream, and `mmrec forget` on it."""

    def __init__(self, folder: Path) -> None:
        self.deployment = Deployment()
        self.deployment.log = MemoryEventLog(users=self.deployment.forgotten)
        self.stream = self.deployment.start()
        self.overlay = MemoryOverlay()
        self.folder = folder
        self.rows = folder / "offline" / "rows.parquet"
        self.rows.parent.mkdir(parents=True)

    def send(self, *records: tuple[bytes, bytes]) -> int:
        self.deployment.records[PLACE].extend(records)
        return len(self.deployment.records[PLACE]) - 1

    def read(self) -> None:
        """The stream reads everything."""
        batch = self.deployment.batch(self.deployment.starts(self.stream), ALL)
        self.stream.process(batch, write_time_s=NOW_S)

    def forget(
        self,
        user: str,
        *,
        anonymous: bool = False,
        before: Hook = nothing,
        reads: bool = True,
        users: ForgottenUsers | None = None,
        looked_at: bool = False,
    ) -> Forgotten:
        """One run of the command.

        Args:
            before: Happens between the reading of what is known and the request.
            reads: Whether the stream is up.
            users: The registry as the command's host has it; the stream's own where None.
            looked_at: Whether somebody looked at what an earlier run found.
        """

        def send() -> RecordPlace:
            before()
            ids = {"anonymous_id": user} if anonymous else {"user_id": user}
            number = len(self.deployment.records[PLACE])
            offset = self.send(encode_event(forget_event(event_id=f"f{number}", **ids)))
            if reads:
                self.read()
            return RecordPlace(0, offset, NOW_S + offset)

        deployment, settings = self.deployment, self.deployment.settings
        parts = Parts(
            store=deployment.store,
            users=users or deployment.forgotten,
            stores=Stores(
                log=deployment.log,
                overlay=self.overlay,
                keep_s=0.0,
                folders={"event_log": self.folder / "log", "feature_repo": self.folder, "offline": self.rows.parent},
                parquet=["offline"],
            ),
            topic=TopicIdentity(cluster_id="c", topic_id="t", num_partitions=1),
            read_topic=self._records,
            decode=lambda raw: (
                decode_batch(
                    raw, cluster_id="c", topic_id="t", behaviors=settings.behaviors, settings=settings.events
                ).control
            ),
            send=send,
            pending=pending_requests(FolderObjects(self.folder / "log")),
        )
        return forget_user(parts, f"~{user}" if anonymous else user, wait_s=0.0, looked_at=looked_at)

    def pending(self) -> list[Path]:
        return list((self.folder / "log").rglob("*.json"))

    def hashes(self, *keys: str) -> set[str]:
        return {self.deployment.forgotten.hash_of(key) for key in keys}

    def _records(self, start: Mapping[int, int]) -> Iterator[TopicRecord]:
        for offset, (key, value) in enumerate(self.deployment.records[PLACE]):
            if offset >= start.get(0, 0):
                yield TopicRecord(key, value, 0, offset, NOW_S + offset)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Ann has logged in on g0 and g1, Bob on h; offline rows of all of them."""
    world = World(tmp_path)
    world.send(
        guest_event(0, "g0", "i0", 9.0),
        guest_event(1, "g1", "i1", 8.0),
        event(2, "ann", item="i2", age_s=7.0),
        event(3, "bob", item="i3", age_s=6.0),
        login(4, "ann", "g0"),
        login(5, "ann", "g1"),
        login(6, "bob", "h"),
    )
    world.read()
    pq.write_table(pa.table({"user_key": ["~g0", "ann", "~g2", "bob", "~g1"], "n": range(5)}), world.rows)
    return world


def test_after_a_time_out_the_second_run_still_knows_the_guests(world: World) -> None:
    with pytest.raises(DeadlineError):
        world.forget("ann", reads=False)
    (kept,) = world.pending()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "ann" not in kept.read_text() + kept.name
    world.read()  # the stream comes up, obeys, and takes away every trace of who belonged together
    assert KnownLogins(world.deployment.store, world.deployment.log).keys_of("ann") == ["ann"]

    forgotten = world.forget("ann")
    assert forgotten.is_complete
    assert set(forgotten.document["merged_hashes"]) == world.hashes("~g0", "~g1")
    removed = {name: n for store in forgotten.document["stores"] for name, n in store["removed"].items()}
    assert removed == {"log_rows": 5, "served_lists": 0, "profiles": 3, "overlay_entries": 0, "parquet_rows": 3}
    assert pq.read_table(world.rows)["user_key"].to_pylist() == ["~g2", "bob"]
    assert world.pending() == [kept]  # no receipt is written yet
    forgotten.settle()
    assert world.pending() == []


def test_rows_that_the_stream_removed_later_than_a_second_run_was_begun_count_once(world: World) -> None:
    for _ in range(2):
        with pytest.raises(DeadlineError):
            world.forget("ann", reads=False)
    document = world.forget("ann").document
    assert document["stores"][0]["removed"] == {"log_rows": 5, "served_lists": 0}
    assert document["complete"]


def obeyed_but_not_told(world: World) -> None:
    """A first run times out; the stream obeys afterwards."""
    with pytest.raises(DeadlineError):
        world.forget("ann", reads=False)
    world.read()


def test_somebody_else_on_a_forgotten_device_is_no_leftover_and_loses_nothing(world: World) -> None:
    obeyed_but_not_told(world)
    asked_s = world.deployment.forgotten.forgotten_s(["~g0"])["~g0"]
    world.send(guest_event(20, "g0", "i9", 1.0), login(21, "bob", "g0"))
    world.read()
    times = pa.array([int((asked_s + seconds) * 1e9) for seconds in (-1.0, 0.0, 2.0)], pa.timestamp("ns", tz="UTC"))
    views = world.rows.with_name("view.parquet")
    pq.write_table(pa.table({"user_key": ["~g0"] * 3, "event_timestamp": times, "n": [1, 2, 3]}), views)
    events = world.rows.with_name("events.parquet")
    pq.write_table(pa.table({"user_key": ["~g0", "~g0", "~g1"], "known_time_s": [asked_s, asked_s + 2.0, 9e9]}), events)
    source = Source("c", "t", 0)
    for offset, seconds in enumerate((0.0, 2.0)):
        known_s = asked_s + seconds
        world.overlay.add([OverlayEntry("~g0", source, 100 + offset, "cart", "i", f"o{offset}", *[known_s] * 3)])

    forgotten = world.forget("ann")
    document = forgotten.document
    assert document["profiles_left"] == 0
    assert forgotten.is_complete
    assert pq.read_table(views)["n"].to_pylist() == [3]
    assert pq.read_table(events).to_pylist() == [{"user_key": "~g0", "known_time_s": asked_s + 2.0}]
    assert [entry.event_id for entry in world.overlay.read(["~g0"])["~g0"]] == ["o1"]
    assert pq.read_table(world.rows)["user_key"].to_pylist() == ["~g2", "bob"]  # rows without a time: all of them
    assert set(document["used_again_hashes"]) == world.hashes("~g0")
    (offline,) = (store for store in document["stores"] if store["name"] == "offline")
    assert (offline["found"], offline["found_of_used_again"]) == ((), ("events.parquet", "view.parquet"))
    forgotten.settle()
    assert world.pending() == []
    assert world.deployment.store.read_profiles(["bob"])["bob"].merged_from == ("~h", "~g0")


def test_a_user_who_came_back_without_an_event_is_no_leftover(world: World) -> None:
    with pytest.raises(DeadlineError):
        world.forget("g1", anonymous=True, reads=False)
    world.read()
    world.send(login(20, "ann", "g5"))
    world.read()
    assert world.deployment.store.read_profiles(["ann"])["ann"].num_events == 0
    forgotten = world.forget("g1", anonymous=True)
    assert (forgotten.document["profiles_left"], forgotten.is_complete) == (0, True)
    assert list(world.deployment.store.read_profiles(["ann"])) == ["ann"]


def test_a_profile_from_before_is_left_whatever_kind_it_is(world: World) -> None:
    store, keys = world.deployment.store, ["ann", "~g0", "~g1"]
    before = store.read_profiles(keys)
    assert profiles_left(store, dict.fromkeys(keys, NOW_S + 1_000)) == keys
    forgotten = world.forget("ann")
    assert forgotten.is_complete
    store.write_profiles(before, write_time_s=NOW_S)
    gone = world.deployment.forgotten.forgotten_s(keys)
    assert profiles_left(store, gone) == keys
    assert used_since(gone, store=store, log=world.deployment.log, overlay=world.overlay) == set()


def test_a_registry_that_the_stream_does_not_share_gets_a_receipt_that_names_who_is_not_forgotten(
    world: World,
) -> None:
    apart = MemoryForgottenUsers()
    (world.folder / "log").mkdir()
    (world.folder / "log" / "note.txt").write_text("of g1")
    forgotten = world.forget("ann", users=apart)
    document = forgotten.document
    assert set(document["not_forgotten_hashes"]) == {apart.hash_of(key) for key in ("ann", "~g0", "~g1")}
    assert not forgotten.is_complete
    stores = {store["name"]: store for store in document["stores"]}
    assert stores["event_log"]["found"] == ("note.txt",)
    assert stores["offline"]["found"] == ("rows.parquet",)
    assert pq.read_table(world.rows).num_rows == 5  # what the stream has not forgotten is not removed
    forgotten.settle()
    assert len(world.pending()) == 1


def test_what_is_found_keeps_the_request_until_somebody_has_looked_at_it(world: World) -> None:
    (world.folder / "log").mkdir()
    (world.folder / "log" / "note.txt").write_text("joann is another user")
    forgotten = world.forget("ann")
    (log,) = (store for store in forgotten.document["stores"] if store["name"] == "event_log")
    assert log["found"] == ("note.txt",)
    assert not forgotten.is_complete
    forgotten.settle()
    assert len(world.pending()) == 1
    again = world.forget("ann", looked_at=True)
    assert again.is_complete
    assert again.document["findings_looked_at"]
    assert set(again.document["merged_hashes"]) == world.hashes("~g0", "~g1")
    again.settle()
    assert world.pending() == []


def test_two_requests_that_wait_for_one_device_do_not_find_each_other(world: World) -> None:
    world.send(login(10, "eve", "g1"))
    world.read()
    for user in ("ann", "eve"):
        with pytest.raises(DeadlineError):
            world.forget(user, reads=False)
    world.read()
    for user in ("ann", "eve"):
        forgotten = world.forget(user)
        assert forgotten.is_complete
        forgotten.settle()
    assert world.pending() == []


def test_three_hundred_guests_are_forgotten_and_named_though_a_profile_names_fewer(world: World) -> None:
    guests = [f"many{number}" for number in range(300)]
    assert len(guests) > MAX_MERGED_FROM
    world.send(*(login(100 + number, "ann", guest) for number, guest in enumerate(guests)))
    world.read()
    keys = ["~g0", "~g1", *(f"~{guest}" for guest in guests)]
    pq.write_table(pa.table({"user_id": [*keys, "bob"]}), world.rows)
    assert set(KnownLogins(world.deployment.store, world.deployment.log).keys_of("ann")) == {"ann", *keys}
    document = world.forget("ann").document
    assert document["complete"]
    assert set(document["merged_hashes"]) == world.hashes(*keys)
    assert pq.read_table(world.rows)["user_id"].to_pylist() == ["bob"]
    assert list(world.deployment.store.user_keys()) == ["bob", "~h"]


@pytest.mark.parametrize("times_out", [False, True])
def test_a_login_between_reading_and_asking_is_forgotten_with_its_user(world: World, times_out: bool) -> None:
    def logs_in() -> None:
        world.send(guest_event(10, "g2", "i9", 1.0), login(11, "ann", "g2"))

    if times_out:
        with pytest.raises(DeadlineError):
            world.forget("ann", before=logs_in, reads=False)
        world.read()
        document = world.forget("ann").document
    else:
        document = world.forget("ann", before=logs_in).document
    assert document["complete"]
    assert set(document["merged_hashes"]) == world.hashes("~g0", "~g1", "~g2")
    assert pq.read_table(world.rows)["user_key"].to_pylist() == ["bob"]


def test_a_login_that_the_stream_has_not_read_yet_is_known_and_one_after_the_request_is_somebodys_new_life(
    world: World,
) -> None:
    world.send(login(10, "ann", "g2"))
    with pytest.raises(DeadlineError):
        world.forget("ann", reads=False)
    world.send(guest_event(11, "late", "i9", 1.0), login(12, "ann", "late"))
    world.read()
    again = world.forget("ann", before=lambda: None)
    assert again.is_complete
    # What was asked first went up to the first request, what came since went with the second.
    assert set(again.document["merged_hashes"]) == world.hashes("~g0", "~g1", "~g2", "~late")
    world.send(login(20, "ann", "newest"))
    world.read()
    assert world.deployment.forgotten.forgotten_s(["~newest"]) == {}


def test_a_file_that_cannot_be_read_is_named_and_the_guests_are_kept_for_the_next_run(world: World) -> None:
    data = world.rows.read_bytes()
    broken, cut = world.rows.with_name("broken.parquet"), world.rows.with_name("cut.parquet")
    broken.write_bytes(b"PAR1 and nothing that follows")
    cut.write_bytes(data[: len(data) // 2])
    forgotten = world.forget("ann")
    stores = {store["name"]: store for store in forgotten.document["stores"]}
    assert stores["offline"]["unread"] == ("broken.parquet", "cut.parquet")
    assert stores["feature_repo"]["unread"] == ("offline/broken.parquet",)
    assert stores["feature_repo"]["found"] == ("offline/cut.parquet",)  # its bytes show an id as they stand
    assert not forgotten.is_complete
    assert json.loads(json.dumps(forgotten.document))["complete"] is False
    assert pq.read_table(world.rows)["user_key"].to_pylist() == ["~g2", "bob"]  # the others went
    forgotten.settle()
    assert len(world.pending()) == 1

    broken.unlink()
    pq.write_table(pa.table({"user_key": ["~g1", "bob"]}), cut)
    again = world.forget("ann")
    assert again.is_complete
    assert set(again.document["merged_hashes"]) == world.hashes("~g0", "~g1")
    assert pq.read_table(cut)["user_key"].to_pylist() == ["bob"]
    again.settle()
    assert world.pending() == []


def test_damage_inside_a_file_leaves_it_as_it_is_and_is_said(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    rows = pa.table({"user_key": ["ann", "bob"] * 5_000, "n": range(10_000)})
    pq.write_table(rows, file, compression="zstd")
    column = pq.ParquetFile(file).metadata.row_group(0).column(1)
    data = bytearray(file.read_bytes())
    start = column.data_page_offset
    data[start : start + 400] = bytes(400)
    file.write_bytes(data)
    done = remove_from_parquet(tmp_path, ["ann"])
    assert (done.num_rows, done.unread) == (0, ("rows.parquet",))
    assert file.read_bytes() == bytes(data)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    with pytest.raises(StoreError, match=r"rows\.parquet cannot be read"):
        list(rows_of_users(tmp_path, ["ann"]))
    file.write_bytes(b"no Parquet")
    assert scan_folder(tmp_path, ["ann"]).unread == ("rows.parquet",)
    file.write_bytes(b"no Parquet, but ann")
    assert scan_folder(tmp_path, ["ann"]).found == ("rows.parquet",)


def test_an_anonymous_id_takes_its_owner_along_and_their_guests_and_nobody_who_used_it_before(world: World) -> None:
    world.send(login(10, "eve", "g1"), login(11, "eve", "phone"), guest_event(12, "g1", "i4", 1.0))
    world.read()
    assert set(KnownLogins(world.deployment.store, world.deployment.log).keys_of("~g1")) == {"~g1", "~phone", "eve"}
    document = world.forget("g1", anonymous=True).document
    assert document["complete"]
    assert set(document["merged_hashes"]) == world.hashes("eve", "~phone")
    assert set(world.deployment.store.user_keys()) == {"ann", "bob", "~g0", "~h"}
    ann = world.deployment.store.read_profiles(["ann"])["ann"]
    assert (set(ann.item_ids), ann.merged_from) == ({"i0", "i2"}, ("~g0",))


@pytest.mark.parametrize("times_out", [False, True])
def test_whoever_logs_in_on_an_anonymous_id_before_it_is_forgotten_is_meant_and_the_user_before_is_not(
    world: World, times_out: bool
) -> None:
    def logs_in() -> None:
        world.send(login(10, "eve", "g1"))

    if times_out:
        with pytest.raises(DeadlineError):
            world.forget("g1", anonymous=True, before=logs_in, reads=False)
        world.read()
        document = world.forget("g1", anonymous=True).document
    else:
        document = world.forget("g1", anonymous=True, before=logs_in).document
    assert document["complete"]
    assert set(document["merged_hashes"]) == world.hashes("eve")
    assert set(world.deployment.store.user_keys()) == {"ann", "bob", "~g0", "~h"}


def test_a_login_that_is_not_read_yet_makes_nobody_else_part_of_an_anonymous_id(world: World) -> None:
    world.send(login(10, "eve", "g1"))
    document = world.forget("g1", anonymous=True).document
    assert document["complete"]
    assert set(document["merged_hashes"]) == world.hashes("eve")
    assert "ann" in set(world.deployment.store.user_keys())


def test_a_user_of_whom_nothing_is_known_gets_a_receipt_too(world: World) -> None:
    forgotten = world.forget("nobody")
    assert forgotten.is_complete
    assert forgotten.document["merged_hashes"] == []
    assert forgotten.document["user_hash"] in world.hashes("nobody")


def test_a_pending_request_comes_back_as_it_was_kept_and_another_format_is_refused(tmp_path: Path) -> None:
    request = PendingRequest(FolderObjects(tmp_path / "folder"), "ab")
    assert request.read() is None
    asked = Asked(
        at_least_s={"~g": 1.5}, user_at_least_s=2.5, sure=["~g"], topic_id="t", starts={3: 7}, had={"log_rows": 2}
    )
    request.write(Asked())
    request.write(asked)
    assert request.read() == asked
    assert [path.name for path in Path(request.place).parent.iterdir()] == ["ab.json"]
    settings = Settings(stores=StoreSettings(event_log=str(tmp_path)))
    assert check_forgetting(settings) == check_forgetting(None) == []
    request = PendingRequest(pending_requests(FolderObjects(tmp_path)), "ab")
    request.write(asked)
    (check,) = check_forgetting(settings)
    assert (check.health, check.found[:2]) == (Health.WARN, "1 ")
    for text in ("", "[]", '{"format_version": 2}'):
        Path(request.place).write_text(text)
        with pytest.raises(IncompatibleStateError, match=r"ab\.json"):
            request.read()
