"""How fast the stream drains a backlog into one kind of online store: three runs from the same state.

One million events are applied first; the next two wait on the broker. The first of them is drained by a process that
has just started, the second by the same process as it goes on. After each run, state (online store, event log) is put
back, so that every run does the same work; its start is not part of either rate.
"""

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.stream_stack import StreamStack
from tests.benchmarks.stream_watch import Drained, drain, phase_seconds
from tests.benchmarks.stream_workload import Workload, produce

NOT_APPLYING = ("whole", "decode")
"""Phases that are not part of applying a batch: their sum, and what Spark does beside it."""
PHASES = {"read": "store_read", "apply": "apply", "log": "log", "rejected": "rejected", "write": "store_write"}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done."""

    num_events: int = 1_000_000
    """Applied first, drained after a start, and drained as the stream goes on."""
    rounds: int = 3
    num_users: int = 50_000
    num_items: int = 20_000
    decode_events: int = 400_000
    feast_rows: int = 3_000


def measure_one_core(folder: Path, *, size: Size, arguments: tuple[str, ...] = ()) -> dict[str, float]:
    """One run to SQLite with the whole stream on one core and Spark on one thread; broker and producers as they are."""
    arguments = ("--master", "local[1,4]", *arguments)
    with StreamStack(folder, cores=1) as stack:
        _produce(stack, size, "applied")
        drain(stack, *arguments)
        _produce(stack, size, "drained")
        done = drain(stack, *arguments)
        _say(f"one core: {done.events_per_s:.0f} events/s")
    return {"events_per_s_sqlite_1_core": round(done.events_per_s, 0)}


def measure_drain(folder: Path, *, online_store: str, size: Size, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Figures and samples of one online store, and the two comparisons."""
    with StreamStack(folder, online_store=online_store) as stack:
        produced_s = _produce(stack, size, "applied")
        _say(f"{online_store}: {size.num_events} events on the broker after {produced_s:.0f} s; applying them")
        drain(stack, *arguments)
        stack.keep()
        produced_s += _produce(stack, size, "drained") + _produce(stack, size, "running")
        runs = []
        for number in range(size.rounds):
            if number:
                stack.restore()
            runs.append(drain(stack, *arguments))
            started, running = rates(runs[-1], size)
            _say(f"{online_store}: run {number + 1}: {started:.0f} events/s, then {running:.0f}")
        return {
            **_figures(runs, size),
            "produce_events_per_s": round(3 * size.num_events / produced_s, 0),
            "runs": [_report(run, size) for run in runs],
            "feast": _child("tests.benchmarks.stream_feast", stack, "--num-rows", str(size.feast_rows)),
            "decode": _child("tests.benchmarks.stream_decode", stack, "--num-events", str(size.decode_events)),
        }


def _produce(stack: StreamStack, size: Size, run: str) -> float:
    workload = Workload(
        run=run, num_events=size.num_events, num_users=size.num_users, num_items=size.num_items, end_s=time.time()
    )
    kafka = stack.settings.kafka
    return produce(workload, bootstrap=kafka.bootstrap, topic=kafka.behavior_events)


def _figures(runs: list[Drained], size: Size) -> dict[str, Any]:
    middle = sorted(runs, key=lambda run: rates(run, size))[len(runs) // 2]
    batches = middle.metrics.get("mmrec_stream_batch_records_count{}", 0.0) or 1.0
    written = middle.metrics.get("mmrec_profiles_written_total{}", 0.0) or 1.0
    cpu_s = sum(middle.cpu_s.values()) or 1.0
    return {
        "events_per_s": round(statistics.median(rates(run, size)[0] for run in runs), 0),
        "events_per_s_running": round(statistics.median(rates(run, size)[1] for run in runs), 0),
        "batch_records": round(middle.num_records / batches, 0),
        "events_per_profile_write": round(middle.num_records / written, 2),
        "startup_to_first_batch_s": round(middle.start_to_first_batch_s, 1),
        "cpu_s": middle.cpu_s,
        "cpu_share": {role: round(value / cpu_s, 3) for role, value in middle.cpu_s.items()},
        "phase_share": phase_shares(middle),
        "decode_share": decode_share(middle),
        "rss_mb": middle.memory_mb,
    }


def phase_shares(run: Drained) -> dict[str, float]:
    """Shares of the time from first batch to last progress, as the thread that applies batches spends it.

    `waits` is what is left: for Spark, which reads and decodes the next batch meanwhile (decode_share says how long
    that takes), and for what Spark does between batches.
    """
    seconds = phase_seconds(run.metrics)
    shares = {PHASES.get(name, name): seconds[name] / run.seconds for name in seconds if name not in NOT_APPLYING}
    return {name: round(value, 3) for name, value in {**shares, "waits": 1.0 - sum(shares.values())}.items()}


def decode_share(run: Drained) -> float:
    """Share of the time in which Spark reads and decodes a batch for the driver."""
    return round(phase_seconds(run.metrics).get("decode", 0.0) / run.seconds, 3)


def rates(run: Drained, size: Size) -> tuple[float, float]:
    """(events per second after the start, those as the stream goes on); each ends with the batch that fills it."""
    middle = next((p for p in run.seen if p[1] >= size.num_events), run.seen[-1])
    last = run.seen[-1]
    return middle[1] / middle[0], (last[1] - middle[1]) / (last[0] - middle[0]) if last != middle else 0.0


def _report(run: Drained, size: Size) -> dict[str, Any]:
    started, running = rates(run, size)
    return {
        "events_per_s": round(started, 0),
        "events_per_s_running": round(running, 0),
        "seconds": round(run.seconds, 2),
        "startup_to_first_batch_s": round(run.start_to_first_batch_s, 1),
        "startup_to_first_progress_s": round(run.start_to_first_progress_s, 1),
        "cpu_s": run.cpu_s,
        "phase_share": phase_shares(run),
        "records_over_time": run.seen,
        "rss_mb_over_time": run.memory,
    }


def _child(module: str, stack: StreamStack, *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", module, "--config", str(stack.config), *arguments]
    done = subprocess.run(command, env=stack.environment("measure"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}:\n{done.stderr[-4_000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _say(text: str) -> None:
    print(time.strftime("[%H:%M:%S]"), text, flush=True)
