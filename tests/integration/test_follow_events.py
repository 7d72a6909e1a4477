"""Events that producers send straight onto Kafka are seen before Spark has them, and count once when it has."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import kafka
import pytest

from feature_repo.apply import apply_repository
from mmrec.config import Settings
from mmrec.serving.fresh_profile import read_fresh_profile
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.telemetry.logs import read_status
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import open_feature_store, open_overlay
from tests.stream_process import StreamProcess, collector_channel

pytestmark = pytest.mark.integration


class Reader:
    """Reads users as requests do, and sends events straight onto Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store, self._overlay = open_feature_store(settings), open_overlay(settings)
        self._producer = KafkaRecordProducer(settings.kafka.bootstrap)
        self.most: dict[str, int] = {}
        """Most events that were ever seen of a user."""

    def send(self, user_id: str, number: int) -> None:
        value = {"event_id": f"{user_id}-{number}", "user_id": user_id, "item_id": f"i{number}", "behavior": "cart"}
        topic = self._settings.kafka.behavior_events
        self._producer.send(topic, user_id.encode(), json.dumps(value).encode()).result(30)

    def num_events(self, user_id: str) -> int:
        found = read_fresh_profile(
            user_id,
            overlay=self._overlay,
            read_profiles=self._store.read_profiles,
            config=self._settings.scoring,
        )
        seen = found.profile.num_events if found.profile else 0
        self.most[user_id] = max(seen, self.most.get(user_id, 0))
        return seen

    def figure(self, name: str, process: str = "follow_events") -> Any:
        return read_status(self._settings.stores.status).get(process, {}).get(name, 0)

    def close(self) -> None:
        self._producer.close()
        self._overlay.close()


def wait(what: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


@pytest.fixture
def following(settings: Callable[..., Any]) -> Iterator[tuple[Any, Reader]]:
    deployment = settings(kafka=True, num_partitions=1)
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.follow_events", "--config", str(deployment.config)], env=dict(os.environ)
    )
    reader = Reader(deployment.settings)
    try:
        wait(lambda: reader.figure("ready") is True)
        yield deployment, reader
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert reader.figure("ready") is False
    finally:
        reader.close()
        if process.poll() is None:
            process.kill()
            process.wait()


def test_events_on_kafka_are_seen_without_the_stream_and_count_once_with_it(
    following: tuple[Any, Reader], java_variables: dict[str, str]
) -> None:
    deployment, reader = following
    for number in range(3):
        reader.send("ann", number)
    wait(lambda: reader.num_events("ann") == 3)
    # The collector brings its own in; the follower sees whose they are and leaves them alone.
    with collector_channel(deployment.config) as channel:
        event = BehaviorEvent(event_id="c", user_id="ann", item_id="c", behavior="cart")
        list(CollectorServiceStub(channel).RecordBehaviors(iter([RecordBehaviorsRequest(events=[event])]), timeout=60))
        assert reader.num_events("ann") == 4
        wait(lambda: reader.figure("collected") == 1)
    stream = StreamProcess(deployment.config, java_variables)
    stream.start()
    try:
        sent = 0

        def raced() -> bool:
            """Until the stream has some of bob's events, and reads while it works."""
            nonlocal sent
            reader.send("bob", sent)
            sent += 1
            stored = stream.store.read_profiles(["bob"])
            return reader.num_events("ann") == 4 and reader.num_events("bob") > 0 and "bob" in stored

        wait(raced)
        for _ in range(20):
            raced()
        wait(lambda: reader.num_events("bob") == sent)
        stream.wait_drained()
        wait(lambda: reader.figure("overlay_entries") == 0)  # pruned, though no collector runs
    finally:
        stream.stop()
    assert {user: reader.num_events(user) for user in ("ann", "bob")} == {"ann": 4, "bob": sent}
    assert reader.most == {"ann": 4, "bob": sent}  # never once too often
    assert reader.figure("followed") + reader.figure("passed") == 3 + sent


def test_partitions_that_come_later_are_followed_too(following: tuple[Any, Reader]) -> None:
    deployment, reader = following
    topic = deployment.settings.kafka.behavior_events
    admin = kafka.KafkaAdminClient(bootstrap_servers=deployment.settings.kafka.bootstrap)
    admin.create_partitions({topic: 4})
    admin.close()
    users = [f"user{number}" for number in range(12)]
    rounds = 0

    def all_seen() -> bool:
        nonlocal rounds
        rounds += 1
        for user in users:
            reader.send(user, rounds)
        return all(reader.num_events(user) for user in users)

    wait(all_seen)
