"""Records of Kafka topics, decoded by Spark's workers, bounded in number and in bytes.

Decoded rows leave a worker as pieces of tables (jobs/table_bytes.py): Spark would take rows of values apart and put
them together again at every step.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import reduce

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.functions import col, length, lit, substring, unix_micros, when
from pyspark.sql.functions import sum as total
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.spark_worker import settle
from jobs.table_bytes import parts_by_size, table_of, table_pieces
from mmrec.config import Settings
from mmrec.connections.brokers import spark_options
from mmrec.stream.rows import MAX_KEY_BYTES, STREAM_SCHEMA, StreamTopic, decode_rows

MAX_OFFSETS, MAX_SPREAD = 400_000, 1_000_000
"""Most records of a micro-batch: where the driver holds the profiles, and where workers write them."""
MAX_POLL = 5_000
"""Records per poll of Spark's consumer. After each poll it asks the broker for the topic's ends, and fetches again what
was fetched beyond: Kafka's default of 500 costs the broker twice as much."""
PIECE_SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        # Lowest offset of the records that were decoded together; all their pieces have it.
        pa.field("low", pa.int64()),
        pa.field("part", pa.int32()),
        pa.field("piece", pa.binary()),
    ]
)
"""Decoded rows of one Kafka partition; `part` is whatever `Cut` says, 0 without one."""
NUM_PORTIONS = 4
"""About how many portions a micro-batch is cut into that is too large for the driver; a portion may be cut again."""
PLACE = ("topic", "partition")
SPARK_ERRORS = PySparkException, Py4JJavaError
"""Errors of a failed job; PySpark does not translate the one for rows that are too much for the driver."""
Cut = Callable[[pa.Table], Iterator[tuple[int, pa.Table]]]
"""Cuts decoded rows by where they go next: (part, rows)."""


def decoded_stream(
    spark: SparkSession,
    settings: Settings,
    topics: Mapping[str, StreamTopic],
    starts: str,
    max_offsets: int,
    *,
    cut: Cut | None = None,
) -> DataFrame:
    """The stream of PIECE_SCHEMA; long keys and values are cut to the length needed to refuse them.

    Args:
        starts: Spark's option startingOffsets.
        max_offsets: Records per micro-batch; with the bounds of key and value it bounds a batch's memory.
        cut: Runs on the workers, for each Arrow batch of decoded rows.
    """
    behaviors, events = settings.behaviors, settings.events
    value = lit(None).cast("binary")
    for topic in topics.values():
        within = substring("value", 1, topic.max_bytes(events))
        value = when(col("topic") == topic.name, within).otherwise(value)
    records = (
        spark.readStream.format("kafka")
        .options(**spark_options(settings.kafka))
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", starts)
        .option("maxOffsetsPerTrigger", max_offsets)
        .option("failOnDataLoss", "true")
        .option("kafka.max.poll.records", MAX_POLL)
        # Batches end before the first open transaction, and none contains aborted records.
        .option("kafka.isolation.level", "read_committed")
        .load()
        .select(
            "topic",
            substring("key", 1, MAX_KEY_BYTES).alias("key"),
            value.alias("value"),
            "partition",
            "offset",
            (unix_micros(col("timestamp")) / 1e6).alias("ingest_time_s"),
        )
    )

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        settle()
        for batch in batches:
            rows = decode_rows(pa.Table.from_batches([batch]), topics, behaviors=behaviors, settings=events)
            # A task reads one Kafka partition, in the order of its offsets.
            place = {"topic": [batch["topic"][0].as_py()], "partition": [batch["partition"][0].as_py()]}
            place["low"] = [batch["offset"][0].as_py()]
            for part, mine in cut(rows) if cut is not None else [(0, rows.sort_by("offset"))]:
                for _, data in table_pieces(mine):
                    row = {**place, "part": [part], "piece": [data]}
                    yield pa.RecordBatch.from_pydict(row, schema=PIECE_SCHEMA)

    return records.mapInArrow(decode, from_arrow_schema(PIECE_SCHEMA))


def decoded_tables(rows: DataFrame) -> Iterator[tuple[pa.Table, float]]:
    """The rows of a micro-batch and the seconds it took to get them, as one table or, if that is too large, several.

    Args:
        rows: Of PIECE_SCHEMA.
    """
    began_s = time.monotonic()
    try:
        whole = _decoded(rows)
    except SPARK_ERRORS as error:
        for portion in cut_batch(rows, error):
            yield from decoded_tables(portion)
    else:
        yield whole, time.monotonic() - began_s


def cut_batch(rows: DataFrame, error: Exception) -> Iterator[DataFrame]:
    """A micro-batch of PIECE_SCHEMA in parts, each decoded again, for one that is too large for the driver.

    So the bound in records may be high while memory stays bounded in bytes. A portion holds whole groups of records
    that were decoded together, and continues each partition where the portion before ended, so marks may move from one
    portion to the next.

    Raises:
        Exception: the given error, where it has another cause or no further cut is possible.
    """
    groups = []
    if "maxResultSize" in str(error):
        groups = rows.groupBy(*PLACE, "low").agg(total(length("piece")).alias("size")).collect()
    if len(groups) < 2:
        raise error
    groups.sort(key=lambda group: (group.topic, group.partition, group.low))
    for start, stop in parts_by_size([group["size"] for group in groups], NUM_PORTIONS):
        lows: dict[tuple[str, int], list[int]] = {}
        for group in groups[start:stop]:
            lows.setdefault((group.topic, group.partition), []).append(group.low)
        wanted = [
            (col("topic") == topic) & (col("partition") == partition) & col("low").between(min(held), max(held))
            for (topic, partition), held in lows.items()
        ]
        yield rows.where(reduce(Column.__or__, wanted))


def _decoded(rows: DataFrame) -> pa.Table:
    return table_of(rows.select("piece").toArrow()["piece"].to_pylist(), STREAM_SCHEMA)
