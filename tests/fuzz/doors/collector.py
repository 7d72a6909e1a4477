"""The collector over gRPC: events, items and requests to forget, as messages and as bytes that are none.

The broker behind it is in memory, the servicer and all behind it are those that services.collector serves.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from mmrec.catalog.rules import ItemChange, parse_change
from mmrec.collecting.collect import EventCollector
from mmrec.collecting.collect_metrics import CollectorMetrics
from mmrec.collecting.upsert import CatalogWriter
from mmrec.config import KafkaSettings
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.events.encoding import encode_event
from mmrec.events.producer import MemoryRecordProducer
from mmrec.events.rejected import decode_rejected
from mmrec.events.rules import Refusal, decode_record
from mmrec.telemetry.metrics import Metrics
from mmrec.v1 import collector_pb2_grpc
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.catalog_pb2 import CatalogItem
from mmrec.v1.collector_pb2 import (
    EventOutcome,
    EventStatus,
    ForgetUserRequest,
    RecordBehaviorsResponse,
    UpsertItemsRequest,
    UpsertItemsResponse,
)
from mmrec.wire.instants import parse_time
from services.collector.servicer import CollectorServicer
from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged
from tests.fuzz.catalog_inputs import item_message
from tests.fuzz.door import Fuzzed, Outcome, Parts, accepted, refused
from tests.fuzz.event_inputs import BEHAVIORS, NOW_S, SETTINGS, clock, event_document
from tests.fuzz.grpc_thread import OUR_FAULT, Answer, ServedInThread
from tests.fuzz.proto_damage import damaged_message

KAFKA: Final = KafkaSettings()
SERVICE: Final = "/mmrec.v1.CollectorService/"
ACKNOWLEDGED, REJECTED = EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED, EventOutcome.EVENT_OUTCOME_REJECTED


class _Collector:
    """What services.collector serves, with a broker in memory."""

    def __init__(self) -> None:
        self.producer = MemoryRecordProducer(clock=clock())
        self._collector = EventCollector(self.producer, topics=KAFKA, events=SETTINGS, behaviors=BEHAVIORS)
        self._catalog = CatalogWriter(self.producer, topic=KAFKA.catalog_items, rejected_topic=KAFKA.catalog_rejected)
        self._metrics = CollectorMetrics(Metrics("collector"))
        self.server = ServedInThread(self._add)

    def _add(self, server: Any) -> None:
        servicer = CollectorServicer(self._collector, self._catalog, clock(), self._metrics)
        collector_pb2_grpc.add_CollectorServiceServicer_to_server(servicer, server)

    def _told(self, topic: str) -> list[dict[str, Any]]:
        return [decode_rejected(record.value or b"") for record in self.producer.records(topic)]

    def close(self) -> None:
        self.server.close()
        self._collector.close()


def event_message(rng: Random, number: int) -> BehaviorEvent:
    """A valid event as a message."""
    document = event_document(rng, number)
    time = document.pop("event_time", None)
    event = BehaviorEvent(**document)
    if time is not None:
        event.event_time.FromMicroseconds(round((parse_time(time) or 0.0) * 1e6))
    return event


def ended(answer: Answer, *, is_message: bool) -> Outcome:
    """The outcome of a request whose call ended with an error."""
    problem = ""
    if answer.code in OUR_FAULT:
        what = "a message" if is_message else "bytes that are no message"
        problem = f"{what} ends its call with {answer.code.name}: {answer.details}"
    return refused(answer.code.name, answer.details, problem=problem)


def parsed(kind: Any, data: bytes | None) -> Any:
    """The message that bytes hold; None where they are none."""
    try:
        return kind.FromString(data or b"")
    except DecodeError:
        return None


class RecordBehaviorsDoor(_Collector):
    """Events in streams of requests."""

    name = "collector.events"
    batch = 200
    seeds = 4

    def valid(self, rng: Random, number: int) -> Parts:
        return (event_message(rng, number).SerializeToString(),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        event = event_message(rng, number)
        if rng.random() < 0.1:
            event.behavior = rng.choice((FORGET, IDENTIFY, "mmrec.x", awkward.text(rng)))
        value, made_by = damaged_message(event, rng)
        return Fuzzed((value,), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        events = [parsed(BehaviorEvent, f.parts[0]) for f in inputs]
        # An event that is no message spoils its request: each gets a call of its own, and the others share calls.
        requests = [_request(f.parts[0] or b"") for f in inputs]
        together = [request for request, event in zip(requests, events, strict=True) if event is not None]
        merged = [b"".join(together[at : at + 7]) for at in range(0, len(together), 7)]
        answer = self.server.stream(SERVICE + "RecordBehaviors", merged)
        if answer.code is not grpc.StatusCode.OK:
            raise ConnectionError(f"a stream of messages ends with {answer.code.name}: {answer.details}")
        statuses = iter([s for r in answer.responses for s in RecordBehaviorsResponse.FromString(r).statuses])
        told = {row["original_value"]: row["reason"] for row in self._told(KAFKA.rejected)}
        outcomes = []
        for request, event in zip(requests, events, strict=True):
            if event is None:
                alone = self.server.stream(SERVICE + "RecordBehaviors", [request])
                outcomes.append(ended(alone, is_message=False))
            else:
                outcomes.append(self._outcome(event, next(statuses), told))
        if (left := len(list(statuses))) > 0:
            raise ConnectionError(f"{left} statuses too many")
        return outcomes

    def _outcome(self, event: BehaviorEvent, status: EventStatus, told: dict[bytes, str]) -> Outcome:
        key, value = encode_event(event)
        if status.event_id != event.event_id[: len(status.event_id)]:
            return accepted(problem=f"the status is of another event: {status.event_id!r}")
        if status.outcome == REJECTED:
            problem = "" if told.get(value) == status.reason else "refused, and not on the rejected topic"
            return refused(status.reason, status.detail, problem=problem)
        if status.outcome != ACKNOWLEDGED:
            return refused(status.reason, status.detail, problem=f"neither taken nor refused: {status.reason}")
        record = next(
            (
                r
                for r in reversed(self.producer.records(KAFKA.behavior_events))
                if (r.partition, r.offset) == (status.partition, status.offset)
            ),
            None,
        )
        if record is None or (record.key, record.value) != (key, value):
            return accepted(problem="acknowledged, and not on the topic where the status says")
        said = decode_record(key, value, ingest_time_s=NOW_S, behaviors=BEHAVIORS, settings=SETTINGS)
        if isinstance(said, Refusal):
            return accepted(problem=f"acknowledged, and the stream would refuse it: {said}")
        return accepted(intact=(said.event_id, said.item_id) == (event.event_id, event.item_id))


def _request(event: bytes) -> bytes:
    """A RecordBehaviorsRequest around the bytes of one event; such requests merge by concatenation."""
    size, length = len(event), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return b"\x0a" + length + bytes([size]) + event


class UpsertItemsDoor(_Collector):
    """Items and removals, a call each."""

    name = "collector.items"
    batch = 120
    seeds = 4

    def valid(self, rng: Random, number: int) -> Parts:
        return (UpsertItemsRequest(items=[item_message(rng, number)]).SerializeToString(),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        if rng.random() < 0.2:
            request = UpsertItemsRequest(removed_item_ids=[awkward.text(rng), f"gone{number}"])
            value, made_by = (
                damaged_message(request, rng) if rng.random() < 0.3 else (request.SerializeToString(), "id")
            )
            return Fuzzed((value,), made_by=made_by)
        item = item_message(rng, number)
        if rng.random() < 0.15:
            request = UpsertItemsRequest(items=[item, CatalogItem(), item_message(rng, number)])
            value, made_by = damaged(request.SerializeToString(), rng)
            return Fuzzed((value,), made_by=made_by)
        value, made_by = damaged_message(item, rng)
        broken = parsed(CatalogItem, value)
        if broken is None:
            return Fuzzed((_request(value),), made_by=made_by)
        return Fuzzed((UpsertItemsRequest(items=[broken]).SerializeToString(),), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        answers = self.server.unary(SERVICE + "UpsertItems", [f.parts[0] or b"" for f in inputs])
        on_topic: dict[bytes, list[bytes | None]] = {}
        for record in self.producer.records(KAFKA.catalog_items):
            on_topic.setdefault(record.key or b"", []).append(record.value)
        return [self._outcome(f, answer, on_topic) for f, answer in zip(inputs, answers, strict=True)]

    def _outcome(self, fuzzed: Fuzzed, answer: Answer, on_topic: dict[bytes, list[bytes | None]]) -> Outcome:
        request = parsed(UpsertItemsRequest, fuzzed.parts[0])
        if answer.code is not grpc.StatusCode.OK:
            return ended(answer, is_message=request is not None)
        assert request is not None
        statuses = UpsertItemsResponse.FromString(answer.responses[0]).statuses
        item_ids = [*(item.item_id for item in request.items), *request.removed_item_ids]
        if len(statuses) != len(item_ids):
            return accepted(problem=f"{len(statuses)} statuses of {len(item_ids)} items")
        for item_id, status in zip(item_ids, statuses, strict=True):
            if status.outcome not in (ACKNOWLEDGED, REJECTED):
                return refused(status.reason, status.detail, problem=f"neither taken nor refused: {status.reason}")
            if status.outcome == ACKNOWLEDGED and item_id.encode() not in on_topic:
                return accepted(problem="acknowledged, and not on the topic")
        bad = [status for status in statuses if status.outcome == REJECTED]
        if bad:
            told = {row["reason"] for row in self._told(KAFKA.catalog_rejected)}
            problem = "" if bad[0].reason in told else "refused, and not on the rejected topic"
            return refused(bad[0].reason, bad[0].detail, problem=problem)
        return accepted(intact=all(_is_there(item, on_topic) for item in request.items))


def _is_there(item: CatalogItem, on_topic: dict[bytes, list[bytes | None]]) -> bool:
    key = item.item_id.encode()
    found = parse_change(key, on_topic[key][-1])
    return isinstance(found, ItemChange) and found.item is not None and found.item.title == item.title


class ForgetUserDoor(_Collector):
    """Requests to forget, a call each."""

    name = "collector.forget"
    batch = 60
    seeds = 2

    def valid(self, rng: Random, number: int) -> Parts:
        return (ForgetUserRequest(user_id=f"u{number}").SerializeToString(),)

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        request = ForgetUserRequest(user_id=awkward.text(rng))
        if rng.random() < 0.5:
            return Fuzzed((request.SerializeToString(),), made_by="id")
        value, made_by = damaged(request.SerializeToString(), rng)
        return Fuzzed((value,), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        answers = self.server.unary(SERVICE + "ForgetUser", [f.parts[0] or b"" for f in inputs])
        keys = {record.key for record in self.producer.records(KAFKA.behavior_events)}
        outcomes = []
        for fuzzed, answer in zip(inputs, answers, strict=True):
            request = parsed(ForgetUserRequest, fuzzed.parts[0])
            if answer.code is not grpc.StatusCode.OK:
                outcomes.append(ended(answer, is_message=request is not None))
            else:
                outcomes.append(accepted(intact=request.user_id.encode() in keys))
        return outcomes


class UnknownBytesDoor(_Collector):
    """Bytes of anything to every method."""

    name = "collector.bytes"
    batch = 60
    seeds = 2
    METHODS = ("UpsertItems", "ForgetUser", "NoSuchMethod", "")

    def valid(self, rng: Random, number: int) -> Parts:
        return (b"ForgetUser", ForgetUserRequest(user_id=f"u{number}").SerializeToString())

    def malformed(self, rng: Random, number: int) -> Fuzzed:
        value, made_by = damaged(UpsertItemsRequest(items=[item_message(rng, number)]).SerializeToString(), rng)
        return Fuzzed((rng.choice(self.METHODS).encode(), value), made_by=made_by)

    def feed(self, inputs: Sequence[Fuzzed]) -> list[Outcome]:
        outcomes = []
        for fuzzed in inputs:
            method, value = (part or b"" for part in fuzzed.parts)
            (answer,) = self.server.unary(SERVICE + method.decode(errors="replace"), [value])
            kind = {b"UpsertItems": UpsertItemsRequest, b"ForgetUser": ForgetUserRequest}.get(method)
            is_message = kind is not None and parsed(kind, value) is not None
            fine = answer.code is grpc.StatusCode.OK
            outcomes.append(accepted() if fine else ended(answer, is_message=is_message))
        return outcomes
