"""Catalogue and content in figures: encoding, new and hidden items, search, and what these cost serving.

    python -m tests.benchmarks.bench_content                    all of it, with servers of its own, 1,000 items
    python -m tests.benchmarks.bench_content --items 20000      on a larger catalogue
    python -m tests.benchmarks.bench_content --quick            the same at small size, to try it
    python -m tests.benchmarks.bench_content --parts serving    of: encoding, serving

Everything but encoding runs beside lists at 50/s and the programs of a stack. new_item: from sending a record with a
title, two attributes and a picture to the first SimilarItems answer for the item, at 5 items/s, beside 1,000 events/s;
hide_item: from sending the same item as hidden to the first answer that does not know it. search_*, similar: at 8
texts, 9 item ids and 3 photos per second, without events, and *_beside_stream with 1,000 events/s. serving_p99_ratio:
p99 of lists beside searches over that without, in phases that take turns. filtered_recall_at_20: of the index that a
replica makes of so many items, a twentieth of them allowed, against every inner product. The encoding figures are those
of tests/benchmarks/bench_encode.py.

Writes tests/benchmarks/results/content.json (--output FILE elsewhere). What a deployment cannot do is left out, and a
note says why.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.config import ContentSettings
from mmrec.content.registry import LazyEncoder, chosen_encoders
from mmrec.index.faiss_index import serving_index
from mmrec.index.vectors import ExactIndex
from mmrec.telemetry.logs import read_status
from services.stack.guard import child_environment
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home, java_environment
from tests.benchmarks.bench_encode import measure
from tests.benchmarks.content_load import Answers, ContentLoad, ItemsSeen
from tests.benchmarks.own_recommender import OwnRecommender, own_recommender
from tests.benchmarks.receipt import write_receipt
from tests.benchmarks.stream_freshness import beside

PACKAGES = ("torch", "faiss-cpu", "milvus-lite", "pymilvus", "ray", "numpy", "grpcio")
NICENESS = {"score_stream": 10, "follow_events": 5, "encode_items": 5}
SEARCHES = {"text": 8.0, "similar": 9.0, "photo": 3.0}
ENCODING = ("images_per_s", "images_per_s_bare", "texts_per_s", "texts_per_s_bare")
SEARCH_FIGURES = {"search_text_p99_ms": "text", "search_photo_p99_ms": "photo", "similar_p99_ms": "similar"}
TURNS = 3
WARM_UP_S = 10.0
PARTS = ("encoding", "serving")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    num_items: int = 1_000
    num_users: int = 600
    seconds: float = 40.0
    events_per_s: float = 1_000.0
    lists_per_s: float = 50.0
    items_per_s: float = 5.0


QUICK = Size(num_items=300, num_users=100, seconds=8.0, events_per_s=200.0, lists_per_s=20.0, items_per_s=2.0)


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small; figures say nothing")
    parser.add_argument("--items", type=int, default=Size.num_items, help="items of the catalogue")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown parts {unknown}; known: {', '.join(PARTS)}")
    size = QUICK if asked.quick else Size(num_items=asked.items)
    output = asked.output or (Path(tempfile.gettempdir()) / "content-quick.json" if asked.quick else None)
    figures: dict[str, Any] = {"num_items": size.num_items}
    began_s, samples = time.monotonic(), {}
    figures["filtered_recall_at_20"] = filtered_recall(size.num_items)
    if "encoding" in parts:
        encoding = measure(num_images=48, num_texts=256, memory_sizes=()) if asked.quick else measure(memory_sizes=())
        figures.update({name: encoding[name] for name in ENCODING})
    notes = [f"{part}: left out, not asked for" for part in PARTS if part not in parts]
    if "serving" in parts:
        notes += _measure_serving(size, figures, samples)
    figures["load_average"] = round(os.getloadavg()[1], 1)
    figures["seconds"] = round(time.monotonic() - began_s, 0)
    path = write_receipt("content", figures, samples, packages=PACKAGES, output=output, notes=tuple(notes))
    print(json.dumps(figures, indent=1), *notes, sep="\n")
    print(path.name, "written")


def _measure_serving(size: Size, figures: dict[str, Any], samples: dict[str, Any]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="mmrec-bench-") as folder, ExitStack() as stack:
        chosen = chosen_encoders(ContentSettings())
        encoders = {m: LazyEncoder(m, chosen[m], num_threads=1) for m in ("text", "image", "attributes")}
        recommender = stack.enter_context(
            own_recommender(Path(folder), num_users=size.num_users, num_items=size.num_items, encoders=encoders)
        )
        return _nearline_and_search(recommender, Path(folder), size, figures, samples)


def filtered_recall(num_items: int, *, depth: int = 20, num_queries: int = 200, share: float = 0.05) -> float:
    """recall@20 of a replica's index where a twentieth of the items is allowed, drawn anew for each query."""
    rng = np.random.default_rng(3)
    vectors_ID = rng.normal(size=(num_items, 64)).astype(np.float32)
    vectors_ID /= np.linalg.norm(vectors_ID, axis=1, keepdims=True)
    item_ids = [f"i{row}" for row in range(num_items)]
    index, exact, hits, wanted = serving_index(item_ids, vectors_ID), ExactIndex(item_ids, vectors_ID), 0, 0
    for row in rng.integers(0, num_items, size=num_queries):
        allowed_I = rng.random(num_items) < share
        query_QD = vectors_ID[[row]] + 0.3 * rng.normal(size=(1, 64)).astype(np.float32)
        right = set(exact.search(query_QD, num_results=depth, allowed_I=allowed_I).rows_QK[0].tolist()) - {-1}
        found = set(index.search(query_QD, num_results=depth, allowed_I=allowed_I).rows_QK[0].tolist())
        hits, wanted = hits + len(right & found), wanted + len(right)
    return round(hits / wanted, 4)


