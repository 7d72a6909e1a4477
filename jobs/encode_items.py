"""Encode the catalogue: topic catalog-items -> content store, Feast item_content, topic item-embeddings.

    python -m jobs.encode_items --config mmrec.toml              everything that is new, with Ray Data, then end
    python -m jobs.encode_items --config mmrec.toml --follow     stay, and encode new and changed items in seconds,
                                                                 until SIGTERM or Ctrl-C

Only inputs that no run has met before go through an encoder; vectors are kept by content hash in the cache folder.
Pictures given by URI are fetched in the background (mmrec.content.remote_images); the batch form waits for them.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jobs.ray_encoding import encode_with_ray
from mmrec.catalog.cleaning import CleaningPolicy
from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.content.encode import misses
from mmrec.content.feed import CatalogChanges, read_changes
from mmrec.content.payloads import IMAGE_READING
from mmrec.content.picture_worker import PictureWorker
from mmrec.content.publish import ContentCounts, FeedMark, publish_content
from mmrec.content.registry import ATTRIBUTE_ENCODER as ATTRIBUTES
from mmrec.content.registry import LazyEncoder
from mmrec.content.remote_images import RemoteImages
from mmrec.content.store import ContentStore
from mmrec.errors import MmrecError
from mmrec.events.producer import TopicRecord
from mmrec.home import cache_folder
from mmrec.stores.kafka import describe_topic, follow_topic, read_topic
from mmrec.telemetry import StatusFile, configure_logging, get_logger
from mmrec.wiring import open_feature_store, open_producer, settings_from

log = get_logger("jobs.encode_items")
PROCESS = "encode_items"
MIN_FOR_RAY = 96
"""Fewer inputs than this are encoded in process before Ray has started."""
IN_PORTIONS: Final[dict[str, Any]] = {"at_least": 512, "at_most": 512, "patience_s": 60.0}
"""How the batch form takes pictures that were fetched: each publication costs a file."""
BATCH_PAUSE_S = 0.05


def _records(
    settings: Settings, mark: FeedMark, images: RemoteImages, follow: bool, stop: threading.Event
) -> Iterator[list[TopicRecord]]:
    """What is there, then with `follow` what comes, else an empty list as long as pictures are under way."""
    bootstrap, topic = settings.kafka.bootstrap, settings.kafka.catalog_items
    backlog = list(read_topic(bootstrap, topic, start=mark.offsets))
    yield backlog
    if follow:
        start = mark.moved([(r.partition, r.offset) for r in backlog]).offsets
        yield from follow_topic(bootstrap, topic, stop=stop.is_set, start=start)
    while not follow and images.is_busy and not stop.wait(BATCH_PAUSE_S):
        yield []


def run(settings: Settings, *, follow: bool, cleaning: str, num_workers: int, stop: threading.Event) -> ContentCounts:
    """Encode what is there and, with `follow`, whatever comes until `stop`."""
    clock, status = SystemClock(), StatusFile(settings.stores.status, PROCESS)
    names = {"text": settings.content.text_encoder, "image": settings.content.image_encoder, "attributes": ATTRIBUTES}
    store = ContentStore(settings.stores.content, cache_folder=cache_folder() / "content")
    features, producer = open_feature_store(settings), open_producer(settings)
    identity = describe_topic(settings.kafka.bootstrap, settings.kafka.catalog_items)
    mark_path = Path(settings.stores.content) / "catalog_mark.json"
    made_by = {**names, "cleaning": cleaning, "pictures": IMAGE_READING}
    mark = FeedMark(topic=f"{identity.cluster_id}/{identity.topic_id}", encoders=made_by).resumed(mark_path)
    # Near-line shares the machine with serving: one thread, and no spinning.
    encoders = {m: LazyEncoder(m, name, num_threads=1 if follow else num_workers) for m, name in names.items()}
    counts, ready, written_s = ContentCounts(), False, 0.0
    worker = PictureWorker(timeout_s=settings.content.picture_timeout_s)
    policy = CleaningPolicy(picture_problem=worker.problem)
    kept = {"folder": Path(settings.stores.content), "cache_folder": cache_folder() / "images"}
    images = RemoteImages(settings.content, **kept, problem=worker.problem, clock=clock)

    def publish(changes: CatalogChanges, *, again: bool = False) -> None:
        if not ready or not follow:
            for modality, found in misses([*changes.items.values()], names, store, cleaning=cleaning).items():
                if len(found) >= MIN_FOR_RAY and modality != "attributes":
                    encode_with_ray(modality, names[modality], found, store, num_workers)
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
            again=again,
        )
        log.info("content_published", num_changed=len(changes.items), num_removed=len(changes.removed))

    for records in _records(settings, mark, images, follow, stop):
        if records:
            publish(images.arrange(read_changes([(r.key, r.value) for r in records], policy=policy)))
            mark = mark.moved([(r.partition, r.offset) for r in records])
            mark.save(mark_path)
        arrived = images.arrived() if follow else images.arrived(**IN_PORTIONS)
        if arrived.wanted:
            counts.count_failed_fetches(arrived.failures)
            publish(CatalogChanges(items={item.item_id: item for item in arrived.items}, removed=()), again=True)
            images.published(arrived)
        if follow and not ready:
            log.info("encoders_loaded", embedding_dims={m: lazy.embedding_dim for m, lazy in encoders.items()})
        if records or not ready or clock.now_s() - written_s >= 1.0:
            ready, written_s = True, clock.now_s()
            figures = {"encoders": names, **counts.figures(), "images": images.figures()}
            status.write({"ready": True, **figures}, now_s=written_s)
    images.close()
    worker.close()
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
    stop = threading.Event()
    if asked.follow:  # the batch form can be ended anywhere: the next run goes on
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    try:
        settings = settings_from(asked.config)
        counts = run(settings, follow=asked.follow, cleaning=asked.cleaning, num_workers=asked.num_workers, stop=stop)
    except MmrecError as error:
        log.error("encode_items_failed", error=f"{type(error).__name__}: {error}")
        return 1
    log.info("catalogue_encoded", **counts.figures())
    return 0


if __name__ == "__main__":
    sys.exit(main())
