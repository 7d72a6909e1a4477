"""Follow behavior-events into the overlay: events sent straight onto Kafka are in the next list within moments.

python -m jobs.follow_events --config mmrec.toml      until SIGTERM or Ctrl-C

It keeps no state: it begins at the topic's end, and the scoring stream counts what it did not see.
"""

import gc
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from mmrec.clock import SystemClock
from mmrec.collecting.overlay_follower import OverlayFollower
from mmrec.config import Settings
from mmrec.errors import MmrecError, StoreError
from mmrec.events.topics import SkippedBatches, TopicIdentity, TopicWatch
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wiring import open_overlay_writer, open_topic_watch, open_topics, settings_from

PAUSE_S = 0.05
"""Pause between two polls: each costs a request to the broker and a commit, however few records it finds."""
AGAIN_S = 1.0
"""Pause before the topic is opened again."""
TEND_S = 1.0
TOPIC_CHECK_S = 5.0

log = get_logger("jobs.follow_events")


class _Topic:
    """Checks the topic now and then; `changed` is set where it is another topic or has other partitions."""

    def __init__(self, watch: TopicWatch) -> None:
        self._watch = watch
        self.known: TopicIdentity | None = None
        self.changed = threading.Event()
        self.skipped = SkippedBatches()

    def look(self) -> None:
        with suppress(MmrecError):  # a broker that is away comes back
            found = self._watch.describe()
            if found != self.known:
                self.known = found
                self.changed.set()


def run(settings: Settings, *, stop: threading.Event) -> None:
    """Follow until `stop`, or until something fails that waiting cannot cure."""
    clock, metrics = SystemClock(), Metrics("follow_events")
    status, endpoint = StatusFile(settings.stores.status, "follow_events"), serve_metrics(metrics, settings.metrics)
    writer, topic = open_overlay_writer(settings), _Topic(open_topic_watch(settings))
    follower = OverlayFollower(writer, metrics, clock, behaviors=settings.behaviors, settings=settings.events)
    following, failures = threading.Event(), list[Exception]()

    def tell(*, ready: bool) -> None:
        metrics.set("mmrec_skipped_batches_total", topic.skipped.num_batches)
        figures = {**follower.figures(), **writer.figures(), **topic.skipped.figures()}
        status.write({"ready": ready, **figures}, now_s=clock.now_s())

    def tend() -> None:
        writer.tend()
        tell(ready=following.is_set())

    def look() -> None:
        topic.look()  # before the writer does, so that records still read from another topic are left out
        writer.check_topic()

    def keep(work: Callable[[], None], pause_s: float) -> None:
        try:
            while not stop.wait(pause_s):
                work()
        except Exception as error:
            failures.append(error)
            stop.set()

    look()
    writer.tend()  # loads the store's engine before the first record
    gc.freeze()
    # A broker that is down blocks the check, so the check has a thread of its own.
    threads = [
        threading.Thread(target=keep, args=each, daemon=True) for each in ((tend, TEND_S), (look, TOPIC_CHECK_S))
    ]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        try:
            _follow(settings, follower, topic, following, stop)
        except MmrecError as error:
            log.warning("topic_not_followed", error=str(error))
        following.clear()
        stop.wait(AGAIN_S)
    for thread in threads:
        thread.join(5)
    endpoint.close()
    tell(ready=False)
    writer.close()
    if failures:
        raise StoreError(f"{type(failures[0]).__name__}: {failures[0]}") from failures[0]


def _follow(
    settings: Settings, follower: OverlayFollower, topic: _Topic, following: threading.Event, stop: threading.Event
) -> None:
    """Follow until `stop`, a change of the topic, or a backlog that is left to the stream."""
    topic.changed.clear()
    opened = topic.known
    if opened is None:
        topic.look()
        return

    def over() -> bool:
        return stop.is_set() or topic.changed.is_set()

    identity = (opened.cluster_id, opened.topic_id)
    topics, name = open_topics(settings), settings.kafka.behavior_events
    for records in topics.follow(name, from_end=True, stop=over, skipped=topic.skipped):
        following.set()
        if not follower.take(records, topic=identity):
            log.info("backlog_left_to_the_stream", num_records=len(records))
            return
        stop.wait(PAUSE_S)


def main() -> int:
    """Parse the command line and follow."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()
    stop = stop_on_signals()
    return exit_status(log, "follow_events", lambda: run(settings_from(arguments.config), stop=stop))


if __name__ == "__main__":
    sys.exit(main())
