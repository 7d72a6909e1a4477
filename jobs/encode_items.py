"""Encode the catalogue: topic catalog-items -> content store, Feast item_content, topic item-embeddings.

    python -m jobs.encode_items --config mmrec.toml              everything that is new, with Ray Data, then end
    python -m jobs.encode_items --config mmrec.toml --follow     stay, and encode new and changed items in seconds

Only inputs that no run has met before go through an encoder; vectors are kept by content hash in the cache folder.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.content.encode import misses
from mmrec.content.feed import read_changes
from mmrec.content.publish import ContentCounts, FeedMark, publish_content
from mmrec.content.registry import ATTRIBUTE_ENCODER as ATTRIBUTES
from mmrec.content.registry import LazyEncoder, encoder
from mmrec.content.store import ContentStore
from mmrec.errors import MmrecError
from mmrec.events.producer import TopicRecord
from mmrec.home import cache_folder
from mmrec.stores.kafka import describe_topic, follow_topic, read_topic
from mmrec.stores.sound_batches import SkippedBatches
from mmrec.telemetry import StatusFile, configure_logging, get_logger
from mmrec.wiring import open_feature_store, open_producer, settings_from

log = get_logger("jobs.encode_items")
MIN_FOR_RAY = 96
"""Fewer inputs than this are encoded in process before Ray has started."""


class EncodeBatch:
    """One Ray Data worker: an encoder, loaded once."""

    def __init__(self, modality: str, name: str) -> None:
        self._encoder = encoder(modality, name, num_threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Payloads to vectors; `good` is False where an input could not be read."""
        encodings = self._encoder.encode([bytes(payload) for payload in batch["payload"]])
        good = np.array([not reason for reason in encodings.reasons_N], dtype=np.bool_)
        return {"digest": batch["digest"], "values": encodings.values_ND, "good": good}


def _encode_with_ray(
    modality: str, name: str, payload_of: Mapping[bytes, bytes], store: ContentStore, num_workers: int
) -> None:
    import ray

    # A cluster named by RAY_ADDRESS is used as it is; otherwise one of our own, for as long as the job.
    own = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
    ray.init(ignore_reinit_error=True, log_to_driver=False, **own)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"digest": digest, "payload": payload} for digest, payload in payload_of.items()]
    started_s, done = time.monotonic(), 0
    encoded = ray.data.from_items(rows, override_num_blocks=max(1, min(len(rows) // 32, 64))).map_batches(
        EncodeBatch,
        fn_constructor_args=(modality, name),
        batch_size=32,
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        num_cpus=1,
    )
    for batch in encoded.iter_batches(batch_size=256):
        good = np.flatnonzero(batch["good"])
        store.remember(name, [bytes(batch["digest"][row]) for row in good], batch["values"][good])
        done += len(batch["good"])
        log.info("encoding", modality=modality, done=done, of=len(rows), seconds=round(time.monotonic() - started_s, 1))


def _records(settings: Settings, mark: FeedMark, follow: bool, skipped: SkippedBatches) -> Iterator[list[TopicRecord]]:
    at = settings.kafka.bootstrap, settings.kafka.catalog_items
    backlog = list(read_topic(*at, start=mark.offsets, skipped=skipped))
    yield backlog
    if follow:
        start = mark.moved([(r.partition, r.offset) for r in backlog]).offsets
        yield from follow_topic(*at, stop=lambda: False, start=start, skipped=skipped)


def run(settings: Settings, *, follow: bool, cleaning: str, num_workers: int) -> ContentCounts:
    """Encode what is there and, with `follow`, whatever comes."""
    clock, status = SystemClock(), StatusFile(settings.stores.status, "encode_items")
    names = {"text": settings.content.text_encoder, "image": settings.content.image_encoder, "attributes": ATTRIBUTES}
    store = ContentStore(settings.stores.content, cache_folder=cache_folder() / "content")
    features, producer = open_feature_store(settings), open_producer(settings)
    identity = describe_topic(settings.kafka.bootstrap, settings.kafka.catalog_items)
    mark_path = Path(settings.stores.content) / "catalog_mark.json"
    start = FeedMark(topic=f"{identity.cluster_id}/{identity.topic_id}", encoders={**names, "cleaning": cleaning})
    mark = start.resumed(mark_path)
    # Near-line shares the machine with serving: one thread, and no spinning.
    encoders = {m: LazyEncoder(m, name, num_threads=1 if follow else num_workers) for m, name in names.items()}
    counts, skipped, ready, written_s = ContentCounts(), SkippedBatches(), False, 0.0
    for records in _records(settings, mark, follow, skipped):
        if records:
            changes = read_changes([(r.key, r.value) for r in records])
            if not ready:
                for modality, found in misses([*changes.items.values()], names, store, cleaning=cleaning).items():
                    if len(found) >= MIN_FOR_RAY and modality != "attributes":
                        _encode_with_ray(modality, names[modality], found, store, num_workers)
            publish_content(
                changes,
                encoders=encoders,
                store=store,
                features=features,
                producer=producer,
                topic=settings.kafka.item_embeddings,
                counts=counts,
                cleaning=cleaning,
                write_time_s=clock.now_s(),
            )
            mark = mark.moved([(r.partition, r.offset) for r in records])
            mark.save(mark_path)
            log.info("content_published", num_changed=len(changes.items), num_removed=len(changes.removed))
        if follow and not ready:
            log.info("encoders_loaded", embedding_dims={m: lazy.embedding_dim for m, lazy in encoders.items()})
        if records or not ready or clock.now_s() - written_s >= 1.0:
            ready, written_s = True, clock.now_s()
            status.write({"ready": True, "encoders": names, **counts.figures(), **skipped.figures()}, now_s=written_s)
    producer.close()
    return counts


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="settings file; MMREC_CONFIG where not given")
    parser.add_argument("--follow", action="store_true", help="stay and encode new items as they come")
    parser.add_argument("--text-cleaning", dest="cleaning", default="none", help='"none" or "classic"')
    parser.add_argument("--num-workers", type=int, default=os.cpu_count() or 1, help="encoder processes")
    asked = parser.parse_args()
    configure_logging()
    try:
        settings = settings_from(asked.config)
        counts = run(settings, follow=asked.follow, cleaning=asked.cleaning, num_workers=asked.num_workers)
    except MmrecError as error:
        log.error("encode_items_failed", error=f"{type(error).__name__}: {error}")
        return 1
    log.info("catalogue_encoded", **counts.figures())
    return 0


if __name__ == "__main__":
    sys.exit(main())
