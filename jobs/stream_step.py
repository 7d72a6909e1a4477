"""What Spark calls with each decoded micro-batch: one batch is applied while Spark fetches and decodes the next.

So it is on SQLite, which has one writer at a time; on Redis the workers judge and write (jobs/partition_writers.py).

Spark may write down a batch as done before it is in the store. That does no harm: nobody reads that checkpoint, every
start goes on behind the progress that the store keeps with the profiles. A failure is raised at the next batch, or by
check().
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import reduce

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql.functions import col
from pyspark.sql.functions import max as greatest
from pyspark.sql.functions import min as least

from jobs.partition_writers import PartitionWriters
from mmrec.events.stream_rows import STREAM_SCHEMA, StreamBatch, StreamTopic, split_rows
from mmrec.events.table_bytes import table_of
from mmrec.stream import ScoringStream, StepReport
from mmrec.stream_metrics import WHOLE, StreamMetrics
from mmrec.stream_status import RecentSteps
from mmrec.telemetry import get_logger

log = get_logger(__name__)
DECODE = "decode"
"""Phase in which the driver waits for Spark's workers."""
NUM_PORTIONS = 16
"""Into how many a micro-batch of long records is cut, whose rows together are more than the driver takes."""
PLACE = ("topic", "partition")


class StreamStep:
    """A function for foreachBatch, with one batch under way behind it."""

    def __init__(
        self,
        stream: ScoringStream,
        topics: Mapping[str, StreamTopic],
        watch: StreamMetrics,
        *,
        writers: PartitionWriters | None,
    ) -> None:
        """Nothing is under way.

        Args:
            writers: Where profiles are judged and written in partitions.
        """
        self._stream = stream
        self._topics = topics
        self._watch = watch
        self._writers = writers
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="apply")
        self._under_way: Future[None] | None = None
        self.recent = RecentSteps()

    def __call__(self, rows: DataFrame, _batch_id: int) -> None:
        """Take a micro-batch; returns once the one before it is in the store (in partitions: this one)."""
        if self._writers is not None:
            began_s = time.monotonic()
            batch, done = self._writers.take(rows, self._stream, self._topics, write_time_s=time.time())
            self._observe(batch, done, whole_s=time.monotonic() - began_s, phases_s=done.phases_s)
            return
        for table, decode_s in decoded_tables(rows):
            batch = split_rows(table, self._topics)
            if self._under_way is not None:
                self._under_way.result()
            self._under_way = self._worker.submit(self._process, batch, decode_s)

    def check(self) -> None:
        """Raise what the batch under way has failed with."""
        if self._under_way is not None and self._under_way.done():
            self._under_way.result()

    def close(self) -> None:
        """Wait for the batch under way; what it failed with is said, and done again by the next start."""
        self._worker.shutdown()
        failure = self._under_way.exception() if self._under_way is not None else None
        if failure is not None:
            log.error("last_batch_failed", reason=str(failure))

    def _process(self, batch: StreamBatch, decode_s: float) -> None:
        began_s = time.monotonic()
        done = self._stream.process(batch, write_time_s=time.time())
        whole_s = time.monotonic() - began_s + decode_s
        self._observe(batch, done, whole_s=whole_s, phases_s={DECODE: decode_s, **done.phases_s})

    def _observe(self, batch: StreamBatch, done: StepReport, *, whole_s: float, phases_s: Mapping[str, float]) -> None:
        now_s, phases_s = time.time(), {**phases_s, WHOLE: whole_s}
        self._watch.observe(
            batch,
            num_records=done.num_records,
            num_profiles=done.num_profiles,
            phases_s=phases_s,
            progress=self._stream.progress,
            now_s=now_s,
        )
        self.recent.add(batch, phases_s=phases_s, num_records=done.num_records, stored_time_s=now_s)


def decoded_tables(rows: DataFrame) -> Iterator[tuple[pa.Table, float]]:
    """The rows of a micro-batch and the seconds it took to get them.

    As one table; where it is more than spark.driver.maxResultSize, in portions by offset, each decoded anew. So the
    bound in records may be high, and memory stays bounded in bytes.

    Args:
        rows: Of PIECE_SCHEMA.
    """
    began_s = time.monotonic()
    try:
        whole = _decoded(rows)
    except PySparkException as error:
        if "maxResultSize" not in str(error):
            raise
    else:
        yield whole, time.monotonic() - began_s
        return
    ends = rows.groupBy(*PLACE).agg(least("low").alias("low"), greatest("low").alias("high")).collect()
    for portion in range(NUM_PORTIONS):
        began_s = time.monotonic()
        wanted: list[Column] = []
        for end in ends:
            cuts = [end.low + (end.high + 1 - end.low) * at // NUM_PORTIONS for at in (portion, portion + 1)]
            place = reduce(Column.__and__, (col(name) == end[name] for name in PLACE))
            wanted.append(place & (col("low") >= cuts[0]) & (col("low") < cuts[1]))
        table = _decoded(rows.where(reduce(Column.__or__, wanted)))
        yield table, time.monotonic() - began_s


def _decoded(rows: DataFrame) -> pa.Table:
    return table_of(rows.select("piece").toArrow()["piece"].to_pylist(), STREAM_SCHEMA)
