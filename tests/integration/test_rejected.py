"""On a real broker: what is refused is told by reason, and after a fix the fixable events count, each once."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmrec.cli.main import main
from mmrec.config import Settings, load_settings
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.forgotten import MemoryForgottenUsers
from mmrec.events.log import MemoryEventLog
from mmrec.features.stores import MemoryFeatureStore
from mmrec.operating.readings import parse_metrics
from mmrec.stores.kafka.readers import read_topic
from mmrec.stores.kafka.stream_topics import stream_topics
from mmrec.stores.kafka.topic_ends import source_ends
from mmrec.stream.metrics import WHOLE, StreamMetrics
from mmrec.stream.rows import decode_rows, split_rows
from mmrec.stream.step import ScoringStream
from mmrec.telemetry.metrics import Metrics
from mmrec.wiring import open_producer

pytestmark = pytest.mark.integration
KNOWN = """
[[behaviors]]
name = "browse"
behavior_id = 1
weight = 1.0

[[behaviors]]
name = "stare"
behavior_id = 9
weight = 2.0
"""


class Stream:
    """The scoring stream over real topics, without Spark and with stores in memory."""

    def __init__(self, settings: Settings) -> None:
        self._producer = open_producer(settings)
        self.topics = stream_topics(settings.kafka)
        self.store, self.log, self.forgotten = MemoryFeatureStore(), MemoryEventLog(), MemoryForgottenUsers()
        self.metrics = Metrics("score_stream")
        self._watch = StreamMetrics(self.metrics, late_s=3_600.0)

    def send(self, settings: Settings, records: list[tuple[bytes, bytes]]) -> None:
        self._producer.send_many(settings.kafka.behavior_events, records)

    def run(self, settings: Settings) -> dict[str, int]:
        """Process what the topic holds beyond the progress, as a start with these settings would; counts so far."""
        stream = ScoringStream(
            store=self.store, log=self.log, producer=self._producer, forgotten=self.forgotten, settings=settings
        )
        kafka = settings.kafka
        records = list(read_topic(kafka.bootstrap, kafka.behavior_events))
        columns = [
            [kafka.behavior_events] * len(records),
            *([getattr(r, name) for r in records] for name in ("key", "value", "partition", "offset", "timestamp_s")),
        ]
        raw = pa.table(columns, schema=pa.schema([pa.field("topic", pa.string()), *RAW_SCHEMA]))
        rows = decode_rows(raw, self.topics, behaviors=settings.behaviors, settings=settings.events)
        batch = split_rows(rows, self.topics)
        done = stream.process(batch, write_time_s=time.time())
        self._watch.observe(
            batch,
            num_records=done.num_records,
            num_profiles=done.num_profiles,
            phases_s={WHOLE: 0.1},
            progress=stream.progress,
            now_s=time.time(),
        )
        ends = source_ends(kafka.bootstrap, self.topics.values())
        names = {topic.topic_id: name for name, topic in self.topics.items()}
        self._watch.lag(ends, names, stream.progress, now_s=time.time())
        return stream.progress.counts.document()

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def deployment(settings: Callable[..., Any]) -> Iterator[tuple[Stream, Settings, Path]]:
    made = settings(kafka=True, extra="[scoring]\ncap_events = 3\ncap_window_s = 1e9\n")
    stream = Stream(made.settings)
    yield stream, made.settings, made.config
    stream.close()


def event(user: str, number: int, behavior: str) -> tuple[bytes, bytes]:
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": f"i{number}", "behavior": behavior}
    return user.encode(), json.dumps(fields).encode()


def test_after_a_fix_what_can_be_taken_counts_once(
    deployment: tuple[Stream, Settings, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    stream, settings, config = deployment

    def rejected(path: Path, *options: str) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["events", "rejected", "--config", str(path), "--json", *options])
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return json.loads(said.out)

    busy = [event("ann", number, "browse") for number in range(5)]  # two above the cap
    stared = [event("bob", number, "stare") for number in range(2)]
    stream.send(settings, [*busy, *stared, (b"bob", b"{no json"), (b"eve", b"\xff")])
    counts = stream.run(settings)
    assert (counts["accepted"], counts["capped"]) == (3, 2)

    groups = {g["reason"]: g for g in rejected(config)["groups"]}
    assert {reason: g["num_records"] for reason, g in groups.items()} == {
        "malformed_json": 2,
        "rate_capped": 2,
        "unknown_behavior": 2,
    }
    assert groups["unknown_behavior"]["num_refused"] == groups["malformed_json"]["num_refused"] == 2
    assert groups["rate_capped"]["num_sendable"] == 2
    (shown, _) = rejected(config, "--show", "malformed_json")
    assert (shown["cluster_id"], shown["fate"]) == (next(iter(stream.topics.values())).cluster_id, "refused")

    fixed = config.with_name("fixed.toml")
    fixed.write_text(config.read_text() + KNOWN)
    assert rejected(fixed, "--resubmit", "--yes") == {"num_sent": 4}
    assert rejected(fixed, "--resubmit", "--yes") == {"num_sent": 0}
    counts = stream.run(load_settings(fixed))
    assert (counts["accepted"], counts["capped"], counts.get("duplicate", 0)) == (7, 2, 0)
    profiles = stream.store.read_profiles(["ann", "bob"])
    assert (profiles["ann"].num_events, profiles["bob"].num_events) == (5, 2)

    assert rejected(fixed, "--resubmit", "--yes") == {"num_sent": 0}
    assert stream.run(load_settings(fixed)) == counts
    after = {g["reason"]: g["num_sent"] for g in rejected(fixed)["groups"]}
    assert after == {"malformed_json": 0, "rate_capped": 2, "unknown_behavior": 2}

    found = parse_metrics(stream.metrics.exposition().decode())
    assert found.total("mmrec_events_total", verdict="accepted") == 7
    assert found.total("mmrec_events_total", verdict="rejected", reason="malformed_json") == 2
    assert found.total("mmrec_stream_lag_records") == 0
