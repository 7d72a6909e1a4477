"""Called by Spark with each decoded micro-batch: one batch is applied while Spark fetches and decodes the next.

This is for SQLite, which has one writer at a time; on Redis the workers judge and write (jobs/partition_writers.py).

Spark may record a batch as done before it is in the store. That does no harm: nobody reads that checkpoint, and every
start continues after the progress that the store keeps with the profiles. A failure is raised at the next batch, or by
check().
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pyspark.sql import DataFrame

from jobs.decoded_stream import SPARK_ERRORS, cut_batch, decoded_tables
from jobs.partition_writers import PartitionWriters
from jobs.planned_ends import planned_ends
from mmrec.errors import StoreError
from mmrec.scoring.source import Source
from mmrec.stream.metrics import WHOLE, StreamMetrics
from mmrec.stream.rows import StreamBatch, StreamTopic, split_rows
from mmrec.stream.status import RecentSteps
from mmrec.stream.step import ScoringStream, StepReport
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
DECODE = "decode"
"""Phase in which the driver waits for Spark's workers."""


class StreamStep:
    """A function for foreachBatch, with one batch being applied in the background."""

    def __init__(
        self,
        stream: ScoringStream,
        topics: Mapping[str, StreamTopic],
        watch: StreamMetrics,
        *,
        checkpoint: Path,
        writers: PartitionWriters | None,
    ) -> None:
        """Prepare; no batch is being applied yet.

        Args:
            checkpoint: The query's checkpointLocation.
            writers: Given where profiles are judged and written in partitions.
        """
        self._stream = stream
        self._topics = topics
        self._watch = watch
        self._checkpoint = checkpoint
        self._writers = writers
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="apply")
        self._under_way: Future[None] | None = None
        self.recent = RecentSteps()

    def __call__(self, rows: DataFrame, batch_id: int) -> None:
        """Take a micro-batch; returns once the previous one is in the store (with writers: this one)."""
        ends = planned_ends(self._checkpoint, batch_id, self._topics)
        if self._writers is not None:
            self._take(self._writers, rows)
            self._pass(ends)
            return
        for table, decode_s in decoded_tables(rows):
            batch = split_rows(table, self._topics)
            if self._under_way is not None:
                self._under_way.result()
            self._under_way = self._worker.submit(self._process, batch, decode_s)
        self._under_way = self._worker.submit(self._pass, ends, after=self._under_way)

    def check(self) -> None:
        """Raise the error of the current batch if it has failed."""
        if self._under_way is not None and self._under_way.done():
            self._under_way.result()

    def wait(self) -> None:
        """Wait until the current batch is stored; raises its error if it has failed."""
        if self._under_way is not None:
            self._under_way.result()

    def close(self) -> None:
        """Wait for the current batch. If it has failed, the error is logged, and the next start does it again."""
        self._worker.shutdown()
        failure = self._under_way.exception() if self._under_way is not None else None
        if failure is not None:
            log.error("last_batch_failed", reason=str(failure))

    def _take(self, writers: PartitionWriters, rows: DataFrame) -> None:
        began_s = time.monotonic()
        try:
            batch, done = writers.take(rows, self._stream, self._topics, write_time_s=time.time())
        except SPARK_ERRORS as error:  # where it was too much, nothing was written yet
            for portion in cut_batch(rows, error):
                self._take(writers, portion)
            return
        self._observe(batch, done, whole_s=time.monotonic() - began_s, phases_s=done.phases_s)

    def _process(self, batch: StreamBatch, decode_s: float) -> None:
        began_s = time.monotonic()
        done = self._stream.process(batch, write_time_s=time.time())
        whole_s = time.monotonic() - began_s + decode_s
        self._observe(batch, done, whole_s=whole_s, phases_s={DECODE: decode_s, **done.phases_s})

    def _pass(self, ends: Mapping[Source, int], *, after: "Future[None] | None" = None) -> None:
        """Move progress over offsets after the micro-batch's last record, once all of it is in the store."""
        if after is not None:
            after.result()
        self._stream.pass_over(ends, write_time_s=time.time())

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


def answer_flip(stream: ScoringStream) -> None:
    """Between two batches: make another generation of profiles live if that was requested."""
    try:
        if done := stream.answer_flip(write_time_s=time.time()):
            log.info("generation_flipped", generation=done.generation, num_rows=done.num_rows)
    except StoreError as error:
        log.error("flip_refused", reason=str(error))
