"""The log applied again gives the live profiles, whoever shared a device, however the log's pieces begin and end."""

import copy
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmrec.disk.objects import FolderObjects
from mmrec.events.control import forget_event, identify_event
from mmrec.events.encoding import encode_event
from mmrec.events.log import EventLog, MemoryEventLog
from mmrec.events.to_batch import event_batch
from mmrec.features.ports import FeatureStore
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.apply import apply
from mmrec.scoring.profile import UserProfile
from mmrec.state.profile_dump import dump_profiles, load_profiles
from mmrec.state.score_matrix import score_matrix
from mmrec.stores.log.parquet_log import ParquetEventLog
from mmrec.stream.partition_step import JudgedEvents
from mmrec.stream.rebuild import RebuildParts, catch_up, fill
from mmrec.stream.replay import profiles_from_log
from tests.unit.test_stream import NOW_S, SETTINGS, CrashError, Deployment, event
from tests.unit.test_stream_control import WRITES, Fragile, Portioned, guest_event, run_out

FIRST, SECOND = ("behavior-events", 0), ("behavior-events", 1)
KEYS = ["u0", "u1", "u2", "~g0", "~g1"]
Items = dict[str, set[str]]
Records = dict[tuple[str, int], list[tuple[bytes, bytes]]]


class SlicedLog(MemoryEventLog):
    """A log that hands over few rows at a time, as any log does that is long enough."""

    num_rows = 1

    def scan(self, **arguments) -> Iterator[pa.Table]:
        return super().scan(**{**arguments, "max_rows": self.num_rows})


def login(number: int, user: str, guest: str) -> tuple[bytes, bytes]:
    return encode_event(identify_event(event_id=f"l{number}", user_id=user, anonymous_id=guest))


def shared_devices(shuffle: random.Random, number: int = 40) -> dict[tuple[str, int], list[tuple[bytes, bytes]]]:
    """Two guests, three users, each event of an item of its own; guests log in again and again as anybody."""
    records = defaultdict(list)
    for n in range(number):
        user, guest, kind = f"u{shuffle.randrange(3)}", f"g{shuffle.randrange(2)}", shuffle.random()
        place = shuffle.choice([FIRST, SECOND])
        if kind < 0.2:
            records[place].append(login(n, user, guest))
        elif kind < 0.6:
            records[place].append(guest_event(n, guest, f"i{n}", 1_000.0 - n))
        else:
            records[place].append(event(n, user, item=f"i{n}", age_s=1_000.0 - n))
    return records


def owned(log: EventLog) -> Items:
    """Items of each profile, by what was known when: whoever had logged in last, else whoever logged in first."""
    items: Items = defaultdict(set)
    rows = log.read(columns=["user_key", "item_id", "behavior", "known_time_s"]).to_pylist()
    logins = sorted(
        (row["known_time_s"], row["user_key"], row["item_id"]) for row in rows if row["behavior"].startswith("mmrec.")
    )
    for row in rows:
        if not row["behavior"].startswith("mmrec."):
            mine = [(time_s, user) for time_s, user, guest in logins if guest == row["user_key"]]
            before = [user for time_s, user in mine if time_s <= row["known_time_s"]]
            owner = before[-1] if before else mine[0][1] if mine else row["user_key"]
            items[owner].add(row["item_id"])
    return items


def held(profiles: dict[str, UserProfile]) -> Items:
    for profile in profiles.values():
        assert len(profile.item_ids) == profile.num_events
    return {key: set(profile.item_ids) for key, profile in profiles.items() if profile.num_events}


