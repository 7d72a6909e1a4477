"""How fast lists of many users are: single calls, RecommendBatch, and jobs.recommend_users, of the same users.

    python -m tests.benchmarks.bench_batch

Writes tests/benchmarks/results/batch.json; --output FILE writes elsewhere. Single calls come from one caller and from
sixteen. The job's rate is that of its workers while they make lists; how long it took with its start stands beside it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mmrec.client import RecommenderClient
from mmrec.serving.user_lists import PART_USERS
from tests.benchmarks.bench_recommend import PACKAGES, _load
from tests.benchmarks.own_recommender import OwnRecommender, own_recommender
from tests.benchmarks.receipt import write_receipt

NUM_ITEMS = 20
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-users", type=int, default=4_000)
    parser.add_argument("--num-items", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement of calls")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mmrec-bench-") as folder,
        own_recommender(Path(folder), num_users=asked.num_users, num_items=asked.num_items) as recommender,
    ):
        figures = measure(recommender, Path(folder), asked)
    write_receipt("batch", figures, {}, packages=PACKAGES, output=asked.output)
    print(json.dumps(figures, indent=1))


def measure(recommender: OwnRecommender, folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Lists per second of each way."""
    figures: dict[str, float] = {"num_items": recommender.num_items, "list_length": NUM_ITEMS}
    target, users = recommender.settings.serving.recommender, recommender.user_ids
    for callers in (1, 16):
        latencies, elapsed_s, _ = asyncio.run(_load(target, users, concurrency=callers, seconds=asked.seconds))
        figures[f"single_calls_per_s_c{callers}"] = round(len(latencies) / elapsed_s, 1)
    with RecommenderClient(target) as client:
        many = (list(users) * (5_000 // len(users) + 1))[:5_000]
        began_s, num_lists = time.perf_counter(), 0
        for _ in client.recommend_many(many, num_items=NUM_ITEMS):
            num_lists += 1
            if time.perf_counter() - began_s > asked.seconds:
                break
        figures["batch_per_s"] = round(num_lists / (time.perf_counter() - began_s), 1)
    figures |= _job(recommender, folder)
    best = max(figures["single_calls_per_s_c1"], figures["single_calls_per_s_c16"])
    figures["job_to_single_calls"] = round(figures["job_per_s"] / best, 2)
    figures["batch_to_single_calls"] = round(figures["batch_per_s"] / best, 2)
    return figures


def _job(recommender: OwnRecommender, folder: Path) -> dict[str, float]:
    """The job over all users of the world."""
    arguments = ["--config", str(recommender.config), "--out", str(folder / "lists"), "--num-items", str(NUM_ITEMS)]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.recommend_users", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4_000:])
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    workers = min(os.cpu_count() or 1, -(-made["num_new"] // PART_USERS))
    return {
        "job_lists": made["num_new"],
        "job_seconds_with_start": made["seconds"],
        "job_per_worker_s": made["per_worker_s"],
        "job_per_s": round(made["per_worker_s"] * workers, 1),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
