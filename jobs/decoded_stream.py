"""Records of Kafka topics, decoded by Spark's workers, bounded in number and in bytes."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, lit, substring, unix_micros, when
from pyspark.sql.pandas.types import from_arrow_schema

from mmrec.config import Settings
from mmrec.events.stream_rows import MAX_KEY_BYTES, STREAM_SCHEMA, StreamTopic, decode_rows


def decoded_stream(
    spark: SparkSession, settings: Settings, topics: dict[str, StreamTopic], starts: str, max_offsets: int
) -> DataFrame:
    """The stream of STREAM_SCHEMA rows; of long keys and values only as much is read as refusing them takes.

    Args:
        starts: Spark's option startingOffsets.
        max_offsets: Records per micro-batch; with the bounds of key and value it bounds a batch's memory.
    """
    behaviors, events = settings.behaviors, settings.events
    value = lit(None).cast("binary")
    for topic in topics.values():
        cut = substring("value", 1, topic.max_bytes(events))
        value = when(col("topic") == topic.name, cut).otherwise(value)
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
            substring("key", 1, MAX_KEY_BYTES).alias("key"),
            value.alias("value"),
            "partition",
            "offset",
            (unix_micros(col("timestamp")) / 1e6).alias("ingest_time_s"),
        )
    )

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = decode_rows(pa.Table.from_batches([batch]), topics, behaviors=behaviors, settings=events)
            yield from rows.combine_chunks().to_batches()

    return records.mapInArrow(decode, from_arrow_schema(STREAM_SCHEMA))
