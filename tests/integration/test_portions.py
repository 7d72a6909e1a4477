"""A micro-batch that is too much for the driver is taken in portions, by one writer and by writers in partitions."""

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from redis import Redis

from feature_repo.apply import apply_repository
from mmrec.events.control import identify_event
from mmrec.events.encoding import encode_event
from mmrec.wiring import open_event_log, open_producer
from tests.oracle import Oracle, new_event, record_of
from tests.stream_process import StreamProcess

pytestmark = pytest.mark.integration
DAY_S = 86_400.0


@pytest.fixture(params=["sqlite", "redis"])
def stream(
    request: pytest.FixtureRequest, settings: Callable[..., Any], java_variables: dict[str, str]
) -> Iterator[StreamProcess]:
    extra = "[scoring]\nmax_items = 0\n"
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        with Redis.from_url(f"redis://{server}") as client:
            client.flushdb()
        extra += f'[stores]\nonline_store = "redis"\nredis_connection = "{server}"\n'
    deployment = settings(kafka=True, extra=extra)
    apply_repository(deployment.settings.stores, deployment.settings.scoring.decay_per_day)
    process = StreamProcess(deployment.config, java_variables)
    yield process
    process.stop()


def test_portions_give_the_plain_sum_in_profiles_and_log(stream: StreamProcess) -> None:
    settings, now_s = stream.settings, time.time()
    oracle = Oracle(behaviors=settings.behaviors, decay_per_day=settings.scoring.decay_per_day[0])
    records = []
    noise = Random(7)
    # 40 MB that compression makes no smaller, in two partitions; up to 16 MB of one are decoded together.
    for n in range(9_000):
        event = {
            **new_event(f"e{n}", f"u{n % 400}", f"i{n % 30}", "browse", now_s - n),
            "context": {"note": noise.randbytes(2_250).hex()},
        }
        oracle.sent(event)
        records.append(record_of(event))
    records[6_000:6_000] = [encode_event(identify_event(event_id="l1", user_id="u1", anonymous_id="guest"))]
    producer = open_producer(settings)
    producer.send_many(settings.kafka.behavior_events, records)
    stream.start("--max-result", "36m")
    stream.wait_drained()
    producer.close()
    assert oracle.differences(stream.store, now_s, now_s + DAY_S) == []
    log = open_event_log(settings).read(columns=["behavior"])["behavior"].to_pylist()
    assert (log.count("browse"), log.count("mmrec.identify")) == (len(records) - 1, 1)
    progress = stream.store.read_progress()
    assert progress is not None
    assert (progress.counts.document()["accepted"], progress.counts.document()["identified"]) == (len(records) - 1, 1)
    assert progress.log_sequence > 1  # one micro-batch, in several appends
