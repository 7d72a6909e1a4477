"""Events that arrive whatever breaks: some straight onto Kafka, some through the collector, each until acknowledged.

A storefront sends an event again, with the same id, when it was not acknowledged; so does this one, and so every event
made here is acknowledged at the end, and the oracle knows what must be in the store. A share comes twice on purpose, by
the other way.
"""

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import grpc

from mmrec.config import Settings
from mmrec.errors import StoreError
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from tests.oracle import Event, Oracle, new_event, record_of

DAY_S = 86_400.0
BEHAVIORS = ("browse", "browse", "browse", "favorite", "cart", "purchase")
TICK_S = 0.02
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1_000)]


class Way:
    """One way an event takes: what waits to be sent, and what was acknowledged."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._put_s: dict[str, float] = {}
        self.num_put = self.num_acknowledged = self.num_sent_again = 0
        self.newest_acknowledged_s = 0.0
        """When the newest acknowledged event was handed over."""
        self.waits: list[tuple[float, float]] = []
        """Of every acknowledged event: the instant, and the seconds since it was put here, tries included."""

    def put(self, event: Event) -> None:
        with self._lock:
            self.num_put += 1
            self._put_s.setdefault(event["event_id"], time.time())
        self.waiting.put(event)

    def acknowledged(self, event: Event, handed_s: float) -> None:
        now_s = time.time()
        with self._lock:
            self.num_acknowledged += 1
            self.newest_acknowledged_s = max(self.newest_acknowledged_s, handed_s)
            self.waits.append((now_s, now_s - self._put_s.pop(event["event_id"], handed_s)))

    def again(self, *events: Event) -> None:
        with self._lock:
            self.num_sent_again += len(events)
        for event in events:
            self.waiting.put(event)

    @property
    def num_open(self) -> int:
        return self.num_put - self.num_acknowledged


class Load:
    """Threads that make and send events; use as a context manager. At exit nothing more is sent."""

    def __init__(
        self,
        settings: Settings,
        oracle: Oracle,
        *,
        kafka_per_s: float,
        collector_per_s: float,
        seed: int,
        open_channel: Callable[[], grpc.Channel] | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Nothing is sent yet.

        Args:
            open_channel: To a collector, anew after each call that broke; None for a plain one to settings.serving.
            metadata: Of each call, such as a token.
        """
        self._settings = settings
        self._oracle = oracle
        self._open_channel = open_channel or partial(grpc.insecure_channel, settings.serving.collector, RECONNECT)
        self._metadata = tuple(metadata)
        self._rates = (kafka_per_s, collector_per_s)
        self._rng = random.Random(seed)
        self._making = threading.Event()
        self._ended = threading.Event()
        self._num_made = 0
        self.kafka, self.collector = Way(), Way()
        self.failures: list[BaseException] = []
        runs = (self._make, self._send_to_kafka, self._send_to_collector)
        self._threads = [threading.Thread(target=self._watched, args=(run,), daemon=True) for run in runs]

    def __enter__(self) -> "Load":
        self._making.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._making.clear()
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def settle(self, *, timeout_s: float) -> None:
        """Make no more events, and wait until all are acknowledged."""
        self._making.clear()
        give_up_s = time.monotonic() + timeout_s
        while self.kafka.num_open or self.collector.num_open:
            assert time.monotonic() < give_up_s, f"{self.kafka.num_open}, {self.collector.num_open} not acknowledged"
            assert not self.failures, self.failures
            time.sleep(0.05)

    def _watched(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as failure:
            self.failures.append(failure)
            raise

    def _make(self) -> None:
        started_s, made = time.monotonic(), [0, 0]
        while self._making.is_set() and not self._ended.wait(TICK_S):
            passed_s = time.monotonic() - started_s
            for n, way in enumerate((self.kafka, self.collector)):
                other = self.collector if way is self.kafka else self.kafka
                while made[n] < passed_s * self._rates[n]:
                    made[n] += 1
                    event = self._event()
                    self._oracle.sent(event)
                    way.put(event)
                    if self._rng.random() < 0.01:
                        self._oracle.sent(event)
                        other.put(event)

    def _event(self) -> Event:
        rng, number = self._rng, self._num_made
        self._num_made += 1
        age_s = rng.random() * 30 * DAY_S if rng.random() < 0.1 else rng.random()
        user = f"u{min(int(rng.paretovariate(0.5)), rng.randrange(4_000, 5_000))}"
        item = f"i{min(int(rng.paretovariate(0.5)), rng.randrange(1_000, 2_000))}"
        return new_event(f"e{number}", user, item, rng.choice(BEHAVIORS), time.time() - age_s)

    def _send_to_kafka(self) -> None:
        way, topic = self.kafka, self._settings.kafka.behavior_events
        producer = KafkaRecordProducer(self._settings.kafka, delivery_timeout_s=10.0)

        def settled(event: Event, handed_s: float) -> Callable[[Any], None]:
            def done(future: Any) -> None:
                if future.exception() is None:
                    way.acknowledged(event, handed_s)
                else:
                    way.again(event)

            return done

        while not self._ended.is_set():
            with suppress(queue.Empty):
                event = way.waiting.get(timeout=TICK_S)
                producer.send(topic, *record_of(event)).add_done_callback(settled(event, time.time()))
        with suppress(StoreError):
            producer.close()

    def _send_to_collector(self) -> None:
        while not self._ended.is_set():
            with self._open_channel() as channel:
                self._one_call(channel)
            self._ended.wait(0.1)

    def _one_call(self, channel: grpc.Channel) -> None:
        """One stream of requests, until it breaks; what was under way is sent again."""
        way, over, lock = self.collector, threading.Event(), threading.Lock()
        under_way: deque[tuple[float, Event]] = deque()

        def requests() -> Iterator[RecordBehaviorsRequest]:
            while not (over.is_set() or self._ended.is_set()):
                events: list[Event] = []
                with suppress(queue.Empty):
                    while len(events) < 20:
                        events.append(way.waiting.get(timeout=TICK_S))
                with lock:
                    if over.is_set():
                        way.again(*events)
                    elif events:
                        under_way.extend((time.time(), event) for event in events)
                if events and not over.is_set():
                    yield RecordBehaviorsRequest(events=[message_of(event) for event in events])

        try:
            record = CollectorServiceStub(channel).RecordBehaviors
            for response in record(requests(), wait_for_ready=True, metadata=self._metadata):
                for status in response.statuses:
                    handed_s, event = under_way.popleft()
                    assert status.event_id == event["event_id"], status
                    if status.outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED:
                        way.acknowledged(event, handed_s)
                    else:
                        assert status.outcome == EventOutcome.EVENT_OUTCOME_RETRY, status
                        way.again(event)
        except grpc.RpcError:
            pass
        with lock:
            over.set()
        way.again(*(event for _, event in under_way))


def message_of(event: Event) -> BehaviorEvent:
    """The event as the collector is told it."""
    message = BehaviorEvent(**{name: value for name, value in event.items() if name != "event_time"})
    message.event_time.FromJsonString(event["event_time"])
    return message
