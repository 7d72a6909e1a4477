"""Laws of the stream's step: what a crash leaves behind, and what is counted, on stores in memory."""

import json
import random
from collections import defaultdict
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.clock import ManualClock
from mmrec.config import Settings
from mmrec.errors import StoreError
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.log import MemoryEventLog
from mmrec.events.producer import MemoryRecordProducer
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.next_offsets import next_offsets
from mmrec.stream.rows import RecordKind, StreamBatch, StreamTopic, decode_rows, split_rows
from mmrec.stream.step import ScoringStream

NOW_S = 1_760_000_000.0
SETTINGS = Settings(scoring=ScoringConfig(behaviors=Settings().behaviors, max_items=0))
TOPICS = {
    "behavior-events": StreamTopic(
        name="behavior-events", cluster_id="c", topic_id="t", kind=RecordKind.BEHAVIOR_EVENT
    ),
    "served-lists": StreamTopic(name="served-lists", cluster_id="c", topic_id="s", kind=RecordKind.SERVED_LIST),
}


class CrashError(Exception):
    """The process ends here."""


class Deployment:
    """Engines that outlive the process, and records by (topic, partition)."""

    def __init__(self) -> None:
        self.store = MemoryFeatureStore()
        self.log = MemoryEventLog()
        self.producer = MemoryRecordProducer(clock=ManualClock(NOW_S))
        self.records: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
        self.forgotten = MemoryForgottenUsers()
        self.settings = SETTINGS
        self.topics = dict(TOPICS)
        self.crash_before_profiles = False
        self.write_profiles = self.store.write_profiles
        self.store.write_profiles = self._write_profiles

    def _write_profiles(self, profiles, **arguments) -> None:
        if self.crash_before_profiles and arguments.get("progress") is not None:
            raise CrashError
        self.write_profiles(profiles, **arguments)

    def stream(self) -> ScoringStream:
        return ScoringStream(
            store=self.store,
            log=self.log,
            producer=self.producer,
            forgotten=self.forgotten,
            settings=self.settings,
        )

    def start(self) -> ScoringStream:
        self.crash_before_profiles = False
        stream = self.stream()
        places = self.starts(stream).items()
        starts = {Source("c", self.topics[name].topic_id, partition): first for (name, partition), first in places}
        self.recovery = stream.recover(starts=starts, write_time_s=NOW_S)
        return stream

    def make_topic_anew(self, name: str) -> None:
        """Delete a topic with its records; the new one of its name has another id."""
        self.topics[name] = replace(self.topics[name], topic_id=self.topics[name].topic_id + "+")
        self.records = defaultdict(list, {place: found for place, found in self.records.items() if place[0] != name})

    def rows(self, starts: dict[tuple[str, int], int], sizes: dict[tuple[str, int], int]) -> pa.Table:
        """Decoded rows, STREAM_SCHEMA."""
        columns: dict[str, list] = {"topic": [], **{name: [] for name in RAW_SCHEMA.names}}
        for (topic, partition), records in self.records.items():
            start = starts[topic, partition]
            for offset, (key, value) in enumerate(records[start : start + sizes[topic, partition]], start=start):
                row = (topic, key, value, partition, offset, NOW_S + offset)
                for name, cell in zip(columns, row, strict=True):
                    columns[name].append(cell)
        schema = pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA])
        raw = pa.table(columns, schema=schema)
        settings = self.settings
        return decode_rows(raw, self.topics, behaviors=settings.behaviors, settings=settings.events)

    def batch(self, starts: dict[tuple[str, int], int], sizes: dict[tuple[str, int], int]) -> StreamBatch:
        return split_rows(self.rows(starts, sizes), self.topics)

    def starts(self, stream: ScoringStream) -> dict[tuple[str, int], int]:
        names = {topic.topic_id: name for name, topic in self.topics.items()}
        known = {s: mark for s, mark in stream.progress.marks.items() if s.topic_id in names}
        marks = {(names[s.topic_id], s.partition): mark for s, mark in known.items()}
        return {place: marks.get(place, -1) + 1 for place in self.records}


def event(number: int, user: str, *, item: str = "i1", age_s: float = 0.0) -> tuple[bytes, bytes]:
    value = {"event_id": f"e{number}", "user_id": user, "item_id": item, "behavior": "cart"}
    if age_s:
        from datetime import UTC, datetime

        value["event_time"] = datetime.fromtimestamp(NOW_S - age_s, UTC).isoformat().replace("+00:00", "Z")
    return user.encode(), json.dumps(value).encode()


