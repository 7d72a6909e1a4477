"""How many events the collector acknowledges per second: one event per message on one stream, and in batches.

    python -m tests.benchmarks.bench_collector                         with a broker and a collector of its own
    python -m tests.benchmarks.bench_collector --config mmrec.toml     against a running stack

Acknowledged means that the broker has the event and that the next request of its user sees it (the overlay is written).
Writes tests/benchmarks/results/collector.json; --output FILE writes elsewhere.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np

from mmrec.config import Settings, load_settings
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import EventOutcome, RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import settings_from
from tests.benchmarks.receipt import write_receipt

BATCH = 100
"""Events per message where they come in batches."""
UNDER_WAY = {1: 200, BATCH: 32}
"""Messages under way at once, by events per message."""
PACKAGES = ("grpcio", "kafka-python", "protobuf")


def measure_collector(
    settings: Settings, *, seconds: float = 5.0, rounds: int = 3, num_users: int = 50_000, num_items: int = 20_000
) -> dict[str, float]:
    """Figures of the collector that serves at `settings.serving.collector`: medians over `rounds`.

    Returns:
        collector_events_per_s, collector_ack_p50_ms, collector_ack_p99_ms (one event per message on one stream) and
        collector_batched_events_per_s, collector_batch_ack_p50_ms, collector_batch_ack_p99_ms.
    """
    found: dict[str, list[float]] = {}
    for number in range(-1, rounds):  # the first round warms up
        for size, rate, latency in (
            (1, "collector_", "collector_ack"),
            (BATCH, "collector_batched_", "collector_batch_ack"),
        ):
            requests = _requests(seconds if number >= 0 else 1.0, size, num_users, num_items, seed=number + 1)
            length_s = seconds if number >= 0 else 1.0
            acked, elapsed_s, ms = asyncio.run(_load(settings.serving.collector, requests, size, length_s))
            if number >= 0:
                found.setdefault(f"{rate}events_per_s", []).append(acked / elapsed_s)
                found.setdefault(f"{latency}_p50_ms", []).append(float(np.percentile(ms, 50)))
                found.setdefault(f"{latency}_p99_ms", []).append(float(np.percentile(ms, 99)))
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def _requests(seconds: float, size: int, num_users: int, num_items: int, *, seed: int) -> list[RecordBehaviorsRequest]:
    """More messages than can be sent in `seconds`, made beforehand."""
    rng = np.random.default_rng(seed)
    number = int(seconds * (10_000 if size == 1 else 30_000 / size)) + 1
    users = (rng.pareto(1.1, size=number * size) * 20).astype(np.int64) % num_users
    items = (rng.pareto(1.1, size=number * size) * 20).astype(np.int64) % num_items
    names, run = ("browse", "browse", "favorite", "cart", "purchase"), uuid.uuid4().hex[:12]
    now_s = int(time.time())
    requests = []
    for start in range(0, number * size, size):
        request = RecordBehaviorsRequest()
        for place in range(start, start + size):
            event = BehaviorEvent(
                event_id=f"{run}-{place}",
                user_id=f"u{users[place]:05d}",
                item_id=f"i{items[place]:05d}",
                behavior=names[place % 5],
                session_id=f"s{users[place]:05d}",
            )
            event.event_time.seconds = now_s - place % 60
            request.events.append(event)
        requests.append(request)
    return requests


async def _load(
    target: str, requests: Sequence[RecordBehaviorsRequest], size: int, seconds: float
) -> tuple[int, float, list[float]]:
    """Acknowledged events, seconds from the first message to the last answer, latency of each message in ms."""
    sent_s: list[float] = []
    latencies_ms: list[float] = []
    acknowledged = 0
    room = asyncio.Semaphore(UNDER_WAY[size])
    async with grpc.aio.insecure_channel(target) as channel:
        await channel.channel_ready()
        call = CollectorServiceStub(channel).RecordBehaviors()
        began_s = time.perf_counter()

        async def write() -> None:
            for request in requests:
                await room.acquire()
                if time.perf_counter() - began_s > seconds:
                    break
                sent_s.append(time.perf_counter())
                await call.write(request)
            await call.done_writing()

        writing = asyncio.create_task(write())
        async for response in call:
            answered_s, statuses = time.perf_counter(), response.statuses
            for _ in range(len(statuses) // size):  # a response answers whole requests
                latencies_ms.append(1_000 * (answered_s - sent_s[len(latencies_ms)]))
                room.release()
            acknowledged += sum(s.outcome == EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED for s in statuses)
        await writing
        return acknowledged, time.perf_counter() - began_s, latencies_ms


@contextmanager
def own_collector(folder: Path) -> Iterator[Settings]:
    """A broker, a feature repository and a collector in `folder`, ended afterwards."""
    from feature_repo.apply import apply_repository
    from mmrec.stores.kafka.admin import TopicAdmin
    from services.stack.guard import child_environment, end_processes, new_stack_id, start_guard
    from services.stack.jars import ensure_jars
    from services.stack.java import ensure_java_home
    from services.stack.kafka_broker import KafkaBroker
    from services.stack.ports import HOST, any_free, next_free

    stack_id = new_stack_id()
    with ExitStack() as stack:
        guard = start_guard(stack_id)
        stack.callback(guard.wait, 30)
        stack.callback(guard.stdin.close)
        stack.callback(end_processes, stack_id)
        port, collector = next_free(19_400), any_free(1)[0]
        config = folder / "mmrec.toml"
        config.write_text(
            f'[kafka]\nbootstrap = "{HOST}:{port}"\n[serving]\ncollector = "{HOST}:{collector}"\n', encoding="utf-8"
        )
        settings, java_home = load_settings(config), ensure_java_home()
        broker = KafkaBroker(
            folder=folder / "kafka",
            port=port,
            java_home=java_home,
            jars=ensure_jars(java_home).kafka,
            environment=child_environment(stack_id),
        )
        stack.callback(broker.stop)
        broker.start()
        with TopicAdmin(settings.kafka.bootstrap) as admin:
            admin.create_topics(settings.kafka)
        apply_repository(settings.stores, settings.scoring.decay_per_day)
        command = [sys.executable, "-m", "services.collector", "--config", str(config)]
        process = subprocess.Popen(command, env=child_environment(stack_id), start_new_session=True)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        with grpc.insecure_channel(settings.serving.collector) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        yield settings


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="a running deployment; one is started where not given")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.config:
            settings = settings_from(arguments.config)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mmrec-bench-"))
            settings = stack.enter_context(own_collector(Path(folder)))
        figures = measure_collector(settings, seconds=arguments.seconds, rounds=arguments.rounds)
    path = write_receipt("collector", figures, {}, packages=PACKAGES, output=arguments.output)
    print(json.dumps(figures, indent=1))
    print(path.name, "written")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
