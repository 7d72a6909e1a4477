"""Transactions of Kafka in the scoring stream: each committed event counts once, no other ever, and nothing lags."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import kafka as kafka_python
import pytest

from feature_repo.apply import apply_repository
from mmrec.wiring import open_event_log
from tests.stream_process import StreamProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def stream(settings: Callable[..., Any], java_variables: dict[str, str]) -> Iterator[StreamProcess]:
    deployment = settings(kafka=True)
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    process = StreamProcess(deployment.config, java_variables)
    yield process
    process.stop()


def event(name: str) -> tuple[bytes, bytes]:
    """Key and value of a purchase of one user."""
    document = {"event_id": name, "user_id": "u1", "item_id": f"i-{name}", "behavior": "purchase"}
    stamped = {**document, "event_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    return b"u1", json.dumps(stamped).encode()


def test_each_committed_event_counts_once_and_no_other(stream: StreamProcess) -> None:
    kafka = stream.settings.kafka
    servers = {"bootstrap_servers": kafka.bootstrap}
    with (
        closing(kafka_python.KafkaProducer(**servers, transactional_id="a")) as producer,
        closing(kafka_python.KafkaProducer(**servers)) as other,
    ):
        producer.init_transactions()

        def send(by: Any, *names: str) -> None:
            for name in names:
                key, value = event(name)
                by.send(kafka.behavior_events, value, key)
            by.flush()

        def num_seen() -> int:
            progress = stream.store.read_progress()
            return sum(progress.counts.document().values()) if progress else 0

        def logged() -> Counter[str]:
            return Counter(open_event_log(stream.settings).read(columns=["event_id"])["event_id"].to_pylist())

        stream.start()
        producer.begin_transaction()
        send(producer, "aborted-1")
        producer.abort_transaction()
        send(other, "plain-1")
        stream.wait_drained()
        assert logged() == Counter(["plain-1"])

        producer.begin_transaction()
        send(producer, "open-1")
        for number in range(2, 5):  # batches go by, and none may pass the open transaction
            send(other, f"plain-{number}")
            time.sleep(1.5)
        stream.wait_drained()
        assert logged() == Counter(["plain-1"])
        stream.kill()
        stream.start()
        send(producer, "open-2")
        producer.commit_transaction()
        stream.wait_for(lambda: num_seen() == 6)
        stream.wait_drained()

        producer.begin_transaction()
        send(producer, "aborted-2")
        send(other, "plain-5")
        stream.wait_drained()
        producer.abort_transaction()
        stream.wait_for(lambda: num_seen() == 7)
        stream.wait_drained()
        assert logged() == Counter([*(f"plain-{n}" for n in range(1, 6)), "open-1", "open-2"])
        (profile,) = stream.store.read_profiles(["u1"]).values()
        assert profile.num_events == 7
