"""Laws of a rebuild, in memory: the new profiles are the plain sum, the live ones untouched until the flip."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmrec.clock import ManualClock
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.control import IDENTIFY
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.log import EventLog, MemoryEventLog
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.ports import FeatureStore
from mmrec.features.record_counts import RecordCounts
from mmrec.features.stores import MemoryFeatureStore
from mmrec.features.values import StreamProgress
from mmrec.scoring.identity import MAX_MERGED_FROM
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.verdicts import Verdict
from mmrec.state.rebuild_run import back, rebuild
from mmrec.stream.rebuild import Held, RebuildParts, catch_up, fill, flip
from mmrec.stream.replay import replay_table
from mmrec.stream.step import ScoringStream
from tests.unit.test_replay_logins import SlicedLog

NOW_S = 1_760_000_000.0
CONFIG = ScoringConfig(behaviors=Settings().behaviors, max_items=0, idle_horizon_s=0.0)
BEHAVIORS = CONFIG.behaviors.names


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the log."""

    user_key: str
    item_id: str
    behavior: str
    age_s: float


def rows(number: int, *, seed: int) -> list[Row]:
    generator = np.random.default_rng(seed)
    return [
        Row(
            user_key=f"u{generator.integers(5)}" if generator.random() < 0.8 else f"~a{generator.integers(3)}",
            item_id=f"i{generator.integers(8)}",
            behavior=str(generator.choice(BEHAVIORS)),
            age_s=float(generator.integers(40 * 86_400)),
        )
        for _ in range(number)
    ]


class Log:
    """A log that grows by rows, at one partition's offsets."""

    def __init__(self, log: EventLog | None = None) -> None:
        self.log: EventLog = log or MemoryEventLog()
        self.rows: list[Row] = []

    def add(self, *new: Row) -> None:
        first = len(self.rows)
        self.rows += new
        blank = {"string": "", "bool": False}
        columns = {f.name: [blank.get(str(f.type), 0)] * len(new) for f in EVENT_SCHEMA}
        columns |= {
            "cluster_id": ["c"] * len(new),
            "topic_id": ["t"] * len(new),
            "offset": list(range(first, first + len(new))),
            "event_id": [f"e{first + n}" for n in range(len(new))],
            "user_key": [row.user_key for row in new],
            "item_id": [row.item_id for row in new],
            "behavior": [row.behavior for row in new],
            "event_time_s": [NOW_S - row.age_s for row in new],
            "known_time_s": [NOW_S + first + n for n in range(len(new))],
            "ingest_time_s": [NOW_S + first + n for n in range(len(new))],
        }
        self.log.append(pa.table(columns, schema=EVENT_SCHEMA), batch_key=str(first))


def check(store: FeatureStore, log: Log, *, owners: dict[str, str] | None = None, rate: float = 0.05) -> None:
    """Every profile is the plain sum over the log."""
    events = [
        LedgerEvent(
            event_id=f"e{n}",
            user_key=(owners or {}).get(row.user_key, row.user_key),
            item_id=row.item_id,
            behavior=row.behavior,
            event_time_s=NOW_S - row.age_s,
        )
        for n, row in enumerate(log.rows)
        if row.behavior != IDENTIFY
    ]
    expected = plain_sum(events, behaviors=CONFIG.behaviors, decay_per_day=rate, as_of_s=NOW_S)
    users = {user for user, _ in expected}
    found = {key: p for key, p in store.read_profiles(list(store.user_keys())).items() if not p.merged_into}
    assert set(found) == users
    for user in users:
        own = {item: value for (key, item), value in expected.items() if key == user}
        errors = relative_errors(found[user], own, behaviors=CONFIG.behaviors, decay_per_day=rate, as_of_s=NOW_S)
        assert max(errors.values()) < 1e-9


def parts_of(log: Log, store: FeatureStore, *, config: ScoringConfig = CONFIG) -> RebuildParts:
    return RebuildParts(store=store, log=log.log, forgotten=MemoryForgottenUsers(), config=config)


class Waiting(ManualClock):
    """Sleeping moves the clock, and lets a stream of this process have its turn."""

    stream: ScoringStream | None = None

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        if self.stream is not None:
            self.stream.answer_flip(write_time_s=self.now_s())


@contextmanager
def free_lock() -> Iterator[None]:
    yield


def held_lock() -> None:
    raise StoreError("another score_stream writes the profiles")


def stream_of(parts: RebuildParts) -> ScoringStream:
    stream = ScoringStream(
        store=parts.store,
        log=parts.log,
        producer=MemoryRecordProducer(clock=ManualClock(NOW_S)),
        forgotten=parts.forgotten,
        settings=Settings(scoring=parts.config),
    )
    stream.recover(starts={}, write_time_s=NOW_S)
    return stream


