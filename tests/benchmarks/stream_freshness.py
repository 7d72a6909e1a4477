"""From an event to the first list that shows it, under load, and what the stream costs those who ask for lists.

A probe is a user nobody knows, with one event on one item: the first list whose explanation names that item shows it.
Its list is asked for once the event is acknowledged (by the collector, or by Kafka), as a storefront does that shows
what was just clicked, and again until it shows it; probes' requests take the places of others of the fixed number per
second, and only the others' latencies count. Two phases of the same load: without the stream (its events wait), and
with it: the scoring stream and the follower of the topic, niced as the stack nices them.
"""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mmrec.client import RecommenderClient
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import describe_topic
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.telemetry.logs import read_status
from mmrec.v1 import behavior_pb2, recommender_pb2, recommender_pb2_grpc
from mmrec.v1.collector_pb2 import EventOutcome, RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import open_feature_store
from services.stack.guard import child_environment
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home, java_environment
from services.stack.niceness import make_nice
from tests.benchmarks.own_recommender import OwnRecommender

NICENESS = {"score_stream": 10, "follow_events": 5}
PROBE_BEHAVIOR = "cart"
LIST_LENGTH = 20
PAUSE_S = {"collector": 0.3, "kafka": 0.2}
"""Between a probe that was seen and the next one, half as long to half as long again."""
POLL_S = {"collector": 0.005, "kafka": 0.02}
"""At least this between two requests for a probe."""
LOST_S = 15.0
"""A probe that no list shows within this time is lost, and counts as this long."""
WARM_UP_S = 15.0
"""The first requests of a phase, which count for nothing."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked and sent per second."""

    requests_per_s: float = 200.0
    kafka_per_s: float = 800.0
    collector_per_s: float = 200.0
    seconds: float = 45.0


@dataclass(kw_only=True)
class Probe:
    """One event on its way."""

    way: str
    user_id: str
    item_id: str
    sent_s: float
    seen_s: float = 0.0


Send = Callable[[Probe], Awaitable[None]]


@dataclass(kw_only=True)
class Asked:
    """One phase."""

    latencies_ms: list[float] = field(default_factory=list)
    failures: int = 0
    probes: list[Probe] = field(default_factory=list)

    def freshness_ms(self, way: str) -> list[float]:
        mine = [p for p in self.probes if p.way == way]
        return [1_000 * (p.seen_s - p.sent_s if p.seen_s else LOST_S) for p in mine]


