"""What the collector does with events: check them, pass them to the broker, report what became of each.

    collector.take(events, now_s=..., done=...)      done(statuses), one per event, in their order, once all are decided
    collector.record(events, now_s=...)              the same as a future

ACKNOWLEDGED means that the broker has the event and the overlay shows it to the next request of its user. REJECTED
means that its refusal is on the rejected topic. RETRY means that neither is known: send it again with the same
event_id; a repeat counts once while the user's ring holds its id. Nothing here waits, except for the producer when it
first uses a topic: a stream of requests is pipelined, bounded by the number and the bytes of unanswered events.

One thread puts the events that the broker has accepted into the overlay, all in one commit, and then answers.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from mmrec.collecting.outcome_counts import OutcomeCounts
from mmrec.collecting.overlay_writer import OverlayWriter
from mmrec.config import EventSettings, KafkaSettings
from mmrec.errors import StoreError
from mmrec.events.encoding import check_record, encode_event
from mmrec.events.producer import RecordPlace, RecordProducer
from mmrec.events.rejected import encode_rejected
from mmrec.events.rejection import Rejection
from mmrec.events.rules import Refusal
from mmrec.scoring.behaviors import CONTROL_PREFIX, BehaviorSet
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, EventStatus

REFUSED_BY_COLLECTOR: Final = "collector"
"""Used as the cluster of events that were refused before any broker saw them; their offset is -1."""
MAX_SHOWN_ID: Final = 512
MAX_COMMIT: Final = 2_000
"""Events per commit of the overlay; more wait for the next commit."""
Answered = Callable[[list[EventStatus]], None]
ACKNOWLEDGED, REJECTED, RETRY = (
    EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED,
    EventOutcome.EVENT_OUTCOME_REJECTED,
    EventOutcome.EVENT_OUTCOME_RETRY,
)


class _Request:
    """One unanswered request. Only the acknowledging thread changes `left` and `statuses`."""

    __slots__ = ("done", "events", "left", "refusals", "sizes", "statuses")

    def __init__(self, events: Sequence[BehaviorEvent], done: Answered) -> None:
        self.events = events
        self.done = done
        self.left = len(events)
        self.statuses = [EventStatus() for _ in events]
        self.refusals: dict[int, Refusal] = {}
        self.sizes: list[int] = []


_Settled = tuple[_Request, int, RecordPlace | StoreError]


class EventCollector:
    """Checks events and sends them to the topic. Safe to call from several threads."""

    def __init__(
        self,
        producer: RecordProducer,
        *,
        topics: KafkaSettings,
        events: EventSettings,
        behaviors: BehaviorSet,
        overlay: OverlayWriter | None = None,
        max_in_flight: int = 20_000,
        max_in_flight_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """Start the acknowledging thread.

        Args:
            overlay: Where acknowledged events are kept until the stream has them; None: nowhere.
            max_in_flight: Unanswered events at once; above that the answer is RETRY.
            max_in_flight_bytes: Bytes of their records above which the answer is RETRY.
        """
        self._producer = producer
        self._topics = topics
        self._settings = events
        self._behaviors = behaviors
        self._overlay = overlay
        self._max_in_flight, self._max_bytes = max_in_flight, max_in_flight_bytes
        self._in_flight = self._in_flight_bytes = 0
        self._counts = OutcomeCounts()
        self._lock = threading.Lock()
        self._settled: queue.SimpleQueue[_Settled | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._acknowledge_all, name="collector-acknowledge", daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> int:
        """Events not yet answered."""
        return self._in_flight

    def counts(self) -> OutcomeCounts:
        """Answers so far, as a copy."""
        counts = OutcomeCounts()
        with self._lock:
            counts.update(self._counts)
        return counts

    def close(self) -> None:
        """Answer the events that the producer has settled, and stop. Close the producer first."""
        self._settled.put(None)
        self._thread.join(10)

    def record(self, events: Sequence[BehaviorEvent], *, now_s: float) -> "Future[list[EventStatus]]":
        """Take events.

        Args:
            events: One request's events.
            now_s: Instant they arrived; event times are judged against it.

        Returns:
            A future with one status per event, in their order. It never fails and cannot be cancelled: events that
            were taken are processed whether or not anybody still waits for the answer.
        """
        answer: Future[list[EventStatus]] = Future()
        answer.set_running_or_notify_cancel()
        self.take(events, now_s=now_s, done=answer.set_result)
        return answer

    def take(self, events: Sequence[BehaviorEvent], *, now_s: float, done: Answered) -> None:
        """Like record(), with a callback.

        Args:
            done: Called with the statuses, from the acknowledging thread or at once; must be quick and must not raise.
        """
        request = _Request(events, done)
        for event, status in zip(events, request.statuses, strict=True):
            status.event_id = event.event_id[:MAX_SHOWN_ID]
        with self._lock:
            room = self._max_in_flight - self._in_flight if self._in_flight_bytes < self._max_bytes else 0
            num_taken = min(max(room, 0), len(events))
            self._in_flight += num_taken
        if num_taken < len(events):
            self._turn_away(request, num_taken)
        if not num_taken:
            done(request.statuses)
            return
        good: list[tuple[bytes, bytes]] = []
        good_places: list[int] = []
        bad: list[tuple[bytes, bytes]] = []
        bad_places: list[int] = []
        for place, event in enumerate(events[:num_taken]):
            key, value = encode_event(event)
            refusal = _reserved(event) or check_record(
                event, key, value, ingest_time_s=now_s, behaviors=self._behaviors, settings=self._settings
            )
            request.sizes.append(len(value))
            if refusal is None:
                good.append((key, value))
                good_places.append(place)
            else:
                request.refusals[place] = refusal
                bad.append(_refused(key, value, refusal, now_s))
                bad_places.append(place)
        with self._lock:
            self._in_flight_bytes += sum(request.sizes)
        put = self._settled.put
        if good:
            self._producer.send_each(
                self._topics.behavior_events, good, lambda at, outcome: put((request, good_places[at], outcome))
            )
        if bad:
            self._producer.send_each(
                self._topics.rejected, bad, lambda at, outcome: put((request, bad_places[at], outcome))
            )

    def _turn_away(self, request: _Request, num_taken: int) -> None:
        away = request.statuses[num_taken:]
        request.left = num_taken
        for status in away:
            status.outcome = RETRY
            status.reason, status.detail = "overloaded", f"{self._max_in_flight} events are under way; send it again"
        with self._lock:
            self._counts.retry["overloaded"] += len(away)

    # From here on: the acknowledging thread.

    def _acknowledge_all(self) -> None:
        open_ = True
        while open_:
            settled: list[_Settled] = []
            found = self._settled.get()
            while found is not None:
                settled.append(found)
                if len(settled) >= MAX_COMMIT:
                    break
                try:
                    found = self._settled.get_nowait()
                except queue.Empty:
                    break
            open_ = found is not None
            self._acknowledge(settled)

    def _acknowledge(self, settled: Sequence[_Settled]) -> None:
        if self._overlay is not None:
            acknowledged = [
                (request.events[at], outcome)
                for request, at, outcome in settled
                if isinstance(outcome, RecordPlace) and at not in request.refusals
            ]
            if acknowledged:
                self._overlay.add(acknowledged)
        counts = OutcomeCounts()
        num_bytes = 0
        answered: list[_Request] = []
        for request, at, outcome in settled:
            _decide(request.statuses[at], request.refusals.get(at), outcome, counts)
            num_bytes += request.sizes[at]
            request.left -= 1
            if not request.left:
                answered.append(request)
        with self._lock:
            self._in_flight -= len(settled)
            self._in_flight_bytes -= num_bytes
            self._counts.update(counts)
        for request in answered:
            request.done(request.statuses)


def _decide(
    status: EventStatus, refusal: Refusal | None, outcome: RecordPlace | StoreError, counts: OutcomeCounts
) -> None:
    if not isinstance(outcome, RecordPlace):
        status.outcome = RETRY
        status.reason, status.detail = "unavailable", str(outcome)
        counts.retry[status.reason] += 1
    elif refusal is not None:
        status.outcome = REJECTED
        status.reason, status.detail = refusal.reason.value, refusal.detail
        counts.rejected[status.reason] += 1
    else:
        status.outcome = ACKNOWLEDGED
        status.partition, status.offset = outcome.partition, outcome.offset
        milliseconds = round(outcome.ingest_time_s * 1000)
        status.ingest_time.seconds, status.ingest_time.nanos = milliseconds // 1000, milliseconds % 1000 * 1_000_000
        counts.acknowledged += 1


def _reserved(event: BehaviorEvent) -> Refusal | None:
    """A shop may not set what only the system sets, such as the note that an event was resubmitted."""
    for name in event.context:
        if name.startswith(CONTROL_PREFIX):
            detail = f"context name {name[:MAX_SHOWN_ID]!r} is reserved; use one without the prefix {CONTROL_PREFIX!r}"
            return Refusal(Rejection.BAD_ID, detail)
    return None


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
