"""What every RecordProducer promises, in memory and on a real broker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mmrec.clock import ManualClock
from mmrec.config import KafkaSettings
from mmrec.events.producer import MemoryRecordProducer, RecordProducer, TopicRecord


@dataclass(frozen=True)
class Broker:
    producer: RecordProducer
    topic: str
    records: Callable[[], list[TopicRecord]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "memory":
        memory = MemoryRecordProducer(clock=ManualClock(1_767_225_600.25))
        yield Broker(memory, "t", lambda: memory.records("t"))
        return
    from mmrec.stores.kafka.producer import KafkaRecordProducer
    from mmrec.stores.kafka.readers import read_topic

    settings: KafkaSettings = request.getfixturevalue("topics")()
    producer = KafkaRecordProducer(settings.bootstrap)
    topic = settings.behavior_events
    yield Broker(producer, topic, lambda: list(read_topic(settings.bootstrap, topic)))
    producer.close()


def test_a_sent_record_stands_where_the_future_says(broker: Broker) -> None:
    futures = [broker.producer.send(broker.topic, f"u{n % 3}".encode(), f"v{n}".encode()) for n in range(30)]
    broker.producer.flush()
    at = {(r.partition, r.offset): r for r in broker.records()}
    assert len(at) == 30
    for n, future in enumerate(futures):
        place = future.result(timeout=30)
        record = at[place.partition, place.offset]
        assert (record.key, record.value) == (f"u{n % 3}".encode(), f"v{n}".encode())
        assert place.ingest_time_s == pytest.approx(record.timestamp_s, abs=1e-3)


def test_records_of_one_key_keep_their_order_and_partition(broker: Broker) -> None:
    assert broker.producer.send_many(broker.topic, [(b"u", str(n).encode()) for n in range(200)]) == 200
    records = broker.records()
    assert [int(r.value or b"") for r in records] == list(range(200))
    assert len({r.partition for r in records}) == 1
    assert [r.offset for r in records] == list(range(200))


def test_bytes_come_back_as_they_were_and_none_stays_none(broker: Broker) -> None:
    broker.producer.send_many(broker.topic, [(b"\x00\xff", b"\xfe{"), (b"\x00\xff", None), (b"\x00\xff", b"")])
    assert [(r.key, r.value) for r in broker.records()] == [
        (b"\x00\xff", b"\xfe{"),
        (b"\x00\xff", None),
        (b"\x00\xff", b""),
    ]