def test_a_rebuild_gives_the_plain_sum_and_leaves_the_live_profiles_alone_until_the_flip() -> None:
    log, store = Log(), MemoryFeatureStore()
    for seed in range(4):
        log.add(*rows(60, seed=seed))
    parts = parts_of(log, store)
    fill(parts, write_time_s=NOW_S)
    assert store.live_generation() == "a"
    assert list(store.user_keys()) == []
    check(store.generation("b"), log)
    log.add(*rows(40, seed=9))
    flip(parts, "b", progress=StreamProgress(counts=RecordCounts(verdicts={Verdict.ACCEPTED: 7})), write_time_s=NOW_S)
    assert store.live_generation() == "b"
    check(store, log)
    progress = store.read_progress()
    assert progress is not None
    assert progress.counts.document() == {"accepted": 7}


def test_a_rebuild_changes_the_half_life() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(100, seed=1))
    slower = replace(CONFIG, decay_per_day=(0.01,))
    stream_of(parts_of(log, store))
    check(store, log)
    rebuild(parts_of(log, store, config=slower), take_lock=free_lock, waiting=Waiting(NOW_S), with_flip=True, wait_s=9)
    check(store, log, rate=0.01)


def test_logins_in_the_log_are_repeated() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(60, seed=2))
    log.add(Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0))
    log.add(*rows(60, seed=3))
    rebuild(parts_of(log, store), take_lock=free_lock, waiting=Waiting(NOW_S), with_flip=True, wait_s=9)
    check(store, log, owners={"~a0": "u1"})


