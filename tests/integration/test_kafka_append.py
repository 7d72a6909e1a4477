"""Many records by the short way, on a real broker: the same partitions, a sender that rests while it cannot send."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmrec.config import KafkaSettings
from mmrec.errors import StoreError
from mmrec.events.producer import RecordPlace
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.errors import MAX_RECORD_BYTES
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.readers import read_topic

pytestmark = pytest.mark.integration
Outcome = RecordPlace | StoreError


class Outcomes:
    """What became of records, by position."""

    def __init__(self, number: int) -> None:
        self.found: dict[int, Outcome] = {}
        self._number, self._all = number, threading.Event()

    def settled(self, index: int, outcome: Outcome) -> None:
        assert index not in self.found
        self.found[index] = outcome
        if len(self.found) == self._number:
            self._all.set()

    def wait(self) -> dict[int, Outcome]:
        assert self._all.wait(60)
        return self.found


def test_records_go_where_single_ones_go_and_keep_their_order(topics: Callable[..., KafkaSettings]) -> None:
    settings = topics(num_partitions=3)
    producer = KafkaRecordProducer(settings.bootstrap, max_requests=1)
    records = [(f"u{n % 50}".encode(), str(n).encode()) for n in range(4_000)]
    outcomes = Outcomes(len(records))
    for start in range(0, len(records), 40):
        producer.send_each(
            settings.behavior_events,
            records[start : start + 40],
            lambda at, outcome, start=start: outcomes.settled(start + at, outcome),
        )
    found = outcomes.wait()
    single = {key: producer.send(settings.behavior_events, key, b"single").result(30) for key, _ in records[:50]}
    producer.close()
    at = {(r.partition, r.offset): r for r in read_topic(settings.bootstrap, settings.behavior_events)}
    last = dict.fromkeys(range(3), -1)
    for index, (key, value) in enumerate(records):
        place = found[index]
        assert isinstance(place, RecordPlace)
        assert (at[place.partition, place.offset].key, at[place.partition, place.offset].value) == (key, value)
        assert place.partition == single[key].partition
        assert place.offset > last[place.partition]
        last[place.partition] = place.offset


def test_a_record_that_is_too_large_fails_alone(topics: Callable[..., KafkaSettings]) -> None:
    settings = topics()
    producer = KafkaRecordProducer(settings.bootstrap)
    outcomes = Outcomes(3)
    records = [(b"k", b"a"), (b"k", bytes(MAX_RECORD_BYTES)), (b"k", b"b")]
    producer.send_each(settings.catalog_items, records, outcomes.settled)
    found = outcomes.wait()
    producer.close()
    assert [isinstance(found[n], RecordPlace) for n in range(3)] == [True, False, True]
    values = [r.value for r in read_topic(settings.bootstrap, settings.catalog_items)]
    assert values == [b"a", b"b"]


def test_a_topic_that_is_not_there_fails_every_record(kafka: str) -> None:
    producer = KafkaRecordProducer(kafka, delivery_timeout_s=2.0)
    outcomes = Outcomes(2)
    producer.send_each("no-such-topic", [(b"k", b"a"), (b"k", b"b")], outcomes.settled)
    found = outcomes.wait()
    producer.close()
    for outcome in found.values():
        assert isinstance(outcome, StoreError)
        assert "no-such-topic" in str(outcome)


def test_while_a_request_is_under_way_the_sender_rests_and_then_goes_on(new_broker: Callable[[], Any]) -> None:
    broker = new_broker()
    broker.start()
    settings = replace(KafkaSettings(), bootstrap=broker.bootstrap)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(settings)
    producer = KafkaRecordProducer(broker.bootstrap, max_requests=1)
    producer.learn_topics([settings.behavior_events])
    records = [(f"u{n}".encode(), b"v") for n in range(40)]
    outcomes = Outcomes(1 + len(records))
    first = threading.Event()
    producer.send_each(settings.behavior_events, records[:1], lambda *_: first.set())
    assert first.wait(30)
    sender, looks = producer._producer._sender, 0
    look = sender._send_producer_data

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return look()

    sender._send_producer_data = counted
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        producer.send_each(settings.behavior_events, records[:1], lambda _, o: outcomes.settled(40, o))
        threading.Event().wait(0.5)  # it is on its way, and the other partition's records wait
        for index in range(len(records)):
            producer.send_each(
                settings.behavior_events,
                [records[index]],
                lambda _, outcome, index=index: outcomes.settled(index, outcome),
            )
        threading.Event().wait(1.0)
        assert looks < 20  # spinning, it looks thousands of times
        assert outcomes.found == {}
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert all(isinstance(outcome, RecordPlace) for outcome in outcomes.wait().values())
    producer.close()