def rebuilt(deployment: Deployment) -> Items:
    store = MemoryFeatureStore()
    scoring = SETTINGS.scoring
    parts = RebuildParts(store=store, log=deployment.log, forgotten=deployment.forgotten, config=scoring)
    fill(parts, write_time_s=NOW_S)
    return held(store.generation("b").read_profiles(KEYS))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    crash_share=st.sampled_from([0.0, 0.4]),
    largest=st.sampled_from([2, 8]),
    num_rows=st.sampled_from([1, 3, 1_000]),
)
@example(seed=381, crash_share=0.4, largest=8, num_rows=1)  # two logins of a guest, read again one by one
def test_rebuild_and_recovery_give_the_live_profiles_of_shared_devices(
    seed: int, crash_share: float, largest: int, num_rows: int
) -> None:
    shuffle = random.Random(seed)
    deployment = Fragile()
    deployment.records.update(shared_devices(shuffle))
    run_out(deployment, shuffle, crash_share=crash_share, largest=largest)
    live = held(deployment.store.read_profiles(KEYS))
    assert live == owned(deployment.log)
    again = Deployment()
    again.log = SlicedLog()
    again.log.num_rows = num_rows
    for number in range(deployment.log.sequence()):
        append = pa.concat_tables(deployment.log.scan(after_sequence=number, up_to_sequence=number + 1))
        again.log.append(append, batch_key=str(number))
    assert rebuilt(again) == live
    again.start()
    assert held(again.store.read_profiles(KEYS)) == live
    last, forgotten = again.log.sequence(), again.forgotten
    grown = profiles_from_log(again.log, KEYS, up_to_sequence=last, forgotten=forgotten, config=SETTINGS.scoring)
    assert held(grown) == live
    scored: Items = defaultdict(set)
    for part in score_matrix(again.log, as_of_s=NOW_S + 1_000, forgotten=forgotten, config=SETTINGS.scoring):
        for place, key in enumerate(part.user_keys):
            scored[key] |= set(part.item_ids[part.starts_U[place] : part.starts_U[place + 1]])
    assert scored == live


def with_requests(records: Records, shuffle: random.Random, number: int) -> Records:
    """The same records with requests to forget users and guests between them."""
    for n in range(number):
        who = shuffle.choice([{"user_id": f"u{shuffle.randrange(3)}"}, {"anonymous_id": f"g{shuffle.randrange(2)}"}])
        place = shuffle.choice([FIRST, SECOND])
        at = shuffle.randrange(len(records[place]) + 1)
        records[place].insert(at, encode_event(forget_event(event_id=f"f{n}", **who)))
    return records


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    crash_share=st.sampled_from([0.0, 0.4]),
    largest=st.sampled_from([1, 4, 100]),
    number=st.sampled_from([1, 3]),
)
@example(seed=220, crash_share=0.0, largest=4, number=3)  # a login later than the request, and no event since
def test_after_forgetting_on_shared_devices_the_live_profiles_are_those_of_a_rebuild(
    seed: int, crash_share: float, largest: int, number: int
) -> None:
    shuffle = random.Random(seed)
    deployment = Fragile()
    deployment.log._users = deployment.forgotten
    deployment.records.update(with_requests(shared_devices(shuffle, number=30), shuffle, number))
    stream = deployment.start()
    sizes = dict.fromkeys(deployment.records, shuffle.randrange(20))
    stream.process(deployment.batch(deployment.starts(stream), sizes), write_time_s=NOW_S)
    store = copy.copy(deployment.store)  # the same profiles; a rebuild is no part of the process that crashes
    for name in WRITES:
        vars(store).pop(name, None)
    parts = RebuildParts(store=store, log=deployment.log, forgotten=deployment.forgotten, config=SETTINGS.scoring)
    fill(parts, write_time_s=NOW_S)
    run_out(deployment, shuffle, crash_share=crash_share, largest=largest)
    live = held(deployment.store.read_profiles(KEYS))
    assert live == owned(deployment.log)
    catch_up(parts, "b", write_time_s=NOW_S)
    assert held(store.generation("b").read_profiles(KEYS)) == live
    assert rebuilt(deployment) == live


