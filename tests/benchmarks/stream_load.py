"""A steady load of events on a running deployment: so many per second straight onto Kafka, so many by the collector.

    python -m tests.benchmarks.stream_load --config mmrec.toml --kafka-per-s 800 --collector-per-s 200 --seconds 60

Open loop: events are due at fixed instants, however long answers take. Prints what it achieved as JSON.
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np

from mmrec.config import Settings
from mmrec.simulator.settings import BEHAVIORS, FUNNEL_SHARES
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.v1.collector_pb2 import RecordBehaviorsRequest
from mmrec.v1.collector_pb2_grpc import CollectorServiceStub
from mmrec.wiring import settings_from

TICK_S = 0.02
DRAWN_TOGETHER = 4_096
"""Events whose users, items and behaviors are drawn at once: drawn one by one they cost more than sending them."""


class SteadyLoad:
    """Makes events of the shape of a shop's and sends them on time."""

    def __init__(self, settings: Settings, *, num_users: int, items: list[str], seconds: float) -> None:
        self._settings = settings
        self._rng = np.random.default_rng(3)
        self._users = [f"load{number:05d}" for number in range(num_users)]
        self._items = items
        self._run = uuid.uuid4().hex[:10]
        self._drawn: Iterator[tuple[str, str, str]] = iter(())
        self._stop_s = time.monotonic() + seconds
        self.num_sent = 0

    async def run(self, *, kafka_per_s: float, collector_per_s: float) -> None:
        """Send until the time is over."""
        await asyncio.gather(self._to_kafka(kafka_per_s), self._to_collector(collector_per_s))

    async def _due(self, per_s: float) -> AsyncIterator[int]:
        """How many events are due now, tick by tick."""
        began_s, sent = time.monotonic(), 0
        while (now_s := time.monotonic()) < self._stop_s:
            due = int((now_s - began_s) * per_s) - sent
            sent += due
            yield due
            await asyncio.sleep(TICK_S)

    async def _to_kafka(self, per_s: float) -> None:
        producer, topic = KafkaRecordProducer(self._settings.kafka.bootstrap), self._settings.kafka.behavior_events
        async for due in self._due(per_s):
            now = datetime.now(UTC).isoformat()
            records = []
            for number in range(self.num_sent, self.num_sent + due):
                user, item, behavior = self._draw()
                value = {
                    "event_id": f"{self._run}-{number}",
                    "user_id": user,
                    "item_id": item,
                    "behavior": behavior,
                    "event_time": now,
                }
                records.append((user.encode(), json.dumps(value).encode()))
            producer.send_each(topic, records, _ignored)
            self.num_sent += due
        await asyncio.to_thread(producer.close)

    async def _to_collector(self, per_s: float) -> None:
        async with grpc.aio.insecure_channel(self._settings.serving.collector) as channel:
            call = CollectorServiceStub(channel).RecordBehaviors()
            reading = asyncio.create_task(_read_all(call))
            async for due in self._due(per_s):
                for _ in range(due):
                    user, item, behavior = self._draw()
                    event = BehaviorEvent(
                        event_id=f"{self._run}-{self.num_sent}", user_id=user, item_id=item, behavior=behavior
                    )
                    event.event_time.GetCurrentTime()
                    await call.write(RecordBehaviorsRequest(events=[event]))
                    self.num_sent += 1
            await call.done_writing()
            await reading

    def _draw(self) -> tuple[str, str, str]:
        """The next event's user, item and behavior."""
        for drawn in self._drawn:
            return drawn
        users_E = self._rng.zipf(1.2, size=DRAWN_TOGETHER) % len(self._users)
        items_E = self._rng.zipf(1.2, size=DRAWN_TOGETHER) % len(self._items)
        behaviors_E = self._rng.choice(len(BEHAVIORS), size=DRAWN_TOGETHER, p=FUNNEL_SHARES)
        self._drawn = iter(
            [
                (self._users[user], self._items[item], BEHAVIORS[behavior])
                for user, item, behavior in zip(users_E.tolist(), items_E.tolist(), behaviors_E.tolist(), strict=True)
            ]
        )
        return next(self._drawn)


def _ignored(index: int, answer: object) -> None:
    """What became of a record: the stream's own figures say what arrived."""


async def _read_all(call: object) -> None:
    async for _ in call:
        pass


def main() -> None:
    """Send and say what was achieved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--kafka-per-s", type=float, default=800.0)
    parser.add_argument("--collector-per-s", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--items", required=True, help="file with one item id a line")
    arguments = parser.parse_args()
    items = Path(arguments.items).read_text(encoding="utf-8").split()
    load = SteadyLoad(settings_from(arguments.config), num_users=5_000, items=items, seconds=arguments.seconds)
    began_s = time.monotonic()
    asyncio.run(load.run(kafka_per_s=arguments.kafka_per_s, collector_per_s=arguments.collector_per_s))
    print(json.dumps({"events_per_s": round(load.num_sent / (time.monotonic() - began_s), 1)}))


if __name__ == "__main__":
    main()