def finish(deployment: Deployment, shuffle: random.Random, *, crash_share: float) -> ScoringStream:
    """Process everything, in batches of any size, with crashes between log and profiles."""
    stream = deployment.start()
    for _ in range(10_000):
        starts = deployment.starts(stream)
        left = {place: len(deployment.records[place]) - start for place, start in starts.items()}
        if not any(left.values()):
            return stream
        sizes = {place: shuffle.randint(0, number) for place, number in left.items()}
        deployment.crash_before_profiles = shuffle.random() < crash_share
        try:
            stream.process(deployment.batch(starts, sizes), write_time_s=NOW_S)
        except CrashError:
            stream = deployment.start()
    raise AssertionError("does not come to an end")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), crash_share=st.sampled_from([0.0, 0.5]))
def test_crashes_between_log_and_profiles_change_no_number(seed: int, crash_share: float) -> None:
    shuffle = random.Random(seed)
    deployment = Deployment()
    sent = [event(n, f"u{shuffle.randrange(3)}", item=f"i{n % 4}", age_s=float(n * 1000 + 1)) for n in range(25)]
    stream_of = sent + shuffle.sample(sent, 8)
    shuffle.shuffle(stream_of)
    for record in stream_of:
        # The same user in two partitions, as after a topic was given more of them.
        deployment.records["behavior-events", shuffle.randrange(2)].append(record)
    deployment.records["behavior-events", 0] += [(b"u1", b"{"), (b"u1", b"[]")]
    stream = finish(deployment, shuffle, crash_share=crash_share)
    counts = stream.progress.counts
    assert counts.verdicts == {Verdict.ACCEPTED: 25, Verdict.DUPLICATE: 8}
    assert counts.num_rejected == 2
    assert deployment.log.read().num_rows == 25
    ledger = []
    for _, value in sent:
        fields = json.loads(value)
        number = int(fields["event_id"][1:])
        ledger.append(
            LedgerEvent(
                event_id=fields["event_id"],
                user_key=fields["user_id"],
                item_id=fields["item_id"],
                behavior="cart",
                event_time_s=NOW_S - float(number * 1000 + 1),
            )
        )
    expected = plain_sum(ledger, behaviors=SETTINGS.behaviors, decay_per_day=0.05, as_of_s=NOW_S + 10)
    for user, profile in deployment.store.read_profiles(["u0", "u1", "u2"]).items():
        mine = {item: score for (owner, item), score in expected.items() if owner == user}
        errors = relative_errors(profile, mine, behaviors=SETTINGS.behaviors, decay_per_day=0.05, as_of_s=NOW_S + 10)
        assert max(errors.values()) < 1e-12


def test_a_lost_store_is_filled_from_the_log_and_counts_stay_true() -> None:
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [event(n % 6, "ann") for n in range(8)]
    finish(deployment, random.Random(1), crash_share=0.0)
    old = deployment.store.read_profiles(["ann"])["ann"]
    fresh = MemoryFeatureStore()
    deployment.store, deployment.write_profiles = fresh, fresh.write_profiles
    stream = finish(deployment, random.Random(2), crash_share=0.0)
    new = fresh.read_profiles(["ann"])["ann"]
    assert new.counts_IHB == pytest.approx(old.counts_IHB, rel=1e-12)
    assert stream.progress.counts.document() == {"accepted": 6, "duplicate": 2}


def test_served_lists_reach_the_log_once_and_broken_ones_are_counted() -> None:
    deployment = Deployment()
    served = {"request_id": "r1", "user_id": "ann", "items": [{"item_id": "i1", "rank": 1}]}
    deployment.records["served-lists", 0] = [(b"ann", json.dumps(served).encode()), (b"ann", b"{")]
    stream = deployment.start()
    batch = deployment.batch({("served-lists", 0): 0}, {("served-lists", 0): 2})
    stream.process(batch, write_time_s=NOW_S)
    stream.process(batch, write_time_s=NOW_S)
    assert deployment.log.read_served()["request_id"].to_pylist() == ["r1"]
    assert stream.progress.counts.document() == {"served_lists": 1, "malformed_served_lists": 1}


def test_fields_that_are_not_known_are_counted_once() -> None:
    deployment = Deployment()
    key, value = event(1, "ann")
    deployment.records["behavior-events", 0] = [(key, value[:-1] + b', "mood": 1, "weather": 2}'), event(2, "ann")]
    stream = deployment.start()
    batch = deployment.batch({("behavior-events", 0): 0}, {("behavior-events", 0): 2})
    for _ in range(2):
        stream.process(batch, write_time_s=NOW_S)
    assert stream.progress.counts.document() == {"accepted": 2, "unknown_fields": 2}