def test_who_shares_a_device_with_somebody_who_is_forgotten_keeps_what_is_their_own() -> None:
    deployment = Deployment()
    deployment.log._users = deployment.forgotten
    deployment.records[FIRST] = [
        event(0, "u0", item="own", age_s=90.0),
        guest_event(1, "g0", "before-anybody", 80.0),
        login(2, "u0", "g0"),
        guest_event(3, "g0", "as-u0", 70.0),
        login(4, "u1", "g0"),
        guest_event(5, "g0", "as-u1", 60.0),
        guest_event(6, "g1", "other-device", 50.0),
        login(7, "u0", "g1"),
        login(8, "u2", "g0"),
        encode_event(forget_event(event_id="f", user_id="u1")),
        guest_event(10, "g0", "after", 40.0),
        login(11, "u2", "g0"),
    ]
    stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), {FIRST: 9}), write_time_s=NOW_S)
    assert held(deployment.store.read_profiles(KEYS))["u0"] == {"own", "before-anybody", "as-u0", "other-device"}
    stream.process(deployment.batch(deployment.starts(stream), {FIRST: 100}), write_time_s=NOW_S)
    expected = {"u0": {"own", "other-device"}, "u2": {"after"}}
    assert held(deployment.store.read_profiles(KEYS)) == expected == rebuilt(deployment)
    assert deployment.store.read_profiles(["u0"])["u0"].merged_from == ("~g1",)
    assert set(deployment.forgotten.forgotten_s(KEYS)) == {"u1", "~g0"}


KIOSK = [
    event(0, "u0", item="own", age_s=90.0),
    guest_event(1, "g0", "before-anybody", 80.0),
    login(2, "u0", "g0"),
    guest_event(3, "g0", "as-u0", 70.0),
    event(4, "u1", item="u1s-own", age_s=65.0),
    login(5, "u1", "g0"),
    guest_event(6, "g0", "as-u1", 60.0),
    guest_event(7, "g1", "u1s-phone", 50.0),
    login(8, "u1", "g1"),
]
FORGET_KIOSK = encode_event(forget_event(event_id="f", anonymous_id="g0"))


@pytest.mark.parametrize("largest", [1, 3, 100])
def test_forgetting_a_shared_device_takes_its_newest_user_along_and_no_earlier_one(largest: int) -> None:
    deployment = Fragile()
    deployment.log._users = deployment.forgotten
    deployment.records[FIRST] = [*KIOSK, FORGET_KIOSK, guest_event(10, "g0", "after", 40.0), login(11, "u2", "g0")]
    run_out(deployment, random.Random(largest), crash_share=0.0, largest=largest)
    expected = {"u0": {"own"}, "u2": {"after"}}
    assert held(deployment.store.read_profiles(KEYS)) == expected == rebuilt(deployment) == owned(deployment.log)
    assert set(deployment.forgotten.forgotten_s(KEYS)) == {"u1", "~g0", "~g1"}
    deployment.store = MemoryFeatureStore()
    deployment.start()
    assert held(deployment.store.read_profiles(KEYS)) == expected


def test_who_logs_in_after_a_request_is_not_meant_by_it_though_it_is_read_first() -> None:
    deployment = Deployment()
    deployment.log._users = deployment.forgotten
    deployment.records[FIRST] = [*KIOSK, FORGET_KIOSK]
    deployment.records[SECOND] = [*(event(100 + n, "u2", item=f"u2s-{n}") for n in range(10)), login(200, "u2", "g0")]
    stream = deployment.start()
    for sizes in ({FIRST: 9, SECOND: 0}, {FIRST: 0, SECOND: 100}, {FIRST: 100, SECOND: 0}):
        stream.process(deployment.batch(deployment.starts(stream), sizes), write_time_s=NOW_S)
    live = held(deployment.store.read_profiles(KEYS))
    assert live == {"u0": {"own"}, "u2": {f"u2s-{n}" for n in range(10)}} == rebuilt(deployment)


@pytest.mark.parametrize("crash_at", WRITES)
def test_a_request_that_broke_off_is_not_turned_on_the_user_before(crash_at: str) -> None:
    deployment = Fragile()
    deployment.log._users = deployment.forgotten
    deployment.records[FIRST] = list(KIOSK)
    run_out(deployment, random.Random(1), crash_share=0.0)
    deployment.records[FIRST] += [(b"x", b"{"), FORGET_KIOSK]
    stream = deployment.start()
    deployment.crash_at = crash_at
    with pytest.raises(CrashError):
        stream.process(deployment.batch(deployment.starts(stream), {FIRST: 100}), write_time_s=NOW_S)
    run_out(deployment, random.Random(2), crash_share=0.0)
    assert held(deployment.store.read_profiles(KEYS)) == {"u0": {"own"}} == rebuilt(deployment)
    assert set(deployment.forgotten.forgotten_s(KEYS)) == {"u1", "~g0", "~g1"}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_log_in_files_gives_the_same_compacted_and_not(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    shuffle = random.Random(seed)
    deployment = Deployment()
    deployment.log = ParquetEventLog(FolderObjects(tmp_path_factory.mktemp("log")))
    deployment.records.update(shared_devices(shuffle, number=25))
    run_out(deployment, shuffle, crash_share=0.0, largest=4)
    live = held(deployment.store.read_profiles(KEYS))
    assert live == owned(deployment.log) == rebuilt(deployment)
    deployment.log.tend()
    assert live == owned(deployment.log) == rebuilt(deployment)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), num_rows=st.sampled_from([1, 3, 1_000]))
