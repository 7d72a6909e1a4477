"""The scoring stream: Kafka -> decode (Spark workers) -> apply (driver) -> event log -> profiles in Feast.

    python -m jobs.score_stream --config mmrec.toml

Spark moves records and keeps no state of ours: every start reads on behind the progress stored with the profiles,
with a fresh checkpoint, so a lost checkpoint costs nothing and a killed driver repeats nothing.
"""

import argparse
import gc
import os
import shutil
import signal
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import StreamingQueryException

from jobs.broken_batch import pass_broken_batch
from jobs.decoded_stream import MAX_OFFSETS, MAX_SPREAD, decoded_stream
from jobs.partition_writers import partition_writers
from jobs.spark_session import local_spark
from jobs.stream_step import StreamStep, answer_flip
from mmrec.config import Settings
from mmrec.errors import MmrecError, StoreError
from mmrec.stores.kafka.stream_topics import begin_reading, check_topics
from mmrec.stores.kafka.topic_ends import source_ends
from mmrec.stores.patience import when_it_answers
from mmrec.stores.sqlite.writer_lock import take_writer_lock
from mmrec.stores.writer_right import take_writer_right
from mmrec.stream.metrics import StreamMetrics
from mmrec.stream.status import stream_figures
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wiring import open_scoring_stream, settings_from

log = get_logger("__main__")
COLLECT_S = 60
"""Seconds between two collections of garbage."""
JVM_GONE = Py4JError, OSError  # what calls into Spark's JVM raise once it was killed
IDENTITY_CHECK_S = 5
"""Seconds between two looks whether the topics are still the same ones."""


def run(settings: Settings, options: argparse.Namespace, *, stop: list[bool]) -> None:
    """Stream until `stop` is filled or something fails; `options` are those of main()."""
    lock = take_writer_lock(Path(settings.stores.feature_repo))
    checkpoint = Path(settings.stores.checkpoint) / "score_stream"
    shutil.rmtree(checkpoint, ignore_errors=True)
    status = StatusFile(settings.stores.status, "score_stream")
    status.write({"ready": False, "counts": {}}, now_s=time.time())
    metrics = Metrics("score_stream")
    watch, endpoint = StreamMetrics(metrics, late_s=settings.metrics.late_s), serve_metrics(metrics, settings.metrics)
    with ThreadPoolExecutor() as pool:  # the JVM starts while this process loads its engines
        start = partial(local_spark, "score_stream", master=options.master, max_result=options.max_result)
        started = pool.submit(start, folder=checkpoint / "scratch")
        right = when_it_answers(partial(take_writer_right, settings.stores, lock=lock))
        open_both = partial(open_scoring_stream, settings, timer=time.monotonic, lease=right.holder)
        stream, producer = when_it_answers(open_both)
        reading = when_it_answers(partial(begin_reading, settings.kafka, stream.progress.marks))
        log.info("stream_recovered", **asdict(stream.recover(starts=reading.starts, write_time_s=time.time())))
        spark = started.result()
    gc.freeze()  # imports never become garbage, and the profiles of a batch are in no cycle:
    gc.disable()  # this process, and no code it calls, decides that some is looked for once in COLLECT_S

    topics, writers = reading.topics, partition_writers(settings, right, spark)

    def look() -> None:
        if check_topics(settings.kafka, topics):
            with suppress(StoreError):  # a broker that is away has no ends to tell
                ends = source_ends(settings.kafka.bootstrap, topics.values())
                watch.lag(ends, {t.topic_id: name for name, t in topics.items()}, stream.progress, now_s=time.time())

    cut, at = writers.cut if writers else None, checkpoint / uuid.uuid4().hex
    step = StreamStep(stream, topics, watch, checkpoint=at, writers=writers)
    max_offsets = options.max_offsets or (MAX_SPREAD if writers else MAX_OFFSETS)
    decoded = decoded_stream(spark, settings, topics, reading.spark_offsets, max_offsets, cut=cut)
    written = decoded.writeStream.foreachBatch(step).option("checkpointLocation", str(at))
    query = written.trigger(processingTime=f"{round(options.every * 1_000)} milliseconds").start()

    def figures() -> dict[str, Any]:
        whole = stream_figures(stream.progress, query.lastProgress, now_s=time.time())
        ready = query.isActive and (query.lastProgress is not None or not query.status["isTriggerActive"])
        return {"ready": ready, **step.recent.figures(), **whole}

    try:
        for second in count():
            if stop or query.awaitTermination(1.0):
                break
            step.check()
            if right.lost:
                raise StoreError("the writer's lease is lost: another score_stream has it, or Redis was started again")
            answer_flip(stream)
            status.write(figures(), now_s=time.time())
            if second % IDENTITY_CHECK_S == 0:
                look()
            if second % COLLECT_S == 0:
                gc.collect()
    except StreamingQueryException as error:
        check_topics(settings.kafka, topics)  # where a topic is gone or made anew, Spark's own words hide it
        step.wait()
        raise StoreError(pass_broken_batch(stream, settings, topics, str(error))) from error
    except JVM_GONE as error:
        raise StoreError(f"Spark does not answer: {error!r}") from error
    finally:
        with suppress(*JVM_GONE):
            status.write({**figures(), "ready": False}, now_s=time.time())
            query.stop()
        step.close()
        with suppress(*JVM_GONE):
            spark.stop()
        for part in (producer, endpoint, right):
            part.close()


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description="Score behavior events from Kafka into profiles.")
    parser.add_argument("--config", help="mmrec.toml; MMREC_CONFIG where absent")
    parser.add_argument("--master", default="local[2,4]", help="Spark master (default: %(default)s)")
    parser.add_argument("--max-offsets", type=int, help=f"records per batch ({MAX_OFFSETS}, on Redis {MAX_SPREAD})")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from batch to batch at least (%(default)s)")
    parser.add_argument("--max-result", default="128m", help="bytes of a batch on the driver (default: %(default)s)")
    arguments = parser.parse_args()
    configure_logging()
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # a JVM or worker that outlives a killed driver is ended with the group
    stop: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(True))
    try:
        run(settings_from(arguments.config), arguments, stop=stop)
    except MmrecError as error:
        log.error("score_stream_failed", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
