"""Laws of the stream's step: what a crash leaves behind, and what is counted, on stores in memory."""

import json
import random
from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.clock import ManualClock
from mmrec.config import Settings
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.log import MemoryEventLog
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.stream_rows import RecordKind, StreamBatch, StreamTopic, decode_rows, split_rows
from mmrec.features.stores import MemoryFeatureStore
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.scoring.settings import ScoringConfig
from mmrec.stream import ScoringStream

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
        self.crash_before_profiles = False
        self.write_profiles = self.store.write_profiles
        self.store.write_profiles = self._write_profiles

    def _write_profiles(self, profiles, **arguments) -> None:
        if self.crash_before_profiles and arguments.get("progress") is not None:
            raise CrashError
        self.write_profiles(profiles, **arguments)

    def start(self) -> ScoringStream:
        stream = ScoringStream(store=self.store, log=self.log, producer=self.producer, settings=SETTINGS)
        stream.recover(write_time_s=NOW_S)
        return stream

    def batch(self, starts: dict[tuple[str, int], int], sizes: dict[tuple[str, int], int]) -> StreamBatch:
        columns: dict[str, list] = {"topic": [], **{name: [] for name in RAW_SCHEMA.names}}
        for (topic, partition), records in self.records.items():
            start = starts[topic, partition]
            for offset, (key, value) in enumerate(records[start : start + sizes[topic, partition]], start=start):
                row = (topic, key, value, partition, offset, NOW_S + offset)
                for name, cell in zip(columns, row, strict=True):
                    columns[name].append(cell)
        schema = pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA])
        raw = pa.table(columns, schema=schema)
        return split_rows(decode_rows(raw, TOPICS, behaviors=SETTINGS.behaviors, settings=SETTINGS.events), TOPICS)

    def starts(self, stream: ScoringStream) -> dict[tuple[str, int], int]:
        marks = {(TOPICS_BY_ID[s.topic_id], s.partition): m for s, m in stream.progress.marks.items()}
        return {place: marks.get(place, -1) + 1 for place in self.records}


TOPICS_BY_ID = {topic.topic_id: name for name, topic in TOPICS.items()}


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
    assert counts["accepted"] == 25
    assert counts["duplicate"] == 8
    assert sum(number for name, number in counts.items() if name.startswith("rejected.")) == 2
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
    assert stream.progress.counts == {"accepted": 6, "duplicate": 2}


def test_served_lists_reach_the_log_once_and_broken_ones_are_counted() -> None:
    deployment = Deployment()
    served = {"request_id": "r1", "user_id": "ann", "items": [{"item_id": "i1", "rank": 1}]}
    deployment.records["served-lists", 0] = [(b"ann", json.dumps(served).encode()), (b"ann", b"{")]
    stream = deployment.start()
    batch = deployment.batch({("served-lists", 0): 0}, {("served-lists", 0): 2})
    stream.process(batch, write_time_s=NOW_S)
    stream.process(batch, write_time_s=NOW_S)
    assert deployment.log.read_served()["request_id"].to_pylist() == ["r1"]
    assert stream.progress.counts["served_lists"] == 1
    assert stream.progress.counts["malformed_served_lists"] >= 1


def test_refused_records_are_sent_once() -> None:
    deployment = Deployment()
    deployment.records["behavior-events", 0] = [(b"ann", b"{"), event(1, "ann")]
    stream = deployment.start()
    batch = deployment.batch({("behavior-events", 0): 0}, {("behavior-events", 0): 2})
    for _ in range(2):
        stream.process(batch, write_time_s=NOW_S)
    refused = deployment.producer.records(SETTINGS.kafka.rejected)
    assert [json.loads(record.value)["reason"] for record in refused] == ["malformed_json"]
