"""Whether the stream stays fast and small: throughput and memory around 500,000 and around 5,000,000 events.

    python -m tests.benchmarks.bench_stream_growth            twelve minutes;  --quick to try it

Few users, so that every profile is full (items, newest events, ring of ids) before the first measurement. Each
measurement drains the same number of events; the stream that goes from one to the other is one process, watched second
by second. Writes tests/benchmarks/results/stream_growth.json; --output FILE elsewhere.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.page import write_page
from tests.benchmarks.receipt import RESULTS, write_receipt
from tests.benchmarks.stream_stack import StreamStack
from tests.benchmarks.stream_watch import Drained, drain
from tests.benchmarks.stream_workload import Workload, produce

PACKAGES = ("pyspark", "pyarrow", "numpy", "feast", "kafka-python")
SPREAD = 0.1
"""A measurement takes the records from (1 - SPREAD) to (1 + SPREAD) times its middle."""


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one fiftieth of the events; figures say nothing")
    parser.add_argument("--num-users", type=int, default=400)
    parser.add_argument("--stream", default="", help="options of jobs/score_stream.py")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    early, late = (10_000, 100_000) if arguments.quick else (500_000, 5_000_000)
    users = 20 if arguments.quick else arguments.num_users
    total = int(late * (1 + SPREAD))
    with (
        tempfile.TemporaryDirectory(prefix="mmrec-bench-") as folder,
        StreamStack(Path(folder), online_store="sqlite") as stack,
    ):
        workload = Workload(
            run="growth", num_events=total, num_users=users, num_items=20_000, end_s=time.time(), span_s=30 * 86_400.0
        )
        kafka = stack.settings.kafka
        produced_s = produce(workload, bootstrap=kafka.bootstrap, topic=kafka.behavior_events)
        print(f"{total} events on the broker after {produced_s:.0f} s", flush=True)
        run = drain(stack, *arguments.stream.split(), timeout_s=1_200.0)
        profiles = stack.store.read_profiles(list(stack.store.user_keys()))
        full = stack.settings.scoring.max_items
        share_full = float(np.mean([profile.num_items >= full for profile in profiles.values()]))
    figures = {
        **growth(run, early, late),
        "startup_s": round(run.start_to_first_batch_s, 1),
        "startup_to_first_progress_s": round(run.start_to_first_progress_s, 1),
        "rss_mb_at_end": run.memory_mb,
        "num_users": users,
        "share_of_full_profiles": round(share_full, 4),
        "produce_events_per_s": round(total / produced_s, 0),
        "seconds": round(run.seconds, 1),
    }
    samples = {"records_over_time": run.seen, "rss_mb_over_time": run.memory}
    quick = Path(tempfile.gettempdir()) / "stream-growth-quick.json" if arguments.quick else None
    path = write_receipt(
        "stream_growth", figures, samples, packages=PACKAGES, output=arguments.output or quick, notes=(NOTE,)
    )
    print(json.dumps(figures, indent=1))
    print(path.name, "written;", write_page(RESULTS / "stream.json").name, "written")


NOTE = (
    "one process drains everything; a rate is that of the records from 90 % to 110 % of its middle, memory the mean of "
    "driver, JVM and workers together in that time"
)


def growth(run: Drained, early: int, late: int) -> dict[str, float]:
    """Rates and memory around two numbers of records."""
    found: dict[str, float] = {}
    rates = []
    for name, middle in (("500k", early), ("5m", late)):
        low, high = middle * (1 - SPREAD), middle * (1 + SPREAD)
        # With few and large steps, the nearest ones around the middle.
        start = max((p for p in [(0.0, 0), *run.seen] if p[1] <= low), key=lambda p: p[1])
        stop = min((p for p in run.seen if p[1] >= high), key=lambda p: p[1], default=run.seen[-1])
        rates.append((stop[1] - start[1]) / (stop[0] - start[0]))
        within = [mb for when, mb in run.memory if start[0] <= when <= stop[0] + 1.0] or [run.memory[-1][1]]
        found[f"events_per_s_{name}"] = round(rates[-1], 0)
        found[f"rss_mb_{name}"] = round(float(np.mean(within)), 1)
    return {"growth_ratio_5m_to_500k": round(rates[1] / rates[0], 3), **found}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