def test_a_store_that_writes_in_portions_and_fails_again_and_again_loses_nobodys_event(
    seed: int, num_rows: int
) -> None:
    shuffle = random.Random(seed)
    deployment = Deployment()
    deployment.store, deployment.log = Portioned(), SlicedLog()
    deployment.log.num_rows = num_rows
    deployment.records.update(shared_devices(shuffle))
    for _ in range(1_000):
        try:
            stream = deployment.start()
            starts = deployment.starts(stream)
            if all(starts[place] == len(records) for place, records in deployment.records.items()):
                break
            sizes = {place: shuffle.randint(0, 8) for place in starts}
            stream.process(deployment.batch(starts, sizes), write_time_s=NOW_S)
        except CrashError:
            pass
        deployment.store.num_left = shuffle.choice([0, 1, 2, 3, 5, 8, 1_000])
    deployment.store.num_left = 1_000
    assert held(deployment.store.read_profiles(KEYS)) == owned(deployment.log) == rebuilt(deployment)


@pytest.mark.parametrize("num_rows", [1, 2, 1_000])
def test_an_append_longer_than_a_piece_counts_a_login_behind_its_last_event(num_rows: int) -> None:
    deployment = Deployment()
    deployment.store, deployment.log = MemoryFeatureStore(), SlicedLog()
    deployment.log.num_rows = num_rows
    everything = {FIRST: 9, SECOND: 9}
    deployment.records[SECOND] += [guest_event(0, "g0", "i0", 9.0), guest_event(1, "g1", "i1", 8.0)]
    deployment.records[FIRST].append(login(1, "u0", "g0"))
    stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), everything), write_time_s=NOW_S)
    deployment.records[SECOND] += [guest_event(2, "g1", "i2", 7.0), guest_event(3, "g0", "i3", 6.0)]
    deployment.records[FIRST].append(login(2, "u0", "g1"))
    batch = deployment.batch(deployment.starts(stream), everything)
    columns = event_batch(batch.events, SETTINGS.behaviors)
    applied = apply(deployment.store.read_profiles(["u0", "~g0", "~g1"]), columns, config=SETTINGS.scoring)
    said = JudgedEvents(verdicts_N=applied.verdicts_N, owners=pa.chunked_array([["~g1", "u0"]]))

    def write_half(left_out: frozenset[str]) -> None:
        assert left_out == {"u0", "~g1"}
        raise CrashError

    with pytest.raises(CrashError):
        stream.process_judged(batch, said, write=write_half, write_time_s=NOW_S)
    deployment.start()
    assert held(deployment.store.read_profiles(["u0", "~g0", "~g1"])) == {"u0": {"i0", "i1", "i2", "i3"}}


class UnorderedStore(MemoryFeatureStore):
    """A store that names its keys in any order, as Redis does."""

    def __init__(self) -> None:
        super().__init__()
        self.shuffle: random.Random | None = None

    def user_keys(self) -> Iterator[str]:
        keys = list(super().user_keys())
        if self.shuffle is not None:
            self.shuffle.shuffle(keys)
        return iter(keys)


class Watched:
    """A feature store as a dump reads it, with something that happens before each reading."""

    def __init__(self, store: FeatureStore, between) -> None:
        self._store = store
        self._between = between

    def generation(self, name: str) -> "Watched":
        return Watched(self._store.generation(name), self._between)

    def read_profiles(self, keys: list[str]) -> dict[str, UserProfile]:
        found = {}
        for key in keys:
            self._between()
            found |= self._store.read_profiles([key])
        return found

    def __getattr__(self, name: str):
        return getattr(self._store, name)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=3353)  # between the readings of a guest and of its user the stream moves on, and then it logs in
