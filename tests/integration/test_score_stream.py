"""Kafka, Spark and Feast as they are: profiles equal the plain sum that the producer keeps, whatever happens."""

import calendar
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_repo.apply import apply_repository
from mmrec.config import Settings
from mmrec.events.rejected import decode_rejected
from mmrec.scoring.plain_sum import LedgerEvent, plain_sum, relative_errors
from mmrec.stores.kafka.readers import read_topic
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_event_log, open_feature_store, open_producer

pytestmark = pytest.mark.integration
DAY_S = 86_400.0


class Driver:
    """A score_stream process that can be killed and started again."""

    def __init__(self, config: Path, environment: dict[str, str]) -> None:
        self._config = config
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._config.parent / "score_stream.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobs.score_stream", "--config", str(self._config), "--max-offsets", "1000"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End driver, JVM and workers without a warning."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        return (self._config.parent / "score_stream.log").read_text(errors="replace")[-4_000:]


@pytest.fixture
def driver(settings: Callable[..., Any], java_variables: dict[str, str]) -> Iterator[tuple[Driver, Settings]]:
    deployment = settings(kafka=True, extra="[scoring]\nmax_items = 0\nring_size = 10000\n")
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    driver = Driver(deployment.config, java_variables)
    yield driver, deployment.settings
    driver.stop()


def wait_for(what: Callable[[], bool], driver: Driver, *, timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, driver.log
        time.sleep(0.1)


def planted_events(rng: random.Random, now_s: float, count: int) -> list[dict[str, object]]:
    """Distinct events over thirty days, in no order."""
    return [
        {
            "event_id": f"e{number}",
            "user_id": f"u{min(int(rng.paretovariate(0.7)), 60)}",
            "item_id": f"i{rng.randrange(40)}",
            "behavior": rng.choice(["browse", "browse", "favorite", "cart", "purchase"]),
            "event_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s - rng.random() * 30 * DAY_S)),
        }
        for number in range(count)
    ]


def test_profiles_equal_the_plain_sum_after_a_killed_driver(
    driver: tuple[Driver, Settings],
) -> None:
    process, settings = driver
    rng = random.Random(7)
    now_s = time.time()
    distinct = planted_events(rng, now_s, 6_000)
    sent = distinct + rng.sample(distinct, 600)  # some come twice
    rng.shuffle(sent)
    records = [(str(e["user_id"]).encode(), json.dumps(e).encode()) for e in sent]
    bad = [
        (b"u1", b"{no json"),
        (b"u1", b"[]"),
        (b"u1", json.dumps({**distinct[0], "event_id": "x1", "behavior": "stare"}).encode()),
        (b"u1", json.dumps({**distinct[0], "event_id": "x2", "item_id": ""}).encode()),
        (b"u1", json.dumps({**distinct[0], "event_id": "x3", "event_time": "2999-01-01T00:00:00Z"}).encode()),
        (b"u1", b" " * 500_000 + json.dumps({**distinct[0], "event_id": "x4"}).encode()),
    ]
    producer = open_producer(settings)
    producer.send_many(settings.kafka.behavior_events, records[:3_000] + bad)
    process.start()
    store = open_feature_store(settings)

    def counts() -> Counter[str]:
        progress = store.read_progress()
        return Counter(progress.counts if progress else {})

    def processed() -> int:
        return sum(number for name, number in counts().items() if name != "served_lists")

    wait_for(lambda: processed() >= 1_000, process)
    producer.send_many(settings.kafka.behavior_events, records[3_000:5_000])
    process.kill()
    process.start()  # and with it a fresh checkpoint
    wait_for(lambda: processed() >= 4_000, process)
    producer.send_many(settings.kafka.behavior_events, records[5_000:])
    wait_for(lambda: processed() == len(records) + len(bad), process)

    found = counts()
    assert found["accepted"] == len(distinct)
    assert found["duplicate"] == len(sent) - len(distinct)
    assert sum(number for name, number in found.items() if name.startswith("rejected.")) == len(bad)
    refusals = [decode_rejected(r.value) for r in read_topic(settings.kafka.bootstrap, settings.kafka.rejected)]
    refused = {(row["partition"], row["offset"]): row for row in refusals}
    assert len(refused) == len(bad)
    (long,) = [row for row in refused.values() if row["reason"] == "too_large"]
    assert len(long["original_value"]) == settings.events.max_value_bytes + 1
    assert long["detail"].endswith("its beginning is kept")

    ledger = [
        LedgerEvent(
            event_id=str(e["event_id"]),
            user_key=str(e["user_id"]),
            item_id=str(e["item_id"]),
            behavior=str(e["behavior"]),
            event_time_s=time_of(str(e["event_time"])),
        )
        for e in sent
    ]
    rate = settings.scoring.decay_per_day[0]
    as_of_s = now_s + DAY_S
    expected: dict[str, dict[str, float]] = defaultdict(dict)
    for (user, item), score in plain_sum(
        ledger, behaviors=settings.behaviors, decay_per_day=rate, as_of_s=as_of_s
    ).items():
        expected[user][item] = score
    profiles = store.read_profiles(expected)
    assert set(profiles) == set(expected)
    worst = max(
        max(relative_errors(p, expected[u], behaviors=settings.behaviors, decay_per_day=rate, as_of_s=as_of_s).values())
        for u, p in profiles.items()
    )
    assert worst <= 1e-9
    assert open_event_log(settings).read(columns=["event_id"]).num_rows == len(distinct)
    wait_for(lambda: bool(read_status(settings.stores.status).get("score_stream", {}).get("ready")), process)
    producer.close()


def time_of(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
