"""On Redis Spark's workers judge and write: the plain sum holds when a worker and the driver are killed under way."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from redis import Redis

from feature_repo.apply import apply_repository
from mmrec.errors import StoreError
from mmrec.events.control import identify_event
from mmrec.events.encoding import encode_event
from mmrec.stores.redis.profile_rows import RedisProfileRows
from mmrec.stores.redis.writer_lease import LEASE_KEY, LeaseLostError
from mmrec.stores.writer_right import take_writer_right
from mmrec.wiring import open_event_log, open_producer
from tests.oracle import Oracle, new_event, record_of
from tests.stream_process import StreamProcess

pytestmark = pytest.mark.integration
DAY_S = 86_400.0


@pytest.fixture
def stream(settings: Callable[..., Any], redis_server: str, java_variables: dict[str, str]) -> Iterator[StreamProcess]:
    with Redis.from_url(f"redis://{redis_server}") as server:
        server.flushdb()
    extra = f'[stores]\nonline_store = "redis"\nredis_connection = "{redis_server}"\n'
    deployment = settings(kafka=True, extra=extra + "[scoring]\nmax_items = 0\nring_size = 10000\n")
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    process = StreamProcess(deployment.config, java_variables)
    yield process
    process.stop()


def kill_a_worker(stream: StreamProcess) -> None:
    """kill -9 of a Python worker of Spark, the daemon that makes them not among them."""
    driver = psutil.Process(stream.pid)
    stream.wait_for(lambda: bool(workers(driver)))
    for worker in workers(driver)[:1]:
        worker.send_signal(signal.SIGKILL)


def workers(driver: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in driver.children(recursive=True):
        try:
            parent = process.parent()
            if parent is not None and "pyspark.daemon" in " ".join(parent.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_profiles_in_redis_equal_the_plain_sum(stream: StreamProcess) -> None:
    settings, rng, now_s = stream.settings, random.Random(3), time.time()
    oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
    records = []
    for number in range(5_000):
        user = f"u{min(int(rng.paretovariate(0.7)), 60)}"
        behavior = rng.choice(["browse", "favorite", "cart", "purchase"])
        event = new_event(f"e{number}", user, f"i{rng.randrange(40)}", behavior, now_s - rng.random() * 30 * DAY_S)
        oracle.sent(event)
        if user in {"u2", "u3"} and rng.random() < 0.5:  # some of it before they logged in
            event = {**{k: v for k, v in event.items() if k != "user_id"}, "anonymous_id": f"guest-{user}"}
        records += [record_of(event)] * (2 if rng.random() < 0.1 else 1)
    logins = [
        encode_event(identify_event(event_id=f"l{user}", user_id=user, anonymous_id=f"guest-{user}"))
        for user in ("u2", "u3")
    ]
    producer = open_producer(settings)
    topic = settings.kafka.behavior_events
    producer.send_many(topic, records[:2_000])
    stream.start("--max-offsets", "700")
    kill_a_worker(stream)
    producer.send_many(topic, [*records[2_000:3_000], *logins, *records[3_000:4_000]])
    kill_a_worker(stream)
    stream.wait_for(lambda: stream.num_behind() < 1_500)
    stream.kill()
    stream.start("--max-offsets", "700")  # waits for the dead writer's lease to run out
    producer.send_many(topic, records[4_000:])
    stream.wait_drained()
    producer.close()
    assert oracle.differences(stream.store, now_s, now_s + DAY_S) == []
    progress = stream.store.read_progress()
    assert progress.counts.document()["accepted"] == oracle.num_accepted
    assert progress.counts.document()["duplicate"] == len(records) - 5_000
    assert progress.counts.document()["identified"] == 2
    log = open_event_log(settings).read(columns=["behavior"])
    assert sum(not name.startswith("mmrec.") for name in log["behavior"].to_pylist()) == oracle.num_accepted

    # A second writer is refused while the stream runs, and one that was thought dead changes nothing.
    with pytest.raises(StoreError, match="another score_stream writes"):
        take_writer_right(settings.stores)
    stream.kill()
    right = take_writer_right(settings.stores)
    zombie = RedisProfileRows(right.layouts["a"], lease=right.holder)
    Redis.from_url(f"redis://{settings.stores.redis_connection}").set(LEASE_KEY, b"999:another")
    with pytest.raises(LeaseLostError):
        zombie.write({"u1": {"packed": b"stale"}}, write_time_s=now_s)
    right.close()
    assert oracle.differences(stream.store, now_s + DAY_S) == []
