"""Events of a shop as bytes on a topic: many users and items with long tails, behaviors in funnel proportions.

    python -m tests.benchmarks.stream_workload --bootstrap HOST:PORT --run r1 --num-events 1000000

Records are those of the simulator in form: proto3 JSON with session, domain and, where money is meant, a price. One in
a hundred is sent a second time, one in a hundred happened up to two days before it is sent. Same seed, same records.
Several processes make and send records; nothing of this is part of a measured rate.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmrec.simulator.settings import BEHAVIORS, FUNNEL_SHARES
from mmrec.stores.kafka.producer import KafkaRecordProducer

CHUNK = 20_000
DAY_S = 86_400.0
SHARE_AGAIN, SHARE_LATE = 0.01, 0.01
USER_TAIL, ITEM_TAIL = (50.0, 0.8), (20.0, 0.9)
"""Zipf-Mandelbrot: weight of rank r is (r + shift) ** -exponent."""
Record = tuple[bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is sent."""

    run: str
    """Part of every event id: another run has other events."""
    num_events: int
    num_users: int = 50_000
    num_items: int = 20_000
    seed: int = 11
    span_s: float = DAY_S
    """Event times rise over this long, up to `end_s`."""
    end_s: float

    def records(self, *, part: int = 0, num_parts: int = 1) -> Iterator[Record]:
        """(key, value) of the records of one part: chunks are dealt out in turn."""
        users, items = tail(self.num_users, USER_TAIL), tail(self.num_items, ITEM_TAIL)
        for number, start in enumerate(range(0, self.num_events, CHUNK)):
            if number % num_parts == part:
                yield from self._chunk(start, min(CHUNK, self.num_events - start), users, items)

    def _chunk(self, start: int, size: int, users: np.ndarray, items: np.ndarray) -> list[Record]:
        rng = np.random.default_rng([self.seed, start, *self.run.encode()])
        user_N, item_N = _drawn(users, rng, size), _drawn(items, rng, size)
        behavior_N = np.searchsorted(np.cumsum(FUNNEL_SHARES)[:-1], rng.random(size), side="right")
        time_N = self.end_s - self.span_s * (1.0 - (start + np.arange(size)) / self.num_events)
        late_N = rng.random(size) < SHARE_LATE
        time_N[late_N] -= rng.random(int(late_N.sum())) * 2 * DAY_S
        times = np.datetime_as_string((time_N * 1_000).astype(np.int64).astype("datetime64[ms]")).tolist()
        records = [
            (
                f"u{user:06d}".encode(),
                f'{{"event_id":"{self.run}-{start + place:08d}","user_id":"u{user:06d}","item_id":"i{item:06d}",'
                f'"behavior":"{BEHAVIORS[behavior]}","event_time":"{when}Z",'
                f'"session_id":"s{user:06d}-{start // 200_000}"{_PRICED if behavior >= _MONEY else ""},'
                f'"domain":"fashion"}}'.encode(),
            )
            for place, (user, item, behavior, when) in enumerate(
                zip(user_N.tolist(), item_N.tolist(), behavior_N.tolist(), times, strict=True)
            )
        ]
        again = np.flatnonzero(rng.random(size) < SHARE_AGAIN)
        for place in again[again >= 1].tolist():  # the second sending takes the place of a later record
            records[place] = records[max(place - 500, 0)]
        return records


_MONEY = BEHAVIORS.index("cart")
_PRICED = ',"quantity":1,"price":19.90,"currency":"EUR"'


def tail(number: int, shape: tuple[float, float]) -> np.ndarray:
    """Cumulated probabilities of ranks 0 to number - 1."""
    weights = (np.arange(number) + shape[0]) ** -shape[1]
    cumulated: np.ndarray = np.cumsum(weights) / weights.sum()
    return cumulated


def _drawn(cumulated: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    return np.minimum(np.searchsorted(cumulated, rng.random(size)), len(cumulated) - 1)


def produce(workload: Workload, *, bootstrap: str, topic: str, num_processes: int = 2) -> float:
    """Send everything; returns the seconds it took."""
    began_s = time.monotonic()
    command = [sys.executable, "-m", "tests.benchmarks.stream_workload", "--bootstrap", bootstrap, "--topic", topic]
    command += ["--run", workload.run, "--num-events", str(workload.num_events), "--seed", str(workload.seed)]
    command += ["--num-users", str(workload.num_users), "--num-items", str(workload.num_items)]
    command += ["--span-s", str(workload.span_s), "--end-s", str(workload.end_s), "--num-parts", str(num_processes)]
    running = [subprocess.Popen([*command, "--part", str(part)]) for part in range(num_processes)]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"a process that sends {workload.run} failed")
    return time.monotonic() - began_s


def main() -> None:
    """Send one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", default="behavior-events")
    parser.add_argument("--run", default="r0")
    parser.add_argument("--num-events", type=int, default=1_000_000)
    parser.add_argument("--num-users", type=int, default=50_000)
    parser.add_argument("--num-items", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--span-s", type=float, default=DAY_S)
    parser.add_argument("--end-s", type=float, default=0.0, help="now where absent")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--num-parts", type=int, default=1)
    arguments = parser.parse_args()
    workload = Workload(
        run=arguments.run,
        num_events=arguments.num_events,
        num_users=arguments.num_users,
        num_items=arguments.num_items,
        seed=arguments.seed,
        span_s=arguments.span_s,
        end_s=arguments.end_s or time.time(),
    )
    producer = KafkaRecordProducer(arguments.bootstrap, delivery_timeout_s=120.0, linger_s=0.02)
    records = workload.records(part=arguments.part, num_parts=arguments.num_parts)
    producer.send_many(arguments.topic, records)
    producer.close()


if __name__ == "__main__":
    main()
