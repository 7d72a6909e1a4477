"""What Spark's workers do in jobs/partition_writers.py. They import this module, so it loads no engine but Redis."""

from collections.abc import Iterator
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.forgotten import ForgottenUsers
from mmrec.partition_step import OWNED_SCHEMA, judge_rows, profile_rows, with_owners
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.forgotten_file import FileForgottenUsers
from mmrec.stores.redis_profile_rows import RedisLayout, RedisProfileRows

WRITTEN_SCHEMA = pa.schema([pa.field("num_profiles", pa.int64()), pa.field("num_pruned", pa.int64())])


@lru_cache(maxsize=4)
def _rows(layout: RedisLayout, lease: bytes | None) -> RedisProfileRows:
    """One connection per worker process."""
    return RedisProfileRows(layout, lease=lease)


@lru_cache(maxsize=4)
def _forgotten(folder: str) -> ForgottenUsers:
    return FileForgottenUsers(folder)


def owners(batches: Iterator[pa.RecordBatch], *, layout: RedisLayout) -> Iterator[pa.RecordBatch]:
    read = partial(_rows(layout, None).read, name="packed")
    for batch in batches:
        yield from with_owners(pa.Table.from_batches([batch]), read_packed=read).combine_chunks().to_batches()


def judge(
    batches: Iterator[pa.RecordBatch], *, layout: RedisLayout, scoring: ScoringConfig, forgotten_folder: str
) -> Iterator[pa.RecordBatch]:
    rows = pa.Table.from_batches(list(batches), schema=OWNED_SCHEMA)
    read = partial(_rows(layout, None).read, name="packed")
    judged = judge_rows(rows, read_packed=read, scoring=scoring, forgotten=_forgotten(forgotten_folder))
    yield from judged.combine_chunks().to_batches()


def write(
    batches: Iterator[pa.RecordBatch], *, layout: RedisLayout, lease: bytes, write_time_s: float
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        _rows(layout, lease).write(profile_rows(pa.Table.from_batches([batch])), write_time_s=write_time_s)
        counts = {"num_profiles": [batch.num_rows], "num_pruned": [pc.sum(batch["num_pruned"]).as_py() or 0]}
        yield pa.RecordBatch.from_pydict(counts, schema=WRITTEN_SCHEMA)
