"""A batch that is damaged on a broker's disk, and batches of every codec: what can be read is read."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka as kafka_python
import pytest

from feature_repo.apply import apply_repository
from mmrec.config import KafkaSettings
from mmrec.events.topics import SkippedBatches
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.readers import follow_topic, read_topic
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.wiring import open_event_log
from services.stack.kafka_broker import KafkaBroker
from tests.stream_process import StreamProcess

pytestmark = pytest.mark.integration
CODECS = (None, "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A broker each of whose topics holds "before", a broken batch with two records, and "after"."""

    kafka: KafkaSettings
    topics: tuple[str, ...]


def send_batches(bootstrap: str, topic: str, batches: list[list[bytes]], *, codec: str | None = None) -> None:
    """Each list as one batch."""
    with closing(
        kafka_python.KafkaProducer(bootstrap_servers=bootstrap, linger_ms=200, compression_type=codec)
    ) as producer:
        for values in batches:
            for value in values:
                producer.send(topic, value, b"k")
            producer.flush()


def damage(broker: KafkaBroker, topic: str) -> None:
    """Change the last byte of the second batch of a topic's first partition, as it lies on the disk."""
    (segment,) = (broker.folder / "data" / f"{topic}-0").glob("*.log")
    held, at = bytearray(segment.read_bytes()), 0
    for _ in range(2):
        at += 12 + int.from_bytes(held[at + 8 : at + 12], "big")
    held[at - 1] ^= 0xFF
    Path(segment).write_bytes(held)


@pytest.fixture(scope="module")
def damaged(new_broker: Callable[[], KafkaBroker]) -> Damaged:
    broker = new_broker()
    broker.start()
    kafka = KafkaSettings(bootstrap=broker.bootstrap, num_partitions=1)
    topics = (kafka.behavior_events, kafka.catalog_items, kafka.item_embeddings, kafka.served_lists, kafka.rejected)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(kafka)
    for topic, codec in zip(topics, CODECS, strict=True):
        send_batches(broker.bootstrap, topic, [[b"before"], [b"lost", b"too"], [b"after"]], codec=codec)
    broker.stop()
    for topic in topics:
        damage(broker, topic)
    broker.start()
    return Damaged(kafka=kafka, topics=topics)


def test_what_stands_around_a_damaged_batch_is_read(damaged: Damaged) -> None:
    bootstrap, skipped = damaged.kafka.bootstrap, SkippedBatches()
    for topic in damaged.topics:
        assert [(r.offset, r.value) for r in read_topic(bootstrap, topic, skipped=skipped)] == [
            (0, b"before"),
            (3, b"after"),
        ]
        assert end_offsets(bootstrap, topic) == {0: 4}
    assert skipped.by_topic() == dict.fromkeys(damaged.topics, 1)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_a_follower_comes_past_a_damaged_batch_wherever_it_begins(damaged: Damaged, start: int) -> None:
    skipped, seen = SkippedBatches(), list[bytes | None]()
    for records in follow_topic(
        damaged.kafka.bootstrap,
        damaged.kafka.catalog_items,
        start={0: start},
        stop=lambda: b"after" in seen,
        skipped=skipped,
    ):
        seen.extend(r.value for r in records)
    assert seen == ([b"before", b"after"] if start == 0 else [b"after"])
    assert skipped.num_batches == (1 if start < 3 else 0)


@pytest.mark.parametrize("codec", CODECS)
def test_batches_of_every_codec_are_read_from_a_broker(topics: Callable[..., KafkaSettings], codec: str | None) -> None:
    settings = topics(num_partitions=1)
    values = [b"%d" % number * 50 for number in range(200)]
    for topic in (settings.catalog_items, settings.behavior_events):
        send_batches(settings.bootstrap, topic, [values], codec=codec)
        assert [r.value for r in read_topic(settings.bootstrap, topic)] == values


@pytest.mark.long
def test_the_stream_counts_what_stands_around_a_damaged_batch_once_it_is_started_again(
    new_broker: Callable[[], KafkaBroker], settings: Callable[..., Any], java_variables: dict[str, str]
) -> None:
    deployment = settings(kafka=False)
    broker = new_broker()
    broker.start()
    text = deployment.config.read_text() + f'\n[kafka]\nbootstrap = "{broker.bootstrap}"\nnum_partitions = 1\n'
    deployment.config.write_text(text)
    stream = StreamProcess(deployment.config, java_variables)
    kafka = stream.settings.kafka
    apply_repository(stream.settings.stores, stream.settings.scoring.decay_per_day)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(kafka)
    batches = [[event("before")], [event("lost"), event("too")], [event("after")]]
    send_batches(broker.bootstrap, kafka.behavior_events, batches, codec="snappy")
    broker.stop()
    damage(broker, kafka.behavior_events)
    broker.start()
    try:
        stream.start()
        assert stream.ended() == 1
        assert f"topic {kafka.behavior_events}, partition 0, offsets 1 to 2" in stream.log
        stream.start()
        stream.wait_drained()
        progress = stream.store.read_progress()
        assert progress is not None
        assert progress.counts.document() == {"accepted": 2, "skipped_batches": 1}
        logged = open_event_log(stream.settings).read(columns=["event_id"])["event_id"].to_pylist()
        assert sorted(logged) == ["after", "before"]
    finally:
        stream.stop()


def event(name: str) -> bytes:
    """A browse of one user."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"event_id": name, "user_id": "k", "item_id": "i", "behavior": "browse", "event_time": now}
    return json.dumps(document).encode()
