"""A micro-batch that Spark's workers judge and write profiles of: for Redis, where every partition can write at once.

    decode -> owner -> shuffle by profile -> judge (workers) -> log (driver) -> profiles (workers) -> progress (driver)

Spark keeps judged rows until the end; changed profiles stay on the disk of the worker that made them. If a machine is
lost in between, another one judges its part again. Writes replace whole profiles, so doing them twice is harmless.
Every write happens under the writer's lease.
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.decoded_stream import Cut
from jobs.partition_workers import (
    EVENTS,
    JUDGED_PIECE_SCHEMA,
    WRITTEN_SCHEMA,
    cut_by_owner,
    judge,
    write,
)
from jobs.spark_insides import shuffle_parts
from jobs.table_bytes import table_of
from mmrec.config import Settings, StoreSettings
from mmrec.features.profile_rows import ProfileRows, RowLayout
from mmrec.scoring.settings import ScoringConfig
from mmrec.stream.partition_step import JUDGED_SCHEMA, Written, asks_to_forget, judged_events
from mmrec.stream.rows import StreamBatch, StreamTopic, split_rows
from mmrec.stream.step import ScoringStream, StepReport
from mmrec.stream.writer_right import WriterRight
from mmrec.wiring import open_profile_rows


class PartitionWriters:
    """Takes micro-batches; profiles are judged and written in partitions."""

    def __init__(
        self,
        layouts: Mapping[str, RowLayout],
        *,
        lease: bytes,
        scoring: ScoringConfig,
        stores: StoreSettings,
        parts: Sequence[int],
    ) -> None:
        """Prepare writers.

        Args:
            layouts: Where profiles are, by generation.
            lease: The value that the writer's lease must have for a write to happen.
            stores: Where the registry of forgotten users is, which every worker reads.
            parts: Numbers that Spark's shuffle sends to different partitions, one for each.
        """
        self._layouts, self._lease, self._scoring = layouts, lease, scoring
        self._stores, self._parts = stores, tuple(parts)
        self._rows: dict[RowLayout, ProfileRows] = {}

    @property
    def cut(self) -> Cut:
        """For decoded_stream(): rows by the part their profile belongs to."""
        return partial(cut_by_owner, layouts=self._layouts, parts=self._parts)

    def take(
        self, pieces: DataFrame, stream: ScoringStream, topics: Mapping[str, StreamTopic], *, write_time_s: float
    ) -> tuple[StreamBatch, StepReport]:
        """One micro-batch of PIECE_SCHEMA, cut by cut(); one of SPARK_ERRORS where it is too much for the driver."""
        with stream.turn() as generation:
            layout, batch_name = self._layouts[generation], uuid.uuid4().hex
            judged = self._judged(pieces, layout, batch_name)
            try:
                found = judged.where(col("kind") == EVENTS).select("piece").toArrow()["piece"].to_pylist()
                rows, said = judged_events(table_of(found, JUDGED_SCHEMA))
                batch = split_rows(rows, topics)
                if asks_to_forget(batch):
                    return batch, stream.process(batch, write_time_s=write_time_s)
                put = partial(self._write, judged, layout, batch_name, write_time_s=write_time_s)
                return batch, stream.process_judged(batch, said, write=put, write_time_s=write_time_s)
            finally:
                judged.unpersist()

    def _judged(self, pieces: DataFrame, layout: RowLayout, batch_name: str) -> DataFrame:
        """Pieces of JUDGED_PIECE_SCHEMA, kept until unpersist()."""
        judging = partial(judge, batch=batch_name, layout=layout, scoring=self._scoring, stores=self._stores)
        parts = pieces.select("part", "piece").repartition(len(self._parts), "part")
        return parts.mapInArrow(judging, from_arrow_schema(JUDGED_PIECE_SCHEMA)).persist(StorageLevel.MEMORY_AND_DISK)

    def _write(
        self, judged: DataFrame, layout: RowLayout, name: str, left_out: frozenset[str], *, write_time_s: float
    ) -> Written:
        if layout not in self._rows:
            self._rows[layout] = open_profile_rows(layout, lease=self._lease)
        self._rows[layout].begin_batch(name.encode())
        writing = partial(
            write,
            batch=name,
            layout=layout,
            lease=self._lease,
            left_out=left_out,
            write_time_s=write_time_s,
            scoring=self._scoring,
            stores=self._stores,
        )
        counts = judged.mapInArrow(writing, from_arrow_schema(WRITTEN_SCHEMA)).toArrow()
        num_profiles, num_pruned = (pc.sum(counts[name]).as_py() or 0 for name in WRITTEN_SCHEMA.names)
        return Written(num_profiles=num_profiles, num_pruned=num_pruned)


def partition_writers(settings: Settings, right: WriterRight, spark: SparkSession) -> PartitionWriters | None:
    """Writers in partitions where profiles are in Redis; None where one process writes them."""
    if right.holder is None:
        return None
    return PartitionWriters(
        right.layouts,
        lease=right.holder,
        scoring=settings.scoring,
        stores=settings.stores,
        parts=shuffle_parts(int(spark.conf.get("spark.sql.shuffle.partitions") or 1)),
    )