def measure_freshness(
    recommender: OwnRecommender, folder: Path, *, load: Load
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures, samples)."""
    items_file = folder / "items.txt"
    items_file.write_text("\n".join(recommender.item_ids), encoding="utf-8")
    shown = _shown_items(recommender)
    figures: dict[str, Any] = {"num_probe_items": len(shown)}
    with ExitStack() as stack:
        stack.enter_context(beside(recommender, folder, "collector", ["-m", "services.collector"]))
        _wait_collector(recommender)
        before, achieved = _phase(recommender, folder, items_file, load, shown, with_kafka_probes=False)
        figures["load_without_stream_events_per_s"] = achieved
        java_home = ensure_java_home()
        jars = ",".join(str(jar) for jar in ensure_jars(java_home).spark)
        java = {**java_environment(java_home), "MMREC_SPARK_JARS": jars}
        for name, nice in NICENESS.items():
            stack.enter_context(beside(recommender, folder, name, ["-m", f"jobs.{name}"], nice=nice, **java))
        _wait_caught_up(recommender)
        after, achieved = _phase(recommender, folder, items_file, load, shown, with_kafka_probes=True)
        figures["load_with_stream_events_per_s"] = achieved
        said = read_status(recommender.settings.stores.status)
        figures["overlay_missed"] = sum(said[name].get("overlay_missed", 0) for name in ("collector", "follow_events"))
        for name, seconds in said["score_stream"].get("ingest_to_stored_s", {}).items():
            figures[f"ingest_to_profile_{name}_ms"] = round(1_000 * seconds, 1)
    for way in ("collector", "kafka"):
        values = after.freshness_ms(way)
        figures[f"freshness_{way}_probes"] = len(values)
        figures[f"freshness_{way}_lost"] = sum(p.way == way and not p.seen_s for p in after.probes)
        if values:
            figures[f"freshness_{way}_p50_ms"] = round(float(np.percentile(values, 50)), 1)
            figures[f"freshness_{way}_p95_ms"] = round(float(np.percentile(values, 95)), 1)
    for name, phase in (("without_stream", before), ("with_stream", after)):
        figures[f"requests_{name}"] = len(phase.latencies_ms)
        figures[f"failed_requests_{name}"] = phase.failures
        figures[f"serving_p50_ms_{name}"] = round(float(np.percentile(phase.latencies_ms, 50)), 2)
        figures[f"serving_p99_ms_{name}"] = round(float(np.percentile(phase.latencies_ms, 99)), 2)
    figures["serving_p99_ratio"] = round(
        figures["serving_p99_ms_with_stream"] / figures["serving_p99_ms_without_stream"], 2
    )
    samples = {way: [round(v, 1) for v in sorted(after.freshness_ms(way))] for way in ("collector", "kafka")}
    return figures, {"freshness_ms": samples}


def _shown_items(recommender: OwnRecommender) -> list[str]:
    """Items of which a list says so once an unknown user has one event on them: others would make no probe."""
    shown = []
    with RecommenderClient(recommender.settings.serving.recommender) as client:
        for item_id in recommender.item_ids[:400]:
            answer = client.recommend(
                "nobody",
                num_items=LIST_LENGTH,
                session_events=[(item_id, PROBE_BEHAVIOR)],
                include_explanations=True,
            )
            if _names(answer, item_id):
                shown.append(item_id)
    if len(shown) < 10:
        raise RuntimeError(f"only {len(shown)} items would be seen in a list after one event on them")
    return shown


def _names(answer: recommender_pb2.RecommendItemsResponse, item_id: str) -> bool:
    return any(reason.item_id == item_id for item in answer.items for reason in item.explanation.behaviors)


def _phase(
    recommender: OwnRecommender,
    folder: Path,
    items: Path,
    load: Load,
    shown: list[str],
    *,
    with_kafka_probes: bool,
) -> tuple[Asked, float]:
    command = [sys.executable, "-m", "tests.benchmarks.stream_load", "--config", str(recommender.config)]
    command += ["--kafka-per-s", str(load.kafka_per_s), "--collector-per-s", str(load.collector_per_s)]
    command += ["--seconds", str(load.seconds + WARM_UP_S + 5.0), "--items", str(items)]
    sending = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment(recommender.stack_id))
    time.sleep(3.0)  # it loads and connects
    asked = asyncio.run(_Asking(recommender, load, shown, with_kafka_probes).run())
    output, _ = sending.communicate(timeout=60)
    return asked, float(json.loads(output.strip().splitlines()[-1])["events_per_s"])


class _Asking:
    """Requests of users who are known, at fixed instants, and of probes instead."""

    def __init__(self, recommender: OwnRecommender, load: Load, shown: list[str], with_kafka_probes: bool) -> None:
        self._recommender, self._load = recommender, load
        self._rng = np.random.default_rng(5)
        self._items = deque(self._rng.permutation(shown).tolist())
        self._with_kafka = with_kafka_probes
        self._asked = Asked()
        self._run = uuid.uuid4().hex[:8]
        self._num_polls = 0
        """Requests for probes that have not yet taken another one's place."""

    async def run(self) -> Asked:
        settings = self._recommender.settings
        producer = KafkaRecordProducer(settings.kafka.bootstrap)
        async with (
            grpc.aio.insecure_channel(settings.serving.recommender) as channel,
            grpc.aio.insecure_channel(settings.serving.collector) as to_collector,
        ):
            self._stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
            call = CollectorServiceStub(to_collector).RecordBehaviors()
            began_s, number = time.monotonic(), 0
            first_s, end_s = began_s + WARM_UP_S, began_s + WARM_UP_S + self._load.seconds
            tasks = {asyncio.create_task(self._probe("collector", partial(_to_collector, call), first_s, end_s))}
            if self._with_kafka:
                topic = settings.kafka.behavior_events
                tasks.add(
                    asyncio.create_task(self._probe("kafka", partial(_to_kafka, producer, topic), first_s, end_s))
                )
            while (due_s := began_s + number / self._load.requests_per_s) < end_s:
                await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
                number += 1
                if self._num_polls:
                    self._num_polls -= 1
                    continue
                task = asyncio.create_task(self._ask(self._any_user(), None, due_s, counts=first_s <= due_s))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
            await call.done_writing()
        await asyncio.to_thread(producer.close)
        return self._asked

    async def _probe(self, way: str, send: Send, first_s: float, end_s: float) -> None:
        """One probe after another, from `first_s` to `end_s`."""
        await asyncio.sleep(first_s - time.monotonic())
        while time.monotonic() < end_s:
            self._items.rotate(1)
            name = f"probe-{self._run}-{len(self._asked.probes)}"
            probe = Probe(way=way, user_id=name, item_id=self._items[0], sent_s=time.monotonic())
            self._asked.probes.append(probe)
            await send(probe)
            while not probe.seen_s and time.monotonic() - probe.sent_s < LOST_S:
                self._num_polls += 1
                asked_s = time.monotonic()
                await self._ask(probe.user_id, probe, asked_s, counts=False)
                if not probe.seen_s:
                    await asyncio.sleep(max(asked_s + POLL_S[way] - time.monotonic(), 0.0))
            await asyncio.sleep(PAUSE_S[way] * (0.5 + float(self._rng.random())))

    def _any_user(self) -> str:
        users = self._recommender.user_ids
        return users[int(self._rng.integers(len(users)))]

    async def _ask(self, user_id: str, probe: Probe | None, due_s: float, *, counts: bool) -> None:
        request = recommender_pb2.RecommendItemsRequest(
            user_id=user_id, num_items=LIST_LENGTH, include_explanations=probe is not None
        )
        try:
            answer = await self._stub.RecommendItems(request, timeout=10)
        except grpc.RpcError:
            answer = None
        answered_s = time.monotonic()
        if counts:  # a request that fails took as long as it took
            self._asked.failures += answer is None
            self._asked.latencies_ms.append(1_000 * (answered_s - due_s))
        if probe is not None and answer is not None and not probe.seen_s and _names(answer, probe.item_id):
            probe.seen_s = answered_s