@example(seed=3364)
def test_a_dump_taken_while_guests_log_in_is_made_whole_by_the_log(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("dump") / "profiles.bin"
    shuffle = random.Random(seed)
    deployment = Deployment()
    deployment.store = UnorderedStore()
    deployment.records.update(shared_devices(shuffle))
    stream = deployment.start()

    def step(largest: int = 4) -> None:
        starts = deployment.starts(stream)
        sizes = {place: shuffle.randint(0, largest) for place in starts}
        stream.process(deployment.batch(starts, sizes), write_time_s=NOW_S)

    for _ in range(3):
        step()
    deployment.store.shuffle = shuffle
    dump_profiles(Watched(deployment.store, step), "a", path)
    restored = restarted(deployment, path)
    assert held(restored.store.read_profiles(KEYS)) == owned(deployment.log)


@pytest.mark.parametrize("num_before", range(4))
def test_a_login_between_any_two_readings_of_a_dump_loses_no_anonymous_event(tmp_path: Path, num_before: int) -> None:
    deployment = Deployment()
    deployment.records[FIRST] += [event(0, "u0", item="i0"), event(1, "u1", item="i1"), login(1, "u0", "g0")]
    deployment.records[SECOND].append(guest_event(2, "g0", "i2", 5.0))
    stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), {FIRST: 2, SECOND: 1}), write_time_s=NOW_S)
    num_read = 0

    def log_in() -> None:
        nonlocal num_read
        if num_read == num_before:
            stream.process(deployment.batch(deployment.starts(stream), {FIRST: 1, SECOND: 0}), write_time_s=NOW_S)
        num_read += 1

    dump_profiles(Watched(deployment.store, log_in), "a", tmp_path / "profiles.bin")
    restored = restarted(deployment, tmp_path / "profiles.bin")
    if num_before == 3:  # after the last one
        log_in()
        restored.start()
    assert held(restored.store.read_profiles(KEYS)) == {"u0": {"i0", "i2"}, "u1": {"i1"}}


@pytest.mark.parametrize("source", [FIRST, SECOND])
def test_events_between_the_readings_of_a_guest_and_of_its_later_user_are_in_the_restored_profile(
    tmp_path: Path, source: tuple[str, int]
) -> None:
    deployment = Deployment()
    deployment.records[FIRST] += [event(0, "u0", item="i0"), guest_event(1, "g0", "i1", 5.0)]
    stream = deployment.start()
    stream.process(deployment.batch(deployment.starts(stream), {FIRST: 2, SECOND: 0}), write_time_s=NOW_S)
    meanwhile = [guest_event(2, "g0", "i2", 4.0), event(3, "u0", item="i3")]
    num_read = 0

    def move_on() -> None:
        nonlocal num_read
        if num_read == 1:  # the guest was read, its user was not
            deployment.records[source] += meanwhile
            stream.process(deployment.batch(deployment.starts(stream), {FIRST: 9, SECOND: 9}), write_time_s=NOW_S)
        num_read += 1

    dump_profiles(Watched(deployment.store, move_on), "a", tmp_path / "profiles.bin")
    deployment.records[SECOND].append(login(4, "u0", "g0"))
    stream.process(deployment.batch(deployment.starts(stream), {FIRST: 9, SECOND: 9}), write_time_s=NOW_S)
    restored = restarted(deployment, tmp_path / "profiles.bin")
    assert num_read == 2
    assert held(restored.store.read_profiles(KEYS)) == {"u0": {"i0", "i1", "i2", "i3"}}


def restarted(deployment: Deployment, path: Path) -> Deployment:
    """Another store with what the dump holds, brought up to the log."""
    other = Deployment()
    other.store, other.log, other.records = MemoryFeatureStore(), deployment.log, deployment.records
    assert load_profiles(other.store, path, write_time_s=NOW_S) == len(list(other.store.user_keys())) > 0
    other.start()
    return other
