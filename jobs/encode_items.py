"""Encode the catalogue: topic catalog-items -> content store, Feast item_content, topic item-embeddings.

    python -m jobs.encode_items --config mmrec.toml              everything that is new, with Ray, then end
    python -m jobs.encode_items --config mmrec.toml --follow     stay, and encode new and changed items in seconds,
                                                                 until SIGTERM or Ctrl-C

With --follow, a catalogue that is new to it goes behind single changes, and through one thread: where it is large, let
the first form go before. It is ready as soon as single changes go first; how much content still waits, its status says
beside that (num_waiting_in_bulk), and its progress counts content, not what was only put off.

Only inputs that are new to all runs go through an encoder; vectors are kept by content and by the encoder's fingerprint
in the cache folder, as soon as they are made: a killed run goes on where it stopped. Ray starts with the first portion
that is worth it.
Pictures given by URI are fetched in the background (mmrec.content.remote_images); the batch form waits for them.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile

from jobs.ray_encoding import RayFiller
from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.content.catalog_feed import CatalogFeed, record_portions, take_ahead
from mmrec.content.content_metrics import ContentMetrics
from mmrec.content.feed_progress import FeedProgress
from mmrec.content.lanes import Lanes
from mmrec.content.picture_worker import PictureWorker
from mmrec.content.publish import ContentCounts
from mmrec.content.registry import LazyEncoder, chosen_encoders
from mmrec.content.store import ContentStore
from mmrec.events.polled import Polled
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import SkippedBatches
from mmrec.home import cache_folder
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wire.declared import AtLeastOne, argument
from mmrec.wiring import (
    live_collection,
    open_attribute_inference,
    open_catalog_feed,
    open_producer,
    open_topics,
    settings_from,
)

log = get_logger("jobs.encode_items")
PROCESS = "encode_items"
BATCH_PAUSE_S = 0.05
POLL_S = 0.2


def run(settings: Settings, *, follow: bool, num_workers: int, stop: threading.Event) -> ContentCounts:
    """Encode what is there and, with `follow`, what arrives until `stop`."""
    clock, names = SystemClock(), chosen_encoders(settings.content)
    # Near-line shares the machine with serving: one thread, and no spinning.
    encoders = {m: LazyEncoder(m, name, num_threads=1 if follow else num_workers) for m, name in names.items()}
    store = ContentStore(settings.stores.content, cache_folder=cache_folder() / "content", keeps_open=True)
    producer, status = open_producer(settings), StatusFile(settings.stores.status, PROCESS)
    endpoint = serve_metrics(metrics := Metrics(PROCESS), settings.metrics)
    worker = PictureWorker(timeout_s=settings.content.picture_timeout_s)
    feed = open_catalog_feed(
        settings,
        encoders=encoders,
        store=store,
        producer=producer,
        picture_problem=worker.problem,
        inference=open_attribute_inference(settings, encoders),
    )
    feed.drop_refused_ids(now_s=clock.now_s())
    filler, skipped = RayFiller(encoders, store, num_workers=num_workers), SkippedBatches()
    topics, topic = open_topics(settings), settings.kafka.catalog_items
    ends = topics.ends(topic)
    progress = FeedProgress(start=feed.mark.encoded, end=ends, started_s=clock.now_s())
    live, watch = live_collection(settings), ContentMetrics(metrics)

    def tell(*, ready: bool) -> None:
        now_s, counts = clock.now_s(), feed.figures()
        far = progress.figures(feed.mark.encoded, now_s=now_s, num_items=counts["num_items"])
        others = {"num_skipped_batches": skipped.num_batches, "live_collection": live.figures()}
        figures = {**counts, "progress": far, **lanes.figures(), **others}
        status.write({"ready": ready, "encoders": names, **figures}, now_s=now_s)
        watch.figures(figures)
        if not ready:
            log.info("encoding", **far, **lanes.figures())

    lanes = Lanes(
        feed,
        read=lambda start: topics.read(topic, start=start, skipped=skipped),
        elapsed_s=time.monotonic,
        filler=None if follow else filler,
    )
    tell(ready=False)
    is_taken_here = not follow or lanes.is_catalogue(ends)
    there = topics.read(topic, start=feed.mark.offsets, skipped=skipped) if is_taken_here else ()
    portions = takewhile(lambda _: not stop.is_set(), record_portions(there))
    if follow:
        steps = _put_off(portions, lanes=lanes, now_s=clock.now_s)
    else:
        steps = _all_at_once(portions, feed=feed, lanes=lanes, filler=filler, now_s=clock.now_s)
    for _ in steps:
        tell(ready=False)
    filler.close()
    if follow:
        log.info("encoders_loaded", embedding_dims={m: lazy.embedding_dim for m, lazy in encoders.items()})
    tell(ready=True)
    if follow:
        live.start()
        polls = topics.follow(topic, stop=stop.is_set, start=feed.mark.offsets, skipped=skipped)
        _follow(Polled(polls), feed=feed, lanes=lanes, now_s=clock.now_s, tell=lambda: tell(ready=True))
    for part in (live, feed, worker, producer, endpoint):
        part.close()
    return feed.counts


def _all_at_once(
    portions: Iterable[list[TopicRecord]],
    *,
    feed: CatalogFeed,
    lanes: Lanes,
    filler: RayFiller,
    now_s: Callable[[], float],
) -> Iterator[None]:
    """Encode what waits in the bulk lane, then portions of the topic, then pictures as they come; yields meanwhile."""
    while lanes.encode_some(now_s=now_s()):
        yield
    yield from take_ahead(feed, lanes.passed(portions), filler=filler, now_s=now_s)
    while _pictures_are_awaited(feed, filler, now_s()):
        time.sleep(BATCH_PAUSE_S)


def _put_off(portions: Iterable[list[TopicRecord]], *, lanes: Lanes, now_s: Callable[[], float]) -> Iterator[None]:
    """Put a catalogue that is new to the job behind changes that come now; yields after each portion."""
    for records in portions:
        lanes.put_off(records, now_s=now_s())
        yield


def _follow(
    polled: Polled, *, feed: CatalogFeed, lanes: Lanes, now_s: Callable[[], float], tell: Callable[[], None]
) -> None:
    """Take what arrives, and between polls what waits in the bulk lane and pictures that have come.

    Serving fields of the bulk lane go on however much arrives, its content when nothing does.
    """
    told_s = now_s()
    while (records := polled.next(wait_s=0.0 if lanes.num_waiting else POLL_S)) is not None:
        if records:
            lanes.arrived(records, now_s=now_s())
        if not lanes.describe_some(now_s=now_s()) and not records:
            lanes.encode_some(now_s=now_s())
        feed.take_pictures(now_s=now_s(), in_portions=False)
        if records or now_s() - told_s >= 1.0:
            told_s = now_s()
            tell()
    polled.close()


def _pictures_are_awaited(feed: CatalogFeed, filler: RayFiller, now_s: float) -> bool:
    """Take the pictures that have come; whether others are still being fetched."""
    feed.take_pictures(now_s=now_s, in_portions=True, filler=filler)
    return feed.is_fetching


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("--follow", action="store_true", help="stay and encode new items as they come")
    parser.add_argument(
        "--num-workers", type=argument(AtLeastOne), default=os.cpu_count() or 1, help="encoder processes"
    )
    asked = parser.parse_args()
    configure_logging()
    # The batch form can be ended anywhere: the next run continues.
    stop = stop_on_signals() if asked.follow else threading.Event()

    def encode() -> None:
        settings = settings_from(asked.config)
        counts = run(settings, follow=asked.follow, num_workers=asked.num_workers, stop=stop)
        log.info("catalogue_encoded", **counts.figures())
        sys.stdout.write(counts.table() + "\n")

    return exit_status(log, PROCESS, encode)


if __name__ == "__main__":
    sys.exit(main())
