"""How a micro-batch of decoded rows is taken: by the driver on SQLite, in partitions on Redis."""

import time
from collections.abc import Callable, Mapping

from pyspark.sql import DataFrame

from jobs.partition_writers import PartitionWriters
from mmrec.config import Settings
from mmrec.events.stream_rows import StreamBatch, StreamTopic, split_rows
from mmrec.stores.parquet_log import local_folder
from mmrec.stores.writer_right import WriterRight
from mmrec.stream import ScoringStream, StepReport

Take = Callable[[DataFrame], tuple[StreamBatch, StepReport]]


def micro_batches(
    settings: Settings, stream: ScoringStream, topics: Mapping[str, StreamTopic], right: WriterRight
) -> Take:
    """What is done with each micro-batch of STREAM_SCHEMA rows.

    SQLite has one writer at a time, so the driver applies and writes; Redis takes writes from every partition.
    """
    if right.holder is None:

        def driver(rows: DataFrame) -> tuple[StreamBatch, StepReport]:
            batch = split_rows(rows.toArrow(), topics)
            return batch, stream.process(batch, write_time_s=time.time())

        return driver
    writers = PartitionWriters(
        right.layouts,
        lease=right.holder,
        scoring=settings.scoring,
        forgotten_folder=str(local_folder(settings.stores.event_log) / "forgotten"),
    )
    return lambda rows: writers.take(rows, stream, topics, write_time_s=time.time())
