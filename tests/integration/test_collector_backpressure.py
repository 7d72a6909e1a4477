"""A broker that stands still: what is under way stays bounded, nothing is acknowledged that Kafka does not have."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from typing import Any

import pytest

from mmrec.collecting.collect import EventCollector
from mmrec.config import EventSettings, KafkaSettings
from mmrec.scoring.behaviors import shop_behaviors
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.readers import read_topic
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome

pytestmark = pytest.mark.integration
BOUND = 500


def test_a_paused_broker_bounds_what_is_under_way_and_goes_on_afterwards(new_broker: Callable[[], Any]) -> None:
    broker = new_broker()
    broker.start()
    kafka = replace(KafkaSettings(), bootstrap=broker.bootstrap)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(kafka)
    producer = KafkaRecordProducer(broker.bootstrap, delivery_timeout_s=30.0, max_requests=1)
    producer.learn_topics([kafka.behavior_events, kafka.rejected])
    collector = EventCollector(
        producer, topics=kafka, events=EventSettings(), behaviors=shop_behaviors(), max_in_flight=BOUND
    )

    def send(name: str, number: int) -> Any:
        events = [
            BehaviorEvent(event_id=f"{name}-{n}", user_id=f"u{n % 9}", item_id="i", behavior="cart")
            for n in range(number)
        ]
        return collector.record(events, now_s=time.time())

    answers = [send("before", 100)]
    assert {status.outcome for status in answers[0].result(30)} == {EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED}
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for number in range(30):
            answers.append(send(f"paused{number}", 100))
            assert collector.in_flight <= BOUND
        time.sleep(1.0)
        undecided = [answer for answer in answers if not answer.done()]
        assert len(undecided) >= 4  # nobody has them, so nobody says so
        assert Counter(s.reason for a in answers if a.done() for s in a.result())["overloaded"] >= 3_000 - BOUND - 100
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    wait(answers, timeout=60)
    assert send("after", 100).result(60)[-1].outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
    producer.close()
    collector.close()
    statuses = [status for answer in answers for status in answer.result(0)]
    acknowledged = {
        (s.partition, s.offset): s.event_id for s in statuses if s.outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
    }
    records = {(r.partition, r.offset): r.value or b"" for r in read_topic(broker.bootstrap, kafka.behavior_events)}
    assert len(acknowledged) >= BOUND
    for place, event_id in acknowledged.items():
        assert f'"event_id":"{event_id}"'.encode() in records[place]
    assert collector.in_flight == 0
