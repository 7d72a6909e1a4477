"""From an event to the first list that shows it, under load, and what the stream costs those who ask for lists.

A probe is a user nobody knows, with one event on one item: the first list whose explanation names that item shows it.
Probes' own polls are part of the 200 requests per second. Two phases of the same load: without the stream (its events
wait), and with it, niced as the stack nices it.
"""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mmrec.client import RecommenderClient
from mmrec.scoring.profile import Source
from mmrec.stores.kafka import KafkaRecordProducer, describe_topic
from mmrec.stores.topic_ends import end_offsets
from mmrec.v1 import behavior_pb2, recommender_pb2, recommender_pb2_grpc
from mmrec.v1.collector_pb2 import RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import open_feature_store
from services.stack.guard import child_environment
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home, java_environment
from tests.benchmarks.own_recommender import OwnRecommender

STREAM_NICENESS = 10
PROBE_BEHAVIOR = "cart"
LIST_LENGTH = 20
COLLECTOR_PAUSE_S, KAFKA_PAUSE_S = 0.2, 0.1
KAFKA_POLL_S = 0.02
LOST_S = 15.0
"""A probe that no list shows within this time is lost, and counts as this long."""
WARM_UP_S = 5.0
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
    polled_s: float = 0.0
    seen_s: float = 0.0


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
        stack.enter_context(_process(recommender, folder, "collector", ["-m", "services.collector"]))
        _wait_collector(recommender)
        before, achieved = _phase(recommender, folder, items_file, load, shown, with_kafka_probes=False)
        figures["load_without_stream_events_per_s"] = achieved
        java_home = ensure_java_home()
        jars = ",".join(str(jar) for jar in ensure_jars(java_home).spark)
        java = {**java_environment(java_home), "MMREC_SPARK_JARS": jars}
        command = ["-m", "jobs.score_stream"]
        stack.enter_context(_process(recommender, folder, "score_stream", command, nice=STREAM_NICENESS, **java))
        _wait_caught_up(recommender)
        after, achieved = _phase(recommender, folder, items_file, load, shown, with_kafka_probes=True)
        figures["load_with_stream_events_per_s"] = achieved
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
    """Requests at fixed instants; each is a poll of an open probe, or one of a user who is known."""

    def __init__(self, recommender: OwnRecommender, load: Load, shown: list[str], with_kafka_probes: bool) -> None:
        self._recommender, self._load = recommender, load
        self._rng = np.random.default_rng(5)
        self._items = deque(self._rng.permutation(shown).tolist())
        self._with_kafka = with_kafka_probes
        self._asked = Asked()
        self._run = uuid.uuid4().hex[:8]
        self._open: dict[str, Probe] = {}
        self._next_s = {"collector": 0.0, "kafka": 0.0}

    async def run(self) -> Asked:
        settings = self._recommender.settings
        producer = KafkaRecordProducer(settings.kafka.bootstrap)
        async with (
            grpc.aio.insecure_channel(settings.serving.recommender) as channel,
            grpc.aio.insecure_channel(settings.serving.collector) as to_collector,
        ):
            self._stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
            call = CollectorServiceStub(to_collector).RecordBehaviors()
            reading = asyncio.create_task(_read_all(call))
            tasks: set[asyncio.Task[None]] = set()
            began_s, number = time.monotonic(), 0
            first_s, end_s = began_s + WARM_UP_S, began_s + WARM_UP_S + self._load.seconds
            due_s = began_s
            while due_s < end_s or (self._waits() and due_s < end_s + LOST_S):
                await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
                if first_s <= due_s < end_s:
                    await self._send_probes(call, producer)
                probe = self._probe_to_poll()
                user_id = probe.user_id if probe else self._any_user()
                counts = first_s <= due_s < end_s
                task = asyncio.create_task(self._ask(user_id, probe, due_s, counts=counts))
                number += 1
                due_s = began_s + number / self._load.requests_per_s
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
            await call.done_writing()
            await reading
        await asyncio.to_thread(producer.close)
        return self._asked

    def _waits(self) -> bool:
        """Whether a probe is still to be seen."""
        return any(not probe.seen_s for probe in self._open.values())

    async def _send_probes(self, call: Any, producer: KafkaRecordProducer) -> None:
        now_s = time.monotonic()
        for way in ("collector", "kafka") if self._with_kafka else ("collector",):
            probe = self._open.get(way)
            if probe is not None and (probe.seen_s or now_s - probe.sent_s > LOST_S):
                del self._open[way]
                pause_s = COLLECTOR_PAUSE_S if way == "collector" else KAFKA_PAUSE_S
                self._next_s[way] = now_s + pause_s * (0.5 + float(self._rng.random()))
            if way in self._open or now_s < self._next_s[way]:
                continue
            self._items.rotate(1)
            name = f"probe-{self._run}-{len(self._asked.probes)}"
            probe = Probe(way=way, user_id=name, item_id=self._items[0], sent_s=time.monotonic())
            self._open[way] = probe
            self._asked.probes.append(probe)
            if way == "collector":
                event = behavior_pb2.BehaviorEvent(
                    event_id=name, user_id=name, item_id=probe.item_id, behavior=PROBE_BEHAVIOR
                )
                event.event_time.GetCurrentTime()
                await call.write(RecordBehaviorsRequest(events=[event]))
            else:
                value = {
                    "event_id": name,
                    "user_id": name,
                    "item_id": probe.item_id,
                    "behavior": PROBE_BEHAVIOR,
                    "event_time": datetime.now(UTC).isoformat(),
                }
                topic = self._recommender.settings.kafka.behavior_events
                producer.send(topic, name.encode(), json.dumps(value).encode())

    def _probe_to_poll(self) -> Probe | None:
        now_s = time.monotonic()
        for way, pause_s in (("kafka", KAFKA_POLL_S), ("collector", 0.0)):
            probe = self._open.get(way)
            if probe is not None and not probe.seen_s and now_s - probe.polled_s >= pause_s:
                probe.polled_s = now_s
                return probe
        return None

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


async def _read_all(call: Any) -> None:
    async for _ in call:
        pass


@contextmanager
def _process(
    recommender: OwnRecommender, folder: Path, name: str, arguments: list[str], *, nice: int = 0, **variables: str
):
    command = (["nice", "-n", str(nice)] if nice else []) + [sys.executable, *arguments]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--config", str(recommender.config)],
            stdout=log,
            stderr=log,
            env={**child_environment(recommender.stack_id, program=name), **variables},
            start_new_session=True,
        )
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
