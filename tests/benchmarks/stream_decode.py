"""Reading and decoding beside each other, by Spark from the same topic: raw records, from_json, and our mapInArrow.

    python -m tests.benchmarks.stream_decode --config mmrec.toml --num-events 400000          prints JSON

Each is one batch query without a sink, so it says what two task threads can do when nothing else is asked of them.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.functions import col, from_json, unix_micros
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.spark_session import local_spark
from mmrec.config import Settings
from mmrec.stores.kafka.stream_topics import stream_topics
from mmrec.stores.kafka.topic_ends import end_offsets
from mmrec.stream.rows import STREAM_SCHEMA, decode_rows
from mmrec.wiring import settings_from
from tests.benchmarks.repeated import median_seconds

EVENT_DDL = (
    "event_id STRING, user_id STRING, anonymous_id STRING, item_id STRING, behavior STRING, event_time TIMESTAMP, "
    "session_id STRING, domain STRING, quantity DOUBLE, price DOUBLE, currency STRING, imported BOOLEAN, "
    "context MAP<STRING,STRING>"
)


def measure(settings: Settings, *, num_events: int, master: str, folder: Path) -> dict[str, float]:
    """Records per second of each, the median of ROUNDS after one to warm up."""
    topics = stream_topics(settings.kafka)
    name = settings.kafka.behavior_events
    ends = end_offsets(settings.kafka.bootstrap, name)
    wanted = {str(p): min(end, num_events // len(ends)) for p, end in ends.items()}
    spark = local_spark("decode", master=master, folder=folder)
    records = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka.bootstrap)
        .option("subscribe", name)
        .option("startingOffsets", json.dumps({name: dict.fromkeys(wanted, 0)}))
        .option("endingOffsets", json.dumps({name: wanted}))
        .load()
        .select("topic", "key", "value", "partition", "offset", (unix_micros("timestamp") / 1e6).alias("ingest_time_s"))
    )

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = decode_rows(
                pa.Table.from_batches([batch]), topics, behaviors=settings.behaviors, settings=settings.events
            )
            yield from rows.combine_chunks().to_batches()

    def through(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.select(["offset"])

    places = ("partition", "offset", "ingest_time_s")
    parsed = records.select(*places, from_json(col("value").cast("string"), EVENT_DDL).alias("event"))
    ways: dict[str, DataFrame] = {
        "read": records,
        "read_to_python": records.mapInArrow(through, "offset long"),
        "from_json": parsed.select(*places, "event.*"),
        "map_in_arrow": records.mapInArrow(decode, from_arrow_schema(STREAM_SCHEMA)),
    }
    size = sum(wanted.values())
    rates = {f"{way}_per_s": round(size / median_seconds(_run(frame)), 0) for way, frame in ways.items()}
    raw = records.limit(20_000).toArrow()
    seconds = median_seconds(lambda: decode_rows(raw, topics, behaviors=settings.behaviors, settings=settings.events))
    rates["decode_alone_per_s"] = round(raw.num_rows / seconds, 0)
    spark.stop()
    return {**rates, "num_records": size}


def _run(frame: DataFrame) -> Callable[[], Any]:
    return lambda: frame.write.format("noop").mode("overwrite").save()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--num-events", type=int, default=400_000)
    parser.add_argument("--master", default="local[2]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmrec-decode-") as folder:
        figures = measure(
            settings_from(arguments.config),
            num_events=arguments.num_events,
            master=arguments.master,
            folder=Path(folder),
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
