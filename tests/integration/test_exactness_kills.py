"""kill -9 of a stream's parts: nothing that was acknowledged is lost, nothing is counted twice."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mmrec.config import KafkaSettings
from mmrec.programs.patience import when_it_answers
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.stream_topics import begin_reading
from services.stack.kafka_broker import KafkaBroker
from tests.benchmarks.chaos_stream_run import QUICK, Plan, run

pytestmark = pytest.mark.integration


SQLITE, REDIS = (
    # A Redis that goes back ends the driver, too; broker, collector and worker know nothing of the store.
    replace(plan, kills={"older store": 1} if plan.store == "redis" else plan.kills)
    for plan in QUICK
)


@pytest.mark.parametrize("plan", [SQLITE, pytest.param(REDIS, marks=pytest.mark.long)], ids=lambda plan: plan.store)
def test_one_kill_of_each_part_loses_nothing_and_counts_nothing_twice(plan: Plan, tmp_path: Path) -> None:
    said: list[str] = []
    outcome = run(plan, tmp_path / "chaos", say=said.append)
    assert (outcome.lost, outcome.wrong_profiles) == (0, 0), said
    assert {kind: kills.done for kind, kills in outcome.kills.items()} == plan.kills, said
    assert outcome.counts["accepted"] == outcome.acknowledged
    assert outcome.counts["duplicate"] > 0


def test_a_producer_outlives_records_that_expired_while_the_broker_was_away(
    new_broker: Callable[[], KafkaBroker],
) -> None:
    broker = new_broker()
    broker.start()
    settings = KafkaSettings(bootstrap=broker.bootstrap)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(settings)
    producer = KafkaRecordProducer(broker.bootstrap, delivery_timeout_s=2.0)
    topic = settings.behavior_events
    producer.learn_topics([topic])
    producer.send(topic, b"u", b"before").result(30)
    under_way = [producer.send(topic, str(n).encode(), b"x" * 1_000) for n in range(5_000)]
    broker.kill()  # some of them may have reached it, and nobody knows which
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(when_it_answers, partial(begin_reading, settings, {}))
        time.sleep(3.0)  # longer than they may wait
        assert not reading.done()  # a stream that starts now waits, too
        broker.start()
        assert set(reading.result(60).topics) == {topic, settings.served_lists}
    for future in under_way:
        future.exception(60)  # each is answered, the one way or the other
    deadline = time.monotonic() + 60
    while (failure := producer.send(topic, b"u", b"after").exception(30)) is not None:
        assert time.monotonic() < deadline, failure
    producer.close()
