"""The scoring stream: Kafka -> decode (Spark workers) -> apply (driver) -> event log -> profiles in Feast.

    python -m jobs.score_stream --config mmrec.toml

Spark moves records and keeps no state of ours: every start continues after the progress stored with the profiles, with
a fresh checkpoint, so a lost checkpoint costs nothing and a killed driver repeats nothing.
"""

import argparse
import gc
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Any

from py4j.protocol import Py4JError
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from jobs.broken_batch import pass_broken_batch
from jobs.decoded_stream import MAX_OFFSETS, MAX_SPREAD, decoded_stream
from jobs.partition_writers import partition_writers
from jobs.spark_session import local_spark
from jobs.stream_step import StreamStep, answer_flip
from mmrec.config import Settings
from mmrec.errors import StoreError
from mmrec.events.producer import RecordProducer
from mmrec.programs.patience import when_it_answers
from mmrec.programs.shell import exit_status, shell_parser, stop_on_signals
from mmrec.stream.metrics import StreamMetrics
from mmrec.stream.status import stream_figures
from mmrec.stream.step import ScoringStream
from mmrec.stream.topics import StreamReading, StreamTopics
from mmrec.stream.writer_right import WriterRight
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wire.declared import AtLeastOne, NotNegative, argument
from mmrec.wiring import (
    open_scoring_stream,
    open_stream_topics,
    open_topics,
    settings_from,
    take_writer_lock,
    take_writer_right,
)

log = get_logger("jobs.score_stream")
COLLECT_S = 60
"""Seconds between two collections of garbage."""
JVM_GONE = Py4JError, OSError  # what calls into Spark's JVM raise once it was killed
IDENTITY_CHECK_S = 5
"""Seconds between two checks that the topics are still the same ones."""


@dataclass(frozen=True, kw_only=True)
class Engines:
    """What the stream runs on, opened and recovered."""

    right: WriterRight
    stream: ScoringStream
    producer: RecordProducer
    broker: StreamTopics
    reading: StreamReading
    spark: SparkSession


def run(settings: Settings, options: argparse.Namespace, *, stop: threading.Event) -> None:
    """Stream until `stop` or until something fails; `options` are those of main()."""
    lock = take_writer_lock(settings)
    checkpoint = Path(settings.stores.checkpoint) / "score_stream"
    shutil.rmtree(checkpoint, ignore_errors=True)
    status = StatusFile(settings.stores.status, "score_stream")
    status.write({"ready": False, "counts": {}}, now_s=time.time())
    metrics = Metrics("score_stream")
    endpoint = serve_metrics(metrics, settings.metrics)
    watch = StreamMetrics(metrics, late_s=settings.metrics.late_s)
    engines = _open(settings, options, lock, scratch=checkpoint / "scratch")
    gc.freeze()  # imports never become garbage, and the profiles of a batch are in no cycle:
    gc.disable()  # this process, and no code it calls, decides to collect once in COLLECT_S
    step, query = _start(engines, settings, options, watch, checkpoint=checkpoint / uuid.uuid4().hex)

    def figures() -> dict[str, Any]:
        whole = stream_figures(engines.stream.progress, query.lastProgress, now_s=time.time())
        ready = query.isActive and (query.lastProgress is not None or not query.status["isTriggerActive"])
        return {"ready": ready, **step.recent.figures(), **whole}

    try:
        _attend(engines, step, query, watch, stop=stop, tell=lambda: status.write(figures(), now_s=time.time()))
    except StreamingQueryException as error:
        engines.broker.check(engines.reading.topics)  # Spark's error does not say that a topic is gone or was recreated
        step.wait()
        passed = pass_broken_batch(engines.stream, settings, engines.reading.topics, open_topics(settings), str(error))
        raise StoreError(passed) from error
    except JVM_GONE as error:
        raise StoreError(f"Spark does not answer: {error!r}") from error
    finally:
        with suppress(*JVM_GONE):
            status.write({**figures(), "ready": False}, now_s=time.time())
            query.stop()
        step.close()
        with suppress(*JVM_GONE):
            engines.spark.stop()
        for part in (engines.producer, endpoint, engines.right):
            part.close()