class SizedStore(MemoryFeatureStore):
    """A store that notes how many profiles each write holds, and drops what it is given, as a store on disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def write_profiles(self, profiles: Mapping[str, UserProfile], **arguments: Any) -> None:
        self.sizes.append(len(profiles))
        super().write_profiles({key: unpack(pack(profile)) for key, profile in profiles.items()}, **arguments)


def test_what_a_rebuild_holds_is_bounded_in_bytes_and_no_number_depends_on_it() -> None:
    log, store = Log(SlicedLog()), SizedStore()
    log.log.num_rows = 40
    for seed in range(3):
        log.add(*rows(60, seed=seed))
        log.add(Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0))
    fill(replace(parts_of(log, store), max_bytes=3_000, portion=2), write_time_s=NOW_S)
    assert max(store.sizes) <= 2
    assert sum(store.sizes) > len(list(store.generation("b").user_keys()))
    check(store.generation("b"), log, owners={"~a0": "u1"})


def test_what_a_rebuild_holds_is_the_bytes_of_its_profiles_and_nothing_else() -> None:
    log = Log()
    log.add(*(Row(user_key=f"u{n}", item_id=f"i{n}", behavior=BEHAVIORS[0], age_s=1.0) for n in range(500)))
    parts, held = parts_of(log, MemoryFeatureStore()), Held(MemoryFeatureStore(), write_time_s=NOW_S)
    for piece in log.log.scan():
        held.put(replay_table(piece, held.read, forgotten=parts.forgotten, config=CONFIG).applied.packed())
    found = held.read([f"u{n}" for n in range(500)])
    assert len(found) == 500
    assert all(isinstance(packed, bytes) and len(packed) < 1_000 for packed in found.values())
    assert held.num_bytes < 500 * 2_000


def test_a_crash_in_the_middle_leaves_a_generation_that_nobody_takes() -> None:
    log, store = Log(), MemoryFeatureStore()
    for seed in range(3):
        log.add(*rows(50, seed=seed))
    stream_of(parts_of(log, store))

    def fails(num_rows: int) -> None:
        raise KeyboardInterrupt

    parts = parts_of(log, store)
    fill(parts, write_time_s=NOW_S)  # an older, whole one must not be mistaken for the new one
    with pytest.raises(KeyboardInterrupt):
        fill(replace(parts, told=fails), write_time_s=NOW_S)
    with pytest.raises(InvalidRequestError, match="mmrec rebuild"):
        back(parts, take_lock=free_lock, waiting=Waiting(NOW_S), wait_s=9)
    assert store.live_generation() == "a"
    check(store, log)
    rebuild(parts, take_lock=free_lock, waiting=Waiting(NOW_S), with_flip=True, wait_s=9)
    assert store.live_generation() == "b"
    check(store, log)


def test_a_running_stream_flips_and_going_back_catches_up_first() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(80, seed=4))
    parts, waiting = parts_of(log, store), Waiting(NOW_S)
    waiting.stream = stream_of(parts)
    done = rebuild(parts, take_lock=held_lock, waiting=waiting, with_flip=True, wait_s=9)
    assert (done.generation, done.flipped_by) == ("b", "the stream")
    log.add(*rows(50, seed=5))
    waiting.stream.recover(starts={}, write_time_s=NOW_S)
    check(store, log)
    done = back(parts, take_lock=held_lock, waiting=waiting, wait_s=9)
    assert store.live_generation() == done.generation == "a"
    assert done.num_rows == 50
    check(store, log)


def test_a_stream_that_does_not_answer_ends_the_wait_and_the_request() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(10, seed=6))
    with pytest.raises(StoreError, match="did not flip"):
        rebuild(parts_of(log, store), take_lock=held_lock, waiting=Waiting(NOW_S), with_flip=True, wait_s=5)
    assert store.requested_flip() is None
    assert store.live_generation() == "a"


def test_a_request_that_cannot_be_met_is_withdrawn_by_the_stream() -> None:
    log, store = Log(), MemoryFeatureStore()
    stream = stream_of(parts_of(log, store))
    store.request_flip("b")
    with pytest.raises(StoreError, match="never filled"):
        stream.answer_flip(write_time_s=NOW_S)
    assert store.requested_flip() is None
    assert stream.answer_flip(write_time_s=NOW_S) is None


def test_who_is_forgotten_after_the_fill_does_not_come_back_with_the_flip() -> None:
    log, store = Log(), MemoryFeatureStore()
    log.add(*rows(60, seed=7))
    log.add(Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0))
    parts = parts_of(log, store)
    fill(parts, write_time_s=NOW_S)
    asked_s = NOW_S + len(log.rows)
    log.add(Row(user_key="u2", item_id="i1", behavior="browse", age_s=0.0))  # known at asked_s: the last that goes
    log.add(Row(user_key="u2", item_id="i2", behavior="browse", age_s=0.0))
    catch_up(parts, "b", write_time_s=NOW_S)
    for key in ("u1", "u2"):
        parts.forgotten.forget(key, known_time_s=asked_s)
    flip(parts, "b", progress=StreamProgress(), write_time_s=NOW_S)
    found = store.read_profiles(["u1", "u2", "~a0"])
    assert found["u2"].item_ids == ("i2",)
    assert "u1" not in found


class UnpackedStore(MemoryFeatureStore):
    """A store that notes which profiles were read unpacked."""

    def __init__(self) -> None:
        super().__init__()
        self.unpacked: list[str] = []

    def read_profiles(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        found = super().read_profiles(user_keys)
        self.unpacked += found
        return found


@pytest.mark.parametrize("portion", [1, 1_000])
def test_who_shared_a_device_that_was_forgotten_since_loses_its_events_though_nothing_else_names_it(
    portion: int,
) -> None:
    forgotten, store = MemoryForgottenUsers(), UnpackedStore()
    log = Log(MemoryEventLog(users=forgotten))
    log.add(
        Row(user_key="u1", item_id="own", behavior="browse", age_s=0.0),
        Row(user_key="~a0", item_id="shared", behavior="browse", age_s=0.0),
        Row(user_key="u1", item_id="~a0", behavior=IDENTIFY, age_s=0.0),
        Row(user_key="u2", item_id="~a0", behavior=IDENTIFY, age_s=0.0),
        Row(user_key="u3", item_id="alone", behavior="browse", age_s=0.0),
    )
    parts = RebuildParts(store=store, log=log.log, forgotten=forgotten, config=CONFIG, portion=portion)
    fill(parts, write_time_s=NOW_S)
    assert set(store.generation("b").read_profiles(["u1"])["u1"].item_ids) == {"own", "shared"}
    for key in ("u2", "~a0"):
        forgotten.forget(key, known_time_s=NOW_S + len(log.rows))
    store.delete_profiles(["u2", "~a0"])  # as the stream does, in all generations
    store.unpacked.clear()
    flip(parts, "b", progress=StreamProgress(), write_time_s=NOW_S)
    assert store.unpacked == []
    found = store.read_profiles(store.user_keys())
    assert {key: (profile.item_ids, profile.merged_from) for key, profile in found.items()} == {
        "u1": (("own",), ()),
        "u3": (("alone",), ()),
    }


def test_whoever_has_more_devices_than_a_profile_names_is_counted_anew_when_somebody_is_forgotten() -> None:
    forgotten, store = MemoryForgottenUsers(), MemoryFeatureStore()
    log = Log(MemoryEventLog(users=forgotten))
    guests = [f"~a{number}" for number in range(MAX_MERGED_FROM + 2)]
    log.add(*(Row(user_key=guest, item_id=f"of{guest}", behavior="browse", age_s=0.0) for guest in guests))
    log.add(*(Row(user_key="u1", item_id=guest, behavior=IDENTIFY, age_s=0.0) for guest in guests))
    parts = RebuildParts(store=store, log=log.log, forgotten=forgotten, config=CONFIG)
    fill(parts, write_time_s=NOW_S)
    assert guests[0] not in store.generation("b").read_profiles(["u1"])["u1"].merged_from
    forgotten.forget(guests[0], known_time_s=NOW_S + len(log.rows))
    store.delete_profiles(guests[:1])
    catch_up(parts, "b", write_time_s=NOW_S)
    items = store.generation("b").read_profiles(["u1"])["u1"].item_ids
    assert set(items) == {f"of{guest}" for guest in guests[1:]}
