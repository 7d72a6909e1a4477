"""The collector as a process of its own, on a real broker, spoken to over gRPC."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mmrec.config import Settings
from mmrec.events.rejected import decode_rejected
from mmrec.stores.kafka.readers import read_topic
from mmrec.telemetry.logs import read_status
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.catalog_pb2 import CatalogItem
from mmrec.v1.collector_pb2 import EventOutcome, ForgetUserRequest, RecordBehaviorsRequest, UpsertItemsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub

pytestmark = pytest.mark.integration
Collector = tuple[Settings, grpc.Channel]


def running(settings: Settings, config: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "services.collector", "--config", str(config)], env=dict(os.environ))


@pytest.fixture
def collector(settings: Callable[..., Any]) -> Iterator[Collector]:
    deployment = settings(kafka=True)
    process = running(deployment.settings, deployment.config)
    try:
        with grpc.insecure_channel(deployment.settings.serving.collector) as channel:
            grpc.channel_ready_future(channel).result(timeout=300)
            yield deployment.settings, channel
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert read_status(deployment.settings.stores.status)["collector"]["ready"] is False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def event(event_id: str, **changes: object) -> BehaviorEvent:
    return BehaviorEvent(**{"event_id": event_id, "user_id": "u1", "item_id": "i", "behavior": "cart", **changes})


def test_acknowledged_events_are_in_kafka_where_the_status_says(collector: Collector) -> None:
    settings, channel = collector
    requests = [
        RecordBehaviorsRequest(events=[event(f"{n}-{m}", user_id=f"u{m}") for m in range(5)]) for n in range(40)
    ]
    requests.append(RecordBehaviorsRequest(events=[event("bad", behavior="teleport"), event("good")]))
    requests.append(RecordBehaviorsRequest())
    responses = list(CollectorServiceStub(channel).RecordBehaviors(iter(requests), timeout=60))
    assert [s.event_id for r in responses for s in r.statuses] == [e.event_id for q in requests for e in q.events]
    at = {(r.partition, r.offset): r for r in read_topic(settings.kafka.bootstrap, settings.kafka.behavior_events)}
    acknowledged = [s for r in responses for s in r.statuses if s.outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED]
    assert len(acknowledged) == len(at) == 201
    for status in acknowledged:
        record = at[status.partition, status.offset]
        assert f'"event_id":"{status.event_id}"'.encode() in (record.value or b"")
        assert status.ingest_time.ToNanoseconds() / 1e9 == pytest.approx(record.timestamp_s, abs=1e-3)
    (bad,) = [s for r in responses for s in r.statuses if s.outcome == EventOutcome.EVENT_OUTCOME_REJECTED]
    assert (bad.event_id, bad.reason) == ("bad", "unknown_behavior")
    (refused,) = read_topic(settings.kafka.bootstrap, settings.kafka.rejected)
    assert decode_rejected(refused.value or b"")["reason"] == "unknown_behavior"


def test_a_status_comes_while_the_stream_stays_open(collector: Collector) -> None:
    _, channel = collector
    go_on = threading.Event()

    def requests() -> Iterator[RecordBehaviorsRequest]:
        yield RecordBehaviorsRequest(events=[event("first")])
        go_on.wait(60)
        yield RecordBehaviorsRequest(events=[event("second")])

    responses = CollectorServiceStub(channel).RecordBehaviors(requests(), timeout=60)
    assert next(responses).statuses[0].event_id == "first"
    go_on.set()
    assert next(responses).statuses[0].event_id == "second"


def test_a_request_that_cannot_be_read_ends_its_call_and_no_other(collector: Collector) -> None:
    _, channel = collector
    record = channel.stream_stream("/mmrec.v1.CollectorService/RecordBehaviors")
    with pytest.raises(grpc.RpcError) as refused:
        list(record(iter([b"\xff\xff\xff"]), timeout=30))
    assert refused.value.code() not in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK}
    gone = CollectorServiceStub(channel).RecordBehaviors(iter([RecordBehaviorsRequest(events=[event("gone")])]))
    gone.cancel()
    request = RecordBehaviorsRequest(events=[event("after")])
    (response,) = CollectorServiceStub(channel).RecordBehaviors(iter([request]), timeout=30)
    assert response.statuses[0].outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED


def test_items_reach_the_catalogue_topic(collector: Collector) -> None:
    settings, channel = collector
    request = UpsertItemsRequest(
        items=[CatalogItem(item_id="i1", title="Red dress"), CatalogItem(item_id="i2")], removed_item_ids=["i0"]
    )
    statuses = CollectorServiceStub(channel).UpsertItems(request, timeout=60).statuses
    assert [(s.item_id, s.reason) for s in statuses] == [("i1", ""), ("i2", "missing_title"), ("i0", "")]
    records = {r.key: r.value for r in read_topic(settings.kafka.bootstrap, settings.kafka.catalog_items)}
    assert records[b"i0"] is None
    assert b"Red dress" in (records[b"i1"] or b"")


def test_a_request_to_forget_is_a_record_of_the_topic_and_without_a_user_refused(collector: Collector) -> None:
    settings, channel = collector
    stub = CollectorServiceStub(channel)
    answer = stub.ForgetUser(ForgetUserRequest(user_id="ann"), timeout=30)
    (record,) = read_topic(settings.kafka.bootstrap, settings.kafka.behavior_events)
    assert (record.key, record.partition, record.offset) == (b"ann", answer.partition, answer.offset)
    assert b'"behavior":"mmrec.forget"' in (record.value or b"")
    assert answer.ingest_time.ToNanoseconds() / 1e9 == pytest.approx(record.timestamp_s, abs=1e-3)
    for user_id in ("", "~ann", "x" * 300):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ForgetUser(ForgetUserRequest(user_id=user_id), timeout=30)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_health_and_reflection(collector: Collector) -> None:
    settings, channel = collector
    for service in ("", "mmrec.v1.CollectorService"):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    described = ProtoReflectionDescriptorDatabase(channel)
    reflection = {f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")}
    assert set(described.get_services()) == {"mmrec.v1.CollectorService", "grpc.health.v1.Health", *reflection}
    for symbol in ("mmrec.v1.CollectorService.UpsertItems", "mmrec.v1.BehaviorEvent.event_time"):
        assert described.FindFileContainingSymbol(symbol).package == "mmrec.v1"
    for _ in range(100):
        if read_status(settings.stores.status).get("collector", {}).get("ready"):
            return
        time.sleep(0.1)
    pytest.fail("the status file never said ready")


def test_without_the_broker_events_are_to_be_sent_again(
    settings: Callable[..., Any], new_broker: Callable[[], Any]
) -> None:
    from dataclasses import replace

    from mmrec.stores.kafka.admin import TopicAdmin

    broker = new_broker()
    broker.start()
    deployment = settings(extra=f'[kafka]\nbootstrap = "{broker.bootstrap}"')
    kafka = replace(deployment.settings.kafka, bootstrap=broker.bootstrap)
    with TopicAdmin(broker.bootstrap) as admin:
        admin.create_topics(kafka)
    process = running(deployment.settings, deployment.config)
    try:
        with grpc.insecure_channel(deployment.settings.serving.collector) as channel:
            grpc.channel_ready_future(channel).result(timeout=300)
            stub = CollectorServiceStub(channel)

            def outcome(event_id: str) -> int:
                request = RecordBehaviorsRequest(events=[event(event_id)])
                (response,) = stub.RecordBehaviors(iter([request]), timeout=90)
                return int(response.statuses[0].outcome)

            assert outcome("before") == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED
            broker.stop()
            assert outcome("during") == EventOutcome.EVENT_OUTCOME_RETRY
            broker.start()
            assert any(outcome(f"after{n}") == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED for n in range(10))
    finally:
        process.kill()
        process.wait()
