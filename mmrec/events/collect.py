"""What the collector does with events: check, hand over to the broker, say what became of each.

    future = collector.record(events, now_s=...)     one status per event, in their order, once all are decided

ACKNOWLEDGED means that the broker has the event, REJECTED that its refusal is on the rejected topic, RETRY that neither
is known: send it again with the same event_id, a repeat counts once while the user's ring holds its id. Nothing here
waits, save for the producer while it learns a topic: a stream of requests is pipelined, bounded by the number of events
under way.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from mmrec.config import EventSettings, KafkaSettings
from mmrec.errors import StoreError
from mmrec.events.behaviors import BehaviorSet
from mmrec.events.encoding import check_record, encode_event
from mmrec.events.producer import RecordPlace, RecordProducer
from mmrec.events.rejected import encode_rejected
from mmrec.events.rules import Refusal
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, EventStatus

REFUSED_BY_COLLECTOR: Final = "collector"
"""Stands for the cluster of events that were refused before any broker saw them; their offset is -1."""
MAX_SHOWN_ID: Final = 512


class EventCollector:
    """Checks events and brings them to the topic. Safe to call from several threads."""

    def __init__(
        self,
        producer: RecordProducer,
        *,
        topics: KafkaSettings,
        events: EventSettings,
        behaviors: BehaviorSet,
        max_in_flight: int = 20_000,
    ) -> None:
        """Collect.

        Args:
            max_in_flight: Events under way at once; above that the answer is RETRY.
        """
        self._producer = producer
        self._topics = topics
        self._settings = events
        self._behaviors = behaviors
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def figures(self) -> dict[str, int]:
        """Events so far by outcome and reason, and those under way."""
        with self._lock:
            return {"in_flight": self._in_flight, **self._counts}

    def record(self, events: Sequence[BehaviorEvent], *, now_s: float) -> "Future[list[EventStatus]]":
        """Take events.

        Args:
            events: One request's events.
            now_s: Instant they arrived; event times are judged against it.

        Returns:
            A future with one status per event, in their order. It never fails and cannot be cancelled: what was taken
            goes its way, whether or not somebody still waits for the answer.
        """
        answer: Future[list[EventStatus]] = Future()
        answer.set_running_or_notify_cancel()
        statuses = [EventStatus(event_id=event.event_id[:MAX_SHOWN_ID]) for event in events]
        pending = _Countdown(len(events), lambda: answer.set_result(statuses))
        for event, status in zip(events, statuses, strict=True):
            self._take(event, status, now_s, pending.one_done)
        if not events:
            answer.set_result([])
        return answer

    def _take(self, event: BehaviorEvent, status: EventStatus, now_s: float, done: Callable[[], None]) -> None:
        with self._lock:
            full = self._in_flight >= self._max_in_flight
            if not full:
                self._in_flight += 1
        if full:
            status.outcome = EventOutcome.EVENT_OUTCOME_RETRY
            status.reason, status.detail = "overloaded", f"{self._max_in_flight} events are under way; send it again"
            self._count("retry", "retry.overloaded")
            done()
            return
        key, value = encode_event(event)
        refusal = check_record(
            event, key, value, ingest_time_s=now_s, behaviors=self._behaviors, settings=self._settings
        )
        if refusal is None:
            sent = self._producer.send(self._topics.behavior_events, key, value)
        else:
            sent = self._producer.send(self._topics.rejected, *_refused(key, value, refusal, now_s))

        def settled(future: "Future[RecordPlace]") -> None:
            self._settle(status, refusal, future)
            done()

        sent.add_done_callback(settled)

    def _settle(self, status: EventStatus, refusal: Refusal | None, future: "Future[RecordPlace]") -> None:
        with self._lock:
            self._in_flight -= 1
        error = future.exception()
        if error is not None:
            status.outcome = EventOutcome.EVENT_OUTCOME_RETRY
            status.reason, status.detail = "unavailable", str(error) if isinstance(error, StoreError) else repr(error)
            self._count("retry", "retry.unavailable")
        elif refusal is not None:
            status.outcome = EventOutcome.EVENT_OUTCOME_REJECTED
            status.reason, status.detail = refusal.reason.value, refusal.detail
            self._count("rejected", f"rejected.{refusal.reason.value}")
        else:
            place = future.result()
            status.outcome = EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
            status.partition, status.offset = place.partition, place.offset
            status.ingest_time.FromMilliseconds(round(place.ingest_time_s * 1000))
            self._count("acknowledged")

    def _count(self, *names: str) -> None:
        with self._lock:
            self._counts.update(names)


def _refused(key: bytes, value: bytes, refusal: Refusal, now_s: float) -> tuple[bytes, bytes]:
    row = {
        "reason": refusal.reason.value,
        "detail": refusal.detail,
        "cluster_id": REFUSED_BY_COLLECTOR,
        "topic_id": "",
        "partition": 0,
        "offset": -1,
        "original_key": key,
        "original_value": value,
        "ingest_time_s": now_s,
    }
    return encode_rejected(row)


class _Countdown:
    """Calls `at_zero` when everything is done; from whichever thread is last."""

    def __init__(self, number: int, at_zero: Callable[[], None]) -> None:
        self._left = number
        self._at_zero = at_zero
        self._lock = threading.Lock()

    def one_done(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._at_zero()