def _open(settings: Settings, options: argparse.Namespace, lock: IO[str], *, scratch: Path) -> Engines:
    """Open and recover everything the stream runs on; when it returns, the profiles agree with the log."""
    with ThreadPoolExecutor() as pool:  # the JVM starts while this process loads its engines
        start = partial(
            local_spark,
            "score_stream",
            master=options.master,
            max_result=options.max_result,
            num_partitions=options.partitions,
        )
        started = pool.submit(start, folder=scratch)
        right = when_it_answers(partial(take_writer_right, settings, lock=lock))
        open_both = partial(open_scoring_stream, settings, timer=time.monotonic, lease=right.holder)
        stream, producer = when_it_answers(open_both)
        broker = open_stream_topics(settings)
        reading = when_it_answers(partial(broker.begin, stream.progress.marks))
        log.info("stream_recovered", **asdict(stream.recover(starts=reading.starts, write_time_s=time.time())))
        spark = started.result()
    return Engines(right=right, stream=stream, producer=producer, broker=broker, reading=reading, spark=spark)


def _start(
    engines: Engines, settings: Settings, options: argparse.Namespace, watch: StreamMetrics, *, checkpoint: Path
) -> tuple[StreamStep, StreamingQuery]:
    """The query that passes micro-batches to the step."""
    writers = partition_writers(settings, engines.right, engines.spark)
    step = StreamStep(engines.stream, engines.reading.topics, watch, checkpoint=checkpoint, writers=writers)
    max_offsets = options.max_offsets or (MAX_SPREAD if writers else MAX_OFFSETS)
    decoded = decoded_stream(
        engines.spark,
        settings,
        engines.reading.topics,
        engines.reading.spark_offsets,
        max_offsets,
        cut=writers.cut if writers else None,
    )
    written = decoded.writeStream.foreachBatch(step).option("checkpointLocation", str(checkpoint))
    return step, written.trigger(processingTime=f"{round(options.every * 1_000)} milliseconds").start()


def _attend(
    engines: Engines,
    step: StreamStep,
    query: StreamingQuery,
    watch: StreamMetrics,
    *,
    stop: threading.Event,
    tell: Callable[[], None],
) -> None:
    """Check once a second, until `stop` or the query's end, what may have happened meanwhile.

    Raises:
        StoreError: another writer took over, or a topic was created again.
    """
    for second in count():
        if stop.is_set() or query.awaitTermination(1.0):
            break
        step.check()
        if engines.right.lost:
            raise StoreError("the writer's lease is lost: another score_stream has it, or Redis was started again")
        answer_flip(engines.stream)
        tell()
        if second % IDENTITY_CHECK_S == 0:
            _look(engines, watch)
        if second % COLLECT_S == 0:
            gc.collect()


def _look(engines: Engines, watch: StreamMetrics) -> None:
    topics = engines.reading.topics
    if engines.broker.check(topics):
        with suppress(StoreError):  # a broker that is down reports no ends
            names = {t.topic_id: name for name, t in topics.items()}
            watch.lag(engines.broker.ends(topics), names, engines.stream.progress, now_s=time.time())


def main() -> int:
    """Parse, run, report."""
    parser = shell_parser(__doc__)
    parser.add_argument("--master", default="local[2,4]", help="Spark master (default: %(default)s)")
    parser.add_argument(
        "--max-offsets", type=argument(AtLeastOne), help=f"records per batch ({MAX_OFFSETS}, on Redis {MAX_SPREAD})"
    )
    parser.add_argument(
        "--every", type=argument(NotNegative), default=1.0, help="seconds from batch to batch at least (%(default)s)"
    )
    parser.add_argument(
        "--partitions",
        type=argument(AtLeastOne),
        default=2,
        help="parts that judge and write at once, on Redis: as many as Spark has cores (default: %(default)s)",
    )
    parser.add_argument("--max-result", default="128m", help="bytes of a batch on the driver (default: %(default)s)")
    arguments = parser.parse_args()
    configure_logging()
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # a JVM or worker that outlives a killed driver is ended with the group
    stop = stop_on_signals()
    return exit_status(log, "score_stream", lambda: run(settings_from(arguments.config), arguments, stop=stop))


if __name__ == "__main__":
    sys.exit(main())
