"""Kafka, Spark and Feast as they are, under everything that may happen to a stream, against the producer's oracle.

Each case has users of its own, so that few Spark processes serve all of them. What happens, in order: a backlog, late
and repeated events while the stream runs, more partitions, a kill with a lost checkpoint and an older copy of
the online store, a topic made anew, and the same records read from another cluster.
"""

import json
import random
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kafka as kafka_client
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from feature_repo.apply import apply_repository
from mmrec.config import Settings, load_settings
from mmrec.events.rejected import decode_rejected
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.stores.kafka.readers import read_topic
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import open_event_log, open_producer
from services.stack.kafka_broker import KafkaBroker
from services.stack.ports import HOST, any_free
from tests.oracle import Event, Oracle, new_event, record_of
from tests.stream_process import StreamProcess, collector_channel

pytestmark = pytest.mark.integration
DAY_S = 86_400.0
RING_SIZE = 1_000
BEHAVIORS = ("browse", "browse", "favorite", "cart", "purchase")
NUM_USERS_OF_ONE_ITEM = 20_000
NUM_ITEMS_OF_ONE_USER = 10_000


class Case(Oracle):
    """One way in which events may come; its users are its own."""

    def __init__(self, name: str, settings: Settings, now_s: float) -> None:
        super().__init__(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
        self.name = name
        self._now_s = now_s
        self._rng = random.Random(name)
        self._made = 0

    def events(
        self, number: int, *, users: int = 5, items: int = 12, days: tuple[float, float] = (0.0, 30.0)
    ) -> list[Event]:
        """New events, `days` old, in no order."""
        return [self.event(days=self._rng.uniform(*days), users=users, items=items) for _ in range(number)]

    def event(self, *, days: float, users: int = 5, items: int = 12, **more: Any) -> Event:
        self._made += 1
        user, item = f"{self.name}-{self._rng.randrange(users)}", f"i{self._rng.randrange(items)}"
        behavior = self._rng.choice(BEHAVIORS)
        return new_event(f"e{self._made}", user, item, behavior, self._now_s - days * DAY_S, **more)


@dataclass
class World:
    """The deployment, and every case's oracle."""

    stream: StreamProcess
    now_s: float
    cases: dict[str, Case] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    """What was looked at on the way."""

    @property
    def settings(self) -> Settings:
        return self.stream.settings

    def case(self, name: str) -> Case:
        return self.cases.setdefault(name, Case(name, self.settings, self.now_s))

    def send(self, name: str, events: Iterable[Event], **how: bool) -> list[tuple[bytes, bytes]]:
        """Records of deliveries that the case's oracle has noted."""
        events = list(events)
        self.case(name).sent(*events, **how)
        return [record_of(event) for event in events]

    def produce(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        producer = open_producer(self.settings)  # anew: partitions may have come
        producer.send_many(self.settings.kafka.behavior_events, records)
        producer.close()

    def holds(self, name: str) -> None:
        """The case's profiles are the plain sum, at two instants."""
        instants_s = (self.now_s + DAY_S, self.now_s + 40 * DAY_S)
        assert self.cases[name].differences(self.stream.store, *instants_s) == []


@pytest.fixture(scope="module")
def world(
    kafka: str,
    new_broker: Callable[[], KafkaBroker],
    java_variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("exactness")
    stream = StreamProcess(_configure(folder / "mmrec.toml", kafka), java_variables)
    settings = stream.settings
    with TopicAdmin(kafka) as admin:
        admin.create_topics(settings.kafka)
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    world = World(stream=stream, now_s=time.time())
    try:
        backlog(world)
        stream.start()
        stream.wait_drained()
        while_it_runs(world)
        stream.copy_store(folder / "older.db")
        more_partitions(world)
        stream.kill()
        lost_checkpoint(world)
        stream.restore_store(folder / "older.db")
        stream.start()
        stream.wait_drained()
        made_anew(world)
        stream.start()
        stream.wait_drained()
        stream.kill()
        mirrored(world, new_broker())
        yield world
    finally:
        stream.stop()


def _configure(path: Path, bootstrap: str) -> Path:
    prefix = f"x{uuid.uuid4().hex[:8]}"
    recommender, collector = any_free(2)
    names = ("behavior_events", "catalog_items", "item_embeddings", "served_lists", "rejected", "catalog_rejected")
    lines = [
        "[kafka]",
        f"bootstrap = {json.dumps(bootstrap)}",
        *(f'{name} = "{prefix}.{name}"' for name in names),
        "[serving]",
        f'recommender = "{HOST}:{recommender}"',
        f'collector = "{HOST}:{collector}"',
        "[scoring]",
        "max_items = 0",
        f"ring_size = {RING_SIZE}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def backlog(world: World) -> None:
    """What stands on the topic before the stream starts."""
    settings, rng = world.settings.kafka, random.Random(11)
    old = world.case("day old backlog")
    early, today = old.events(200, days=(1.0, 20.0)), old.events(200, days=(0.0, 20.0))
    _stamped(settings.bootstrap, settings.behavior_events, world.send(old.name, early), world.now_s - DAY_S)
    records = world.send(old.name, today + rng.sample(early, 60))  # some ids come again, a day later, elsewhere

    shuffled = world.case("shuffled")
    records += world.send(shuffled.name, shuffled.events(600))
    repeats = world.case("one batch")
    once = repeats.events(150)
    records += world.send(repeats.name, once + once + rng.sample(once, 50))
    across = world.case("across batches")
    world.seen[across.name] = across.events(150)
    records += world.send(across.name, world.seen[across.name])
    late = world.case("late")
    records += world.send(late.name, late.events(150, days=(0.0, 0.2)))
    imported = world.case("imported")
    records += world.send(imported.name, [imported.event(days=200.0 + n, imported=True) for n in range(100)])
    skewed = world.case("skewed")
    skewed_s = world.settings.events.max_future_s
    within, beyond = (skewed_s - 60) / DAY_S, (skewed_s + 600) / DAY_S
    records += world.send(skewed.name, [skewed.event(days=-within) for _ in range(30)])
    records += world.send(skewed.name, [skewed.event(days=-beyond, users=10) for _ in range(30)], refused=True)
    records += damaged(world)
    for name in ("lost checkpoint", "made anew", "mirrored", "partitions"):
        world.seen[name] = world.case(name).events(120)
        records += world.send(name, world.seen[name])
    rng.shuffle(records)
    window = world.case("window")
    world.seen[window.name] = window.events(RING_SIZE + 1, users=1)
    world.produce(world.send(window.name, world.seen[window.name][:1]))  # before all others, in a batch of its own
    records += world.send(window.name, world.seen[window.name][1:])
    wide = world.case("many items")
    records += world.send(
        wide.name,
        [
            new_event(f"e{n}", "many items", f"i{n}", BEHAVIORS[n % 5], world.now_s - n)
            for n in range(NUM_ITEMS_OF_ONE_USER)
        ],
    )
    popular = world.case("many users")
    records += world.send(
        popular.name,
        [
            new_event(f"e{n}", f"many-users-{n}", "everybody's", BEHAVIORS[n % 5], world.now_s - n)
            for n in range(NUM_USERS_OF_ONE_ITEM)
        ],
    )
    world.produce(records)


def damaged(world: World) -> list[tuple[bytes, bytes]]:
    """Records that can only be refused; the oracle of their user's events knows nothing of them."""
    event = new_event("x1", "shuffled-1", "i1", "cart", world.now_s - DAY_S)
    odd = ({"behavior": "stare"}, {"item_id": ""}, {"event_time": "2999-01-01T00:00:00Z"})
    values = [b"{no json", b"[]", *(record_of({**event, **change})[1] for change in odd)]
    values.append(b" " * 500_000 + record_of(event)[1])
    world.seen["damaged"] = len(values)
    return [(b"shuffled-1", value) for value in values]


def _stamped(bootstrap: str, topic: str, records: list[tuple[bytes, bytes]], stamp_s: float) -> None:
    """Fill partition 0 as if it had been filled at another time."""
    kind = ConfigResource(ConfigResourceType.TOPIC, topic, {})
    admin = kafka_client.KafkaAdminClient(bootstrap_servers=bootstrap)
    for timestamp_type in ("CreateTime", "LogAppendTime"):
        kind.configs = {"message.timestamp.type": timestamp_type}
        admin.alter_configs([kind])
        if timestamp_type == "CreateTime":
            time.sleep(1.0)  # the broker takes it up a moment later
            producer = kafka_client.KafkaProducer(bootstrap_servers=bootstrap, acks="all")
            for key, value in records:
                producer.send(topic, value, key, partition=0, timestamp_ms=int(stamp_s * 1000))
            producer.flush()
            producer.close()
    admin.close()
    while True:  # until producers are not believed any more
        with TopicAdmin(bootstrap) as again:
            if again.config(topic, "message.timestamp.type") == "LogAppendTime":
                break


def while_it_runs(world: World) -> None:
    """Late, repeated, and by two ways at once."""
    late, across = world.case("late"), world.case("across batches")
    world.produce(world.send(late.name, late.events(150, days=(2.0, 25.0))))
    world.produce(world.send(across.name, world.seen[across.name] + across.events(50)))
    window = world.case("window")
    world.produce(world.send(window.name, world.seen[window.name][:1], beyond_window=True))
    both = world.case("two ways")
    events = both.events(200)
    with collector_channel(world.stream.config) as channel:
        messages = [_message(event) for event in events]
        requests = [RecordBehaviorsRequest(events=messages[n : n + 10]) for n in range(0, 200, 10)]
        responses = CollectorServiceStub(channel).RecordBehaviors(iter(requests), timeout=60)
        world.produce(world.send(both.name, events))
        statuses = [status for response in responses for status in response.statuses]
    both.sent(*events)
    assert {status.outcome for status in statuses} == {EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED}
    world.stream.wait_drained()


def _message(event: Event) -> BehaviorEvent:
    message = BehaviorEvent(**{name: value for name, value in event.items() if name != "event_time"})
    message.event_time.FromJsonString(event["event_time"])
    return message


def more_partitions(world: World) -> None:
    """Keys move to partitions that were not there when the stream started."""
    settings = world.settings.kafka
    admin = kafka_client.KafkaAdminClient(bootstrap_servers=settings.bootstrap)
    admin.create_partitions({settings.behavior_events: 5})
    admin.close()
    world.stream.wait_for(lambda: describe_topic(settings.bootstrap, settings.behavior_events).num_partitions == 5)
    moved = world.case("partitions")
    world.produce(world.send(moved.name, world.seen[moved.name] + moved.events(200, users=40)))
    world.stream.wait_drained()
    world.seen["partitions read"] = {s.partition for s in world.stream.store.read_progress().marks}


def lost_checkpoint(world: World) -> None:
    """The driver was killed; checkpoint and newest profiles are lost, and the storefront repeats itself."""
    shutil.rmtree(world.settings.stores.checkpoint)
    lost = world.case("lost checkpoint")
    world.produce(world.send(lost.name, world.seen[lost.name] + lost.events(80)))


def made_anew(world: World) -> None:
    """The topic is deleted and created again while the stream reads it."""
    settings, case = world.settings.kafka, world.case("made anew")
    admin = kafka_client.KafkaAdminClient(bootstrap_servers=settings.bootstrap)
    admin.delete_topics([settings.behavior_events])
    deadline = time.monotonic() + 30
    while settings.behavior_events in admin.list_topics():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    admin.close()
    with TopicAdmin(settings.bootstrap) as again:
        again.create_topics(settings)
    world.produce(world.send(case.name, world.seen[case.name] + case.events(80)))
    world.seen["exit status"] = world.stream.ended()
    world.seen["last words"] = world.stream.log


def mirrored(world: World, broker: KafkaBroker) -> None:
    """Another cluster holds the records of some users again; the stream goes on there."""
    broker.start()
    settings, case = world.settings.kafka, world.case("mirrored")
    records = [record_of(event) for event in world.seen[case.name]]
    config = world.stream.config
    config.write_text(config.read_text().replace(settings.bootstrap, broker.bootstrap), encoding="utf-8")
    world.stream.settings = load_settings(config)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(replace(settings, bootstrap=broker.bootstrap))
    world.produce(records + world.send(case.name, case.events(80)))
    world.stream.start()
    world.stream.wait_drained()
    world.seen["rejected"] = [
        decode_rejected(record.value) for record in read_topic(settings.bootstrap, settings.rejected)
    ]


@pytest.mark.parametrize(
    "case",
    [
        "shuffled",
        "late",
        "imported",
        "day old backlog",
        "one batch",
        "across batches",
        "lost checkpoint",
        "two ways",
        "skewed",
        "window",
        "many items",
        "many users",
        "partitions",
        "made anew",
        "mirrored",
    ],
)
def test_profiles_are_the_plain_sum(world: World, case: str) -> None:
    world.holds(case)


def test_the_log_holds_every_accepted_event_once(world: World) -> None:
    log = open_event_log(world.settings)
    wrong = {name: case.log_differences(log, only_own=True) for name, case in world.cases.items()}
    assert not {name: rows for name, rows in wrong.items() if rows}


def test_what_is_refused_is_on_the_rejected_topic(world: World) -> None:
    refused = {(row["partition"], row["offset"]): row for row in world.seen["rejected"]}
    num_skewed = sum(case.num_refused for case in world.cases.values())
    assert len(refused) == num_skewed + world.seen["damaged"]
    reasons = Counter(row["reason"] for row in refused.values())
    assert reasons["time_in_future"] == num_skewed + 1
    (long,) = [row for row in refused.values() if row["reason"] == "too_large"]
    assert len(long["original_value"]) == world.settings.events.max_value_bytes + 1
    assert long["detail"].endswith("its beginning is kept")


def test_new_partitions_are_read_while_the_stream_runs(world: World) -> None:
    assert world.seen["partitions read"] == {0, 1, 2, 3, 4}


def test_a_topic_made_anew_ends_the_stream_and_says_so(world: World) -> None:
    assert world.seen["exit status"] == 1
    (said,) = [line for line in world.seen["last words"].splitlines() if "score_stream_failed" in line]
    assert world.settings.kafka.behavior_events in said
    assert "was made anew" in said or "does not exist" in said  # it may look before the topic is there again