def test_a_topic_made_anew_after_a_crash_counts_what_the_old_one_left_in_the_log() -> None:
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [event(n, "ann") for n in range(3)]
    stream = deployment.start()
    deployment.crash_before_profiles = True
    with pytest.raises(CrashError):
        stream.process(deployment.batch({("behavior-events", 0): 0}, {("behavior-events", 0): 3}), write_time_s=NOW_S)
    deployment.make_topic_anew("behavior-events")
    deployment.records["behavior-events", 0] = [event(9, "ann")]
    stream = finish(deployment, random.Random(3), crash_share=0.0)
    assert stream.progress.counts.document() == {"accepted": 4}
    assert stream.progress.log_sequence == deployment.log.sequence() == 2
    again = deployment.start()
    assert again.progress == stream.progress
    assert deployment.recovery.num_applied == 0


def test_a_lost_store_counts_what_the_broker_no_longer_has() -> None:
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [event(n, "ann") for n in range(5)]
    finish(deployment, random.Random(1), crash_share=0.0)
    deployment.store = MemoryFeatureStore()
    stream = deployment.stream()
    recovery = stream.recover(starts={Source("c", "t", 0): 3}, write_time_s=NOW_S)
    assert recovery.num_applied == 5
    assert stream.progress.counts.document() == {"accepted": 3}
    stream.process(deployment.batch({("behavior-events", 0): 3}, {("behavior-events", 0): 2}), write_time_s=NOW_S)
    assert stream.progress.counts.document() == {"accepted": 5}
    assert stream.progress.log_sequence == deployment.log.sequence()


def test_logged_events_of_a_behavior_that_was_dropped_are_left_out_and_counted() -> None:
    deployment = Deployment()
    _, other = event(2, "ann")
    deployment.records["behavior-events", 0] = [event(1, "ann"), (b"ann", other.replace(b'"cart"', b'"browse"'))]
    finish(deployment, random.Random(1), crash_share=0.0)
    fresh = MemoryFeatureStore()
    deployment.store, deployment.write_profiles = fresh, fresh.write_profiles
    deployment.make_topic_anew("behavior-events")
    behaviors = BehaviorSet(tuple(b for b in SETTINGS.behaviors if b.name != "browse"))
    deployment.settings = replace(SETTINGS, scoring=replace(SETTINGS.scoring, behaviors=behaviors))
    stream = deployment.start()
    assert (deployment.recovery.num_applied, deployment.recovery.num_left_out) == (1, 1)
    assert stream.progress.counts.document() == {"accepted": 1, "not_configured": 1}
    assert fresh.read_profiles(["ann"])["ann"].num_events == 1


def test_a_long_record_is_refused_by_its_beginning_and_says_so() -> None:
    topic = TOPICS["behavior-events"]
    value = (b" " * 200_000 + event(1, "ann")[1])[: topic.max_bytes(SETTINGS.events)]
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [(b"ann", value)]
    stream = finish(deployment, random.Random(1), crash_share=0.0)
    assert stream.progress.counts.document() == {"rejected.too_large": 1}
    (record,) = deployment.producer.records(SETTINGS.kafka.rejected)
    assert json.loads(record.value)["detail"].endswith("its beginning is kept")


def test_a_broker_that_ends_before_a_mark_is_refused_with_both_numbers() -> None:
    source, other = Source("c", "t", 0), Source("c", "t", 1)
    assert next_offsets({source: (2, 9), other: (0, 4)}, {source: 8}) == ({source: 9, other: 0}, 0)
    assert next_offsets({source: (5, 9)}, {source: 1}) == ({source: 5}, 3)
    with pytest.raises(StoreError, match="read to offset 9 and ends at 7"):
        next_offsets({source: (0, 7)}, {source: 8})


def test_refused_records_are_sent_once() -> None:
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [(b"ann", b"{"), event(1, "ann")]
    stream = deployment.start()
    batch = deployment.batch({("behavior-events", 0): 0}, {("behavior-events", 0): 2})
    for _ in range(2):
        stream.process(batch, write_time_s=NOW_S)
    refused = deployment.producer.records(SETTINGS.kafka.rejected)
    assert [json.loads(record.value)["reason"] for record in refused] == ["malformed_json"]