def _nearline_and_search(
    recommender: OwnRecommender, folder: Path, size: Size, figures: dict[str, Any], samples: dict[str, Any]
) -> list[str]:
    """Fill in what is measured on a running deployment; notes on what is not."""
    java_home = ensure_java_home()
    java = {**java_environment(java_home), "MMREC_SPARK_JARS": ",".join(map(str, ensure_jars(java_home).spark))}
    (folder / "items.txt").write_text("\n".join(recommender.item_ids), encoding="utf-8")
    with ExitStack() as stack:
        for name, nice in NICENESS.items():
            command = ["-m", f"jobs.{name}", *(["--follow"] if name == "encode_items" else [])]
            stack.enter_context(beside(recommender, folder, name, command, nice=nice, **java))
        _wait_ready(recommender, *NICENESS)
        load, lists = ContentLoad(recommender), {"lists": size.lists_per_s}
        load.run({**lists, **SEARCHES}, seconds=WARM_UP_S, items_per_s=1.0)
        idle = _with_and_without(load, lists, seconds=size.seconds)
        stack.enter_context(_events(recommender, folder, size))
        load.run({**lists, **SEARCHES}, seconds=WARM_UP_S, items_per_s=1.0)
        beside_items, seen = load.run(lists, seconds=size.seconds, items_per_s=size.items_per_s)
        busy = _with_and_without(load, lists, seconds=size.seconds / 2)
    _items(figures, samples, seen)
    figures["serving_p99_ms_beside_stream_and_new_items"] = beside_items["lists"].p(99)
    return [
        note for phases, suffix in ((idle, ""), (busy, "_beside_stream")) for note in _served(figures, phases, suffix)
    ]


def _with_and_without(
    load: ContentLoad, lists: dict[str, float], *, seconds: float
) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Lists alone, and lists beside searches, in turns: what else the machine does falls on both."""
    alone, beside_searches = {"lists": Answers()}, {kind: Answers() for kind in (*lists, *SEARCHES)}
    for _ in range(TURNS):
        for rates, answers in ((lists, alone), ({**lists, **SEARCHES}, beside_searches)):
            for kind, more in load.run(rates, seconds=seconds / TURNS)[0].items():
                answers[kind].add(more)
    return alone, beside_searches


def _served(figures: dict[str, Any], phases: tuple[dict[str, Answers], dict[str, Answers]], suffix: str) -> list[str]:
    alone, beside_searches = phases
    figures[f"serving_p99_ms{suffix}"] = alone["lists"].p(99)
    figures[f"serving_p99_ms_beside_searches{suffix}"] = beside_searches["lists"].p(99)
    figures[f"serving_p99_ratio{suffix}"] = round(beside_searches["lists"].p(99) / alone["lists"].p(99), 2)
    notes = [_searches(figures, f"{name}{suffix}", beside_searches[kind]) for name, kind in SEARCH_FIGURES.items()]
    return [note for note in notes if note]


def _items(figures: dict[str, Any], samples: dict[str, Any], seen: ItemsSeen) -> None:
    new_ms, hidden_ms = (1_000 * np.array(values) for values in (seen.new_s, seen.hidden_s))
    figures["new_item_p50_ms"] = round(float(np.percentile(new_ms, 50)), 0)
    figures["new_item_p95_ms"] = round(float(np.percentile(new_ms, 95)), 0)
    figures["hide_item_p95_ms"] = round(float(np.percentile(hidden_ms, 95)), 0)
    figures["item_to_topic_p95_ms"] = round(1_000 * float(np.percentile(seen.to_topic_s, 95)), 0)
    figures["num_new_items"], figures["num_items_lost"] = len(new_ms), seen.num_lost
    samples["new_item_ms"] = sorted(np.round(new_ms).astype(int).tolist())
    samples["hide_item_ms"] = sorted(np.round(hidden_ms).astype(int).tolist())


def _searches(figures: dict[str, Any], name: str, answers: Answers) -> str:
    if answers.num_failed:
        return f"{name}: left out, {answers.num_failed} of {len(answers.latencies_ms)} failed with {answers.error}"
    figures[name] = answers.p(99)
    figures[name.replace("p99", "p50")] = answers.p(50)
    return ""


def _wait_ready(recommender: OwnRecommender, *names: str, timeout_s: float = 240.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while True:
        said = read_status(recommender.settings.stores.status)
        if all(name in said for name in names) and said["encode_items"].get("ready"):
            return
        if time.monotonic() > give_up_s:
            raise RuntimeError(f"{', '.join(names)} were not ready within {timeout_s} s")
        time.sleep(0.5)


@contextmanager
def _events(recommender: OwnRecommender, folder: Path, size: Size) -> Iterator[None]:
    """A steady load of events, from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.stream_load", "--config", str(recommender.config)]
    command += ["--kafka-per-s", str(size.events_per_s), "--collector-per-s", "0"]
    command += ["--seconds", "3600", "--items", str(folder / "items.txt")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=child_environment(recommender.stack_id))
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
