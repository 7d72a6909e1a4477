"""Encode the catalogue: topic catalog-items -> content store, Feast item_content, topic item-embeddings.

    python -m jobs.encode_items --config mmrec.toml              everything that is new, with Ray Data, then end
    python -m jobs.encode_items --config mmrec.toml --follow     stay, and encode new and changed items in seconds,
                                                                 until SIGTERM or Ctrl-C

Only inputs that are new to all runs go through an encoder; vectors are kept by content hash in the cache folder.
Pictures given by URI are fetched in the background (mmrec.content.remote_images); the batch form waits for them.
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence

from jobs.ray_encoding import encode_with_ray
from mmrec.catalog.item import CatalogItem
from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.content.catalog_feed import CatalogFeed
from mmrec.content.cleaning import CLEANINGS
from mmrec.content.content_metrics import ContentMetrics
from mmrec.content.encode import misses
from mmrec.content.picture_worker import PictureWorker
from mmrec.content.publish import ContentCounts
from mmrec.content.registry import LazyEncoder, chosen_encoders, modality_named
from mmrec.content.store import ContentStore
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import SkippedBatches
from mmrec.home import cache_folder
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wire.declared import AtLeastOne, argument
from mmrec.wiring import open_attribute_inference, open_catalog_feed, open_producer, open_topics, settings_from

log = get_logger("jobs.encode_items")
PROCESS = "encode_items"
MIN_FOR_RAY = 96
"""Fewer inputs than this are encoded in process before Ray has started."""
BATCH_PAUSE_S = 0.05


def _records(
    settings: Settings, feed: CatalogFeed, follow: bool, stop: threading.Event, skipped: SkippedBatches
) -> Iterator[list[TopicRecord]]:
    """Existing records, then new ones with `follow`; without it, empty lists while pictures are still being fetched."""
    topics, name = open_topics(settings), settings.kafka.catalog_items
    backlog = list(topics.read(name, start=feed.mark.offsets, skipped=skipped))
    start = feed.mark.moved([(r.partition, r.offset) for r in backlog]).offsets
    yield backlog
    if follow:
        yield from topics.follow(name, stop=stop.is_set, start=start, skipped=skipped)
    while not follow and feed.is_fetching and not stop.wait(BATCH_PAUSE_S):
        yield []


def run(settings: Settings, *, follow: bool, cleaning: str, num_workers: int, stop: threading.Event) -> ContentCounts:
    """Encode what is there and, with `follow`, what arrives until `stop`."""
    clock, status = SystemClock(), StatusFile(settings.stores.status, PROCESS)
    names = chosen_encoders(settings.content)
    # Near-line shares the machine with serving: one thread, and no spinning.
    encoders = {m: LazyEncoder(m, name, num_threads=1 if follow else num_workers) for m, name in names.items()}
    store = ContentStore(settings.stores.content, cache_folder=cache_folder() / "content")
    producer, watch = open_producer(settings), ContentMetrics(metrics := Metrics(PROCESS))
    endpoint = serve_metrics(metrics, settings.metrics)
    worker = PictureWorker(timeout_s=settings.content.picture_timeout_s)
    feed = open_catalog_feed(
        settings,
        encoders=encoders,
        store=store,
        producer=producer,
        cleaning=cleaning,
        picture_problem=worker.problem,
        inference=open_attribute_inference(settings, names),
    )
    feed.drop_refused_ids(now_s=clock.now_s())

    def fill_cache(items: Sequence[CatalogItem]) -> None:
        if ready and follow:
            return
        for modality, found in misses(items, names, store, cleaning=cleaning).items():
            if len(found) >= MIN_FOR_RAY and modality_named(modality).is_costly:
                encode_with_ray(modality, names[modality], found, store, num_workers)

    skipped, ready, written_s = SkippedBatches(), False, 0.0
    for records in _records(settings, feed, follow, stop, skipped):
        if records:
            feed.take(records, now_s=clock.now_s(), before_encoding=fill_cache)
        feed.take_pictures(now_s=clock.now_s(), in_portions=not follow, before_encoding=fill_cache)
        if follow and not ready:
            log.info("encoders_loaded", embedding_dims={m: lazy.embedding_dim for m, lazy in encoders.items()})
        if records or not ready or clock.now_s() - written_s >= 1.0:
            ready, written_s = True, clock.now_s()
            figures = {**feed.figures(), "num_skipped_batches": skipped.num_batches}
            status.write({"ready": True, "encoders": names, **figures}, now_s=written_s)
            watch.figures(figures)
    feed.close()
    worker.close()
    producer.close()
    endpoint.close()
    return feed.counts


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("--follow", action="store_true", help="stay and encode new items as they come")
    parser.add_argument("--text-cleaning", dest="cleaning", default="none", choices=tuple(CLEANINGS))
    parser.add_argument(
        "--num-workers", type=argument(AtLeastOne), default=os.cpu_count() or 1, help="encoder processes"
    )
    asked = parser.parse_args()
    configure_logging()
    # The batch form can be ended anywhere: the next run continues.
    stop = stop_on_signals() if asked.follow else threading.Event()

    def encode() -> None:
        settings = settings_from(asked.config)
        counts = run(settings, follow=asked.follow, cleaning=asked.cleaning, num_workers=asked.num_workers, stop=stop)
        log.info("catalogue_encoded", **counts.figures())

    return exit_status(log, PROCESS, encode)


if __name__ == "__main__":
    sys.exit(main())