async def _to_collector(call: Any, probe: Probe) -> None:
    event = behavior_pb2.BehaviorEvent(
        event_id=probe.user_id, user_id=probe.user_id, item_id=probe.item_id, behavior=PROBE_BEHAVIOR
    )
    event.event_time.GetCurrentTime()
    await call.write(RecordBehaviorsRequest(events=[event]))
    (status,) = (await call.read()).statuses
    if status.outcome != EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED:
        raise RuntimeError(f"the collector answered a probe with {status}")


async def _to_kafka(producer: KafkaRecordProducer, topic: str, probe: Probe) -> None:
    value = {
        "event_id": probe.user_id,
        "user_id": probe.user_id,
        "item_id": probe.item_id,
        "behavior": PROBE_BEHAVIOR,
        "event_time": datetime.now(UTC).isoformat(),
    }
    await asyncio.wrap_future(producer.send(topic, probe.user_id.encode(), json.dumps(value).encode()))


@contextmanager
def beside(
    recommender: OwnRecommender, folder: Path, name: str, arguments: list[str], *, nice: int = 0, **variables: str
):
    """A program of the deployment, for as long as the block runs; its log stands in `folder`."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments, "--config", str(recommender.config)],
            stdout=log,
            stderr=log,
            env={**child_environment(recommender.stack_id, program=name), **variables},
            start_new_session=True,
        )
    make_nice(process.pid, nice)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_collector(recommender: OwnRecommender) -> None:
    with grpc.insecure_channel(recommender.settings.serving.collector) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)


def _wait_caught_up(recommender: OwnRecommender, *, timeout_s: float = 240.0) -> None:
    """Until the stream has worked off what was sent while it was not there."""
    kafka, give_up_s = recommender.settings.kafka, time.monotonic() + timeout_s
    store = open_feature_store(recommender.settings)
    topic = describe_topic(kafka.bootstrap, kafka.behavior_events)
    ends = end_offsets(kafka.bootstrap, kafka.behavior_events)
    wanted = {Source(topic.cluster_id, topic.topic_id, partition): end - 1 for partition, end in ends.items()}
    while time.monotonic() < give_up_s:
        progress = store.read_progress()
        if progress is not None and all(progress.marks.get(s, -1) >= last for s, last in wanted.items()):
            return
        time.sleep(0.5)
    raise RuntimeError(f"the stream did not catch up within {timeout_s} s")
