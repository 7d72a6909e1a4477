"""How fast a catalogue is encoded, beside the bare encoders, and how much memory it takes however large it is.

    python -m tests.benchmarks.bench_encode                         default encoders, photographs of fashion_catalog
    python -m tests.benchmarks.bench_encode --memory-sizes 1000 10000 100000

The way measured is the job's own: records of catalog-items are parsed, cleaned (each picture tried in its worker
process), sent through encoders in Ray's processes, kept in the cache, put into the matrix, and written as records of
item-embeddings; broker and feature store are the ones in memory. Ray and the encoders are up when the clock starts.
Bare is the encoder alone, in one process with as many threads as the job has processes, given the same payloads as
bytes in batches of the same size: pictures are decoded and texts tokenized there, too. It runs before and after, and
the mean counts, so that a machine that slows down meanwhile favors neither. Each input is there once.

Memory is the largest resident set of a process that reads N made items with cheap encoders, from records to matrix.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from jobs.ray_encoding import BATCH, MIN_FOR_RAY, RayFiller
from mmrec.catalog.cleaning import CleaningPolicy
from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.catalog.refused import RefusedItems
from mmrec.clock import SystemClock
from mmrec.config import ContentSettings
from mmrec.content.catalog_feed import CatalogFeed, marked_choices, record_portions, take_ahead
from mmrec.content.encode import FillHere, begin, finish
from mmrec.content.encoder import Encoder
from mmrec.content.feed import read_changes
from mmrec.content.picture_worker import PictureWorker
from mmrec.content.publish import FeedMark
from mmrec.content.registry import LazyEncoder
from mmrec.content.remote_images import RemoteImages
from mmrec.content.store import ContentStore
from mmrec.events.producer import MemoryRecordProducer, TopicRecord
from mmrec.features.stores import MemoryFeatureStore
from tests.benchmarks.receipt import write_receipt
from tests.public_data import public_data

DEFAULTS = {"image": "efficientnet-lite0", "text": "minilm"}
CHEAP = {"text": "hashing-tf", "image": "color-histogram"}
SIZES = (1_000, 10_000, 100_000)


def photographs() -> Iterator[bytes]:
    """Files of fashion_catalog; where the data is absent, made pictures of its size."""
    file = public_data() / "fashion_catalog" / "images.tar"
    if file.is_file():
        with tarfile.open(file) as archive:
            for member in archive:
                body = archive.extractfile(member)
                if body is not None:
                    yield body.read()
        return
    drawn = np.random.default_rng(0)
    while True:
        sink = io.BytesIO()
        coarse = drawn.integers(0, 255, (20, 15, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((240, 320)).save(sink, "JPEG")
        yield sink.getvalue()


def made_items(number: int, *, seed: int = 0) -> Iterator[CatalogItem]:
    """Items of one small picture and a few words each, all different."""
    drawn = np.random.default_rng(seed)
    for each in range(number):
        sink = io.BytesIO()
        Image.fromarray(drawn.integers(0, 255, (12, 9, 3), dtype=np.uint8)).save(sink, "PNG")
        words = " ".join(f"word{n}" for n in drawn.integers(0, 5_000, 8))
        yield CatalogItem(item_id=f"i{each}", title=f"Item {each} {words}", image=sink.getvalue())


def records(items: Iterator[CatalogItem]) -> Iterator[TopicRecord]:
    """What catalog-items would hold."""
    for offset, item in enumerate(items):
        yield TopicRecord(item.item_id.encode(), to_json_value(item), 0, offset, 0.0)


def job_rate(items: Sequence[CatalogItem], encoders: Mapping[str, Encoder], *, num_workers: int, folder: Path) -> float:
    """Items per second of the job, once Ray and the encoders are up."""
    store, broker, clock = ContentStore(folder), MemoryRecordProducer(clock=SystemClock()), SystemClock()
    with PictureWorker(timeout_s=10.0) as worker:
        policy = CleaningPolicy(picture_problem=worker.problem)
        refused = RefusedItems(broker, topic="refused", cluster_id="c", topic_id="t", read=lambda: [])
        settings = ContentSettings()
        images = RemoteImages(
            settings, folder=folder, cache_folder=folder / "images", problem=worker.problem, clock=clock
        )
        feed = CatalogFeed(
            mark=FeedMark(topic="c/t", encoders=marked_choices(encoders, cleaning="none", policy=policy)),
            mark_path=folder / "mark.json",
            policy=policy,
            refused=refused,
            images=images,
            encoders=encoders,
            store=store,
            features=MemoryFeatureStore(),
            producer=broker,
            topic="item-embeddings",
            cleaning="none",
        )
        filler = RayFiller(encoders, store, num_workers=num_workers)
        num_warm = max(MIN_FOR_RAY, 2 * num_workers * BATCH)
        told = list(records(iter(items)))
        for _ in take_ahead(feed, [told[:num_warm]], filler=filler, now_s=clock.now_s):
            pass
        started_s = time.perf_counter()
        for _ in take_ahead(feed, record_portions(told[num_warm:]), filler=filler, now_s=clock.now_s):
            pass
        elapsed_s = time.perf_counter() - started_s
        filler.close()
        feed.close()
    assert sum(feed.counts.encoded.values()) == len(items) * len(encoders), feed.counts.figures()
    return (len(items) - num_warm) / elapsed_s


BARE = """
import json, sys, time
from pathlib import Path
from mmrec.content.registry import encoder
from tests.benchmarks.bench_encode import bare_rate
modality, name, threads, batch, file = sys.argv[1:]
print(bare_rate(modality, name, num_threads=int(threads), batch=int(batch), file=Path(file)))
"""


def bare_rate(modality: str, name: str, *, num_threads: int, batch: int, file: Path) -> float:
    """Payloads per second of an encoder alone, loaded and warm."""
    with np.load(file) as kept:
        payloads = np.split(kept["bytes"], np.cumsum(kept["lengths"])[:-1])
    given = [payload.tobytes() for payload in payloads]
    alone = LazyEncoder(modality, name, num_threads=num_threads)
    alone.encode(given[:batch])
    started_s = time.perf_counter()
    for start in range(0, len(given), batch):
        alone.encode(given[start : start + batch])
    return len(given) / (time.perf_counter() - started_s)


def _bare(modality: str, name: str, payloads: Sequence[bytes], *, num_threads: int, folder: Path) -> float:
    file = folder / f"{modality}.npz"
    joined = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    np.savez(file, bytes=joined, lengths=np.array([len(each) for each in payloads]))
    command = [sys.executable, "-c", BARE, modality, name, str(num_threads), str(BATCH), str(file)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def memory_mib(num_items: int) -> float:
    """Largest resident set of a process of its own that encodes so many made items."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_encode", "--one-size", str(num_items)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def encode_made(num_items: int) -> float:
    """Encode made items here, from records to matrix; the largest resident set of this process in MiB."""
    with TemporaryDirectory() as folder:
        store = ContentStore(folder)
        encoders = {modality: LazyEncoder(modality, name) for modality, name in CHEAP.items()}
        filler = FillHere(encoders, store)
        for portion in record_portions(records(made_items(num_items))):
            changes = read_changes([(each.key, each.value) for each in portion])
            under_way = begin(list(changes.items.values()), encoders, store, filler=filler)
            store.put(finish(under_way, encoders, store).matrix)
        assert store.num_items() == num_items
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    *,
    num_images: int = 768,
    num_texts: int = 4_096,
    num_workers: int = 2,
    memory_sizes: Sequence[int] = SIZES[:2],
    encoders: Mapping[str, str] = DEFAULTS,
) -> dict[str, Any]:
    """Rates of the job and of the bare encoders, their ratios, and memory by size; see the module's first lines."""
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="mmrec-bench-encode-") as folder:
        pictures = [body for _, body in zip(range(2 * num_images), photographs(), strict=False)]
        bodies = list(dict.fromkeys(pictures))[:num_images]
        titles = [item.title for item in made_items(num_texts)]
        sets = {
            "image": [CatalogItem(item_id=f"i{n}", title="x", image=body) for n, body in enumerate(bodies)],
            "text": [CatalogItem(item_id=f"t{n}", title=title) for n, title in enumerate(titles)],
        }
        payloads = {"image": bodies, "text": [title.encode() for title in titles]}
        for modality, items in sets.items():
            place = Path(folder) / modality
            place.mkdir()
            name = encoders[modality]
            bare = [_bare(modality, name, payloads[modality], num_threads=num_workers, folder=place)]
            given = {modality: LazyEncoder(modality, name, num_threads=num_workers)}
            rate = job_rate(items, given, num_workers=num_workers, folder=place)
            bare.append(_bare(modality, name, payloads[modality], num_threads=num_workers, folder=place))
            figures |= {
                f"{modality}s_per_s": round(rate, 2),
                f"{modality}s_per_s_bare": round(statistics.mean(bare), 2),
                f"{modality}s_ratio": round(rate / statistics.mean(bare), 3),
            }
    for size in memory_sizes:
        figures[f"memory_mib_{size}_items"] = round(memory_mib(size), 1)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-images", type=int, default=768)
    parser.add_argument("--num-texts", type=int, default=4_096)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--memory-sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="receipt elsewhere than in tests/benchmarks/results")
    asked = parser.parse_args()
    if asked.one_size is not None:
        sys.stdout.write(f"{encode_made(asked.one_size)}\n")
        return
    figures = measure(
        num_images=asked.num_images,
        num_texts=asked.num_texts,
        num_workers=asked.num_workers,
        memory_sizes=asked.memory_sizes,
    )
    path = write_receipt("encode", figures, {}, packages=("torch", "transformers", "ray"), output=asked.output)
    sys.stdout.write(json.dumps({**figures, "receipt": str(path)}) + "\n")


if __name__ == "__main__":
    main()
