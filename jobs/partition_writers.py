"""A micro-batch whose profiles Spark's workers judge and write: for Redis, where every partition can write at once.

    decode -> owner -> shuffle by profile -> judge (workers) -> log (driver) -> profiles (workers) -> progress (driver)

What was judged is kept until it is written, so a lost worker's task is done again on the same rows; its writes replace
whole profiles, so doing them twice is harmless. Every write is made under the writer's lease.
"""

from collections.abc import Mapping
from functools import partial

import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.partition_workers import WRITTEN_SCHEMA, judge, owners, write
from mmrec.config import Settings
from mmrec.events.stream_rows import STREAM_SCHEMA, StreamBatch, StreamTopic, split_rows
from mmrec.partition_step import (
    JUDGED_SCHEMA,
    OWNED_SCHEMA,
    OWNER,
    PROFILE_COLUMNS,
    Written,
    asks_to_forget,
    judged_events,
)
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.parquet_log import local_folder
from mmrec.stores.redis_profile_rows import RedisLayout
from mmrec.stores.writer_right import WriterRight
from mmrec.stream import ScoringStream, StepReport


class PartitionWriters:
    """Takes micro-batches; profiles are judged and written in partitions."""

    def __init__(
        self,
        layouts: Mapping[str, RedisLayout],
        *,
        lease: bytes,
        scoring: ScoringConfig,
        forgotten_folder: str,
    ) -> None:
        """Say where profiles are.

        Args:
            layouts: By generation.
            lease: What the writer's lease must hold for a write to be made.
            forgotten_folder: Of the registry of forgotten users, which every worker reads.
        """
        self._layouts, self._lease, self._scoring = layouts, lease, scoring
        self._forgotten_folder = forgotten_folder

    def take(
        self, rows: DataFrame, stream: ScoringStream, topics: Mapping[str, StreamTopic], *, write_time_s: float
    ) -> tuple[StreamBatch, StepReport]:
        """One micro-batch of STREAM_SCHEMA rows."""
        with stream.turn() as generation:
            layout = self._layouts[generation]
            judged = self._judged(rows, layout)
            try:
                table, verdicts_N = judged_events(
                    judged.where("profile_key IS NULL").select(*STREAM_SCHEMA.names, "verdict").toArrow()
                )
                batch = split_rows(table, topics)
                if asks_to_forget(batch):
                    return batch, stream.process(batch, write_time_s=write_time_s)
                put = partial(self._write, judged, layout, write_time_s=write_time_s)
                return batch, stream.process_judged(batch, verdicts_N, write=put, write_time_s=write_time_s)
            finally:
                judged.unpersist()

    def _judged(self, rows: DataFrame, layout: RedisLayout) -> DataFrame:
        """Rows of JUDGED_SCHEMA, kept until unpersist()."""
        judging = partial(judge, layout=layout, scoring=self._scoring, forgotten_folder=self._forgotten_folder)
        owned = rows.mapInArrow(partial(owners, layout=layout), from_arrow_schema(OWNED_SCHEMA))
        parts = owned.repartition(OWNER)  # into spark.sql.shuffle.partitions
        return parts.mapInArrow(judging, from_arrow_schema(JUDGED_SCHEMA)).persist(StorageLevel.MEMORY_AND_DISK)

    def _write(self, judged: DataFrame, layout: RedisLayout, *, write_time_s: float) -> Written:
        profiles = judged.where("profile_key IS NOT NULL").select(*PROFILE_COLUMNS, "num_pruned")
        writing = partial(write, layout=layout, lease=self._lease, write_time_s=write_time_s)
        counts = profiles.mapInArrow(writing, from_arrow_schema(WRITTEN_SCHEMA)).toArrow()
        num_profiles, num_pruned = (pc.sum(counts[name]).as_py() or 0 for name in WRITTEN_SCHEMA.names)
        return Written(num_profiles=num_profiles, num_pruned=num_pruned)


def partition_writers(settings: Settings, right: WriterRight) -> PartitionWriters | None:
    """Writers in partitions where profiles are in Redis; None where one process writes them."""
    if right.holder is None:
        return None
    folder = str(local_folder(settings.stores.event_log) / "forgotten")
    return PartitionWriters(right.layouts, lease=right.holder, scoring=settings.scoring, forgotten_folder=folder)
