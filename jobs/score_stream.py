"""The scoring stream: Kafka -> decode (Spark workers) -> apply (driver) -> event log -> profiles in Feast.

    python -m jobs.score_stream --config mmrec.toml

Spark moves records and keeps no state of ours: every start reads on behind the progress stored with the profiles,
with a fresh checkpoint, so a lost checkpoint costs nothing and a killed driver repeats nothing.
"""

import argparse
import gc
import json
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, unix_micros
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.spark_session import local_spark
from mmrec.config import Settings
from mmrec.events.producer import RecordProducer
from mmrec.events.stream_rows import STREAM_SCHEMA, StreamTopic, decode_rows, split_rows
from mmrec.stores.stream_topics import check_topics, starting_offsets, stream_topics
from mmrec.stores.writer_lock import take_writer_lock
from mmrec.stream import ScoringStream
from mmrec.stream_status import stream_figures
from mmrec.telemetry import StatusFile, configure_logging, get_logger
from mmrec.wiring import open_event_log, open_feature_store, open_producer, settings_from

log = get_logger("__main__")
IDENTITY_CHECK_S = 5
"""Seconds between two looks whether the topics are still the same ones."""


def decoded_stream(
    spark: SparkSession, settings: Settings, topics: dict[str, StreamTopic], starts: str, max_offsets: int
) -> DataFrame:
    """Records of the topics, decoded by the workers."""
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka.bootstrap)
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", starts)
        .option("maxOffsetsPerTrigger", max_offsets)
        .option("failOnDataLoss", "true")
        .load()
        .select(
            "topic",
            "key",
            "value",
            "partition",
            "offset",
            (unix_micros(col("timestamp")) / 1e6).alias("ingest_time_s"),
        )
    )
    behaviors, events = settings.behaviors, settings.events

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = decode_rows(pa.Table.from_batches([batch]), topics, behaviors=behaviors, settings=events)
            yield from rows.combine_chunks().to_batches()

    return records.mapInArrow(decode, from_arrow_schema(STREAM_SCHEMA))


def open_stream(settings: Settings) -> tuple[ScoringStream, RecordProducer]:
    """The stream over this deployment's stores, recovered from whatever ended the run before."""
    producer, store, events = open_producer(settings), open_feature_store(settings), open_event_log(settings)
    stream = ScoringStream(store=store, log=events, producer=producer, settings=settings)
    log.info("stream_recovered", num_events=stream.recover(write_time_s=time.time()))
    return stream, producer


def run(settings: Settings, *, master: str, max_offsets: int, stop: list[bool]) -> None:
    """Stream until `stop` is filled or something fails."""
    lock = take_writer_lock(Path(settings.stores.feature_repo))
    checkpoint = Path(settings.stores.checkpoint) / "score_stream"
    shutil.rmtree(checkpoint, ignore_errors=True)
    status = StatusFile(settings.stores.status, "score_stream")
    status.write({"ready": False, "counts": {}}, now_s=time.time())
    with ThreadPoolExecutor() as pool:  # the JVM starts while this process loads its engines
        started = pool.submit(local_spark, "score_stream", master=master, folder=checkpoint / "scratch")
        stream, producer = open_stream(settings)
        spark = started.result()
    topics = stream_topics(settings.kafka)
    starts, num_deleted = starting_offsets(settings.kafka.bootstrap, topics, stream.progress.marks)
    if num_deleted:
        log.error("records_lost", num_records=num_deleted, reason="deleted by the broker before they were read")
    log.info("stream_starts", starts=starts)
    gc.freeze()  # imports never become garbage, and the profiles of a batch die with it: collect seldom
    gc.set_threshold(100_000, 20, 20)

    def step(rows: DataFrame, _batch_id: int) -> None:
        stream.process(split_rows(rows.toArrow(), topics), write_time_s=time.time())

    decoded = decoded_stream(spark, settings, topics, json.dumps(starts), max_offsets)
    checkpoints = str(checkpoint / uuid.uuid4().hex)
    query = decoded.writeStream.foreachBatch(step).option("checkpointLocation", checkpoints).start()

    def figures() -> dict[str, Any]:
        ready = query.isActive and (query.lastProgress is not None or not query.status["isTriggerActive"])
        return {"ready": ready, **stream_figures(stream.progress, query.lastProgress, now_s=time.time())}

    try:
        for second in count():
            if stop or query.awaitTermination(1.0):
                break
            status.write(figures(), now_s=time.time())
            if second % IDENTITY_CHECK_S == 0:
                check_topics(settings.kafka, topics)
    finally:
        status.write({**figures(), "ready": False}, now_s=time.time())
        query.stop()
        spark.stop()
        producer.close()
        lock.close()


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description="Score behavior events from Kafka into profiles.")
    parser.add_argument("--config", help="mmrec.toml; MMREC_CONFIG where absent")
    parser.add_argument("--master", default="local[2]", help="Spark master (default: %(default)s)")
    parser.add_argument(
        "--max-offsets", type=int, default=50_000, help="records per micro-batch (default: %(default)s)"
    )
    arguments = parser.parse_args()
    configure_logging()
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # a JVM or worker that outlives a killed driver is ended with the group
    stop: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(True))
    run(settings_from(arguments.config), master=arguments.master, max_offsets=arguments.max_offsets, stop=stop)
    sys.exit(0)


if __name__ == "__main__":
    main()
