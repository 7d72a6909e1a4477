"""What Spark's workers do in jobs/partition_writers.py. They import this module, so it loads no engine but Redis."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.stream_rows import STREAM_SCHEMA
from mmrec.events.table_bytes import table_of, table_pieces
from mmrec.features.schema import GENERATIONS, LIVE_KEY
from mmrec.partition_step import (
    JUDGED_SCHEMA,
    OWNED_SCHEMA,
    OWNER,
    PROFILE_COLUMNS,
    judge_rows,
    profile_rows,
    with_owners,
)
from mmrec.scoring.settings import ScoringConfig
from mmrec.stores.forgotten_file import FileForgottenUsers
from mmrec.stores.redis_profile_rows import RedisLayout, RedisProfileRows

EVENTS, PROFILES = "events", "profiles"
JUDGED_PIECE_SCHEMA = pa.schema([pa.field("kind", pa.string()), pa.field("piece", pa.binary())])
EVENTS_SCHEMA = pa.schema([*STREAM_SCHEMA, JUDGED_SCHEMA.field("verdict")])
PROFILE_SCHEMA = pa.schema([JUDGED_SCHEMA.field(name) for name in (*PROFILE_COLUMNS, "num_pruned")])
WRITTEN_SCHEMA = pa.schema([pa.field("num_profiles", pa.int64()), pa.field("num_pruned", pa.int64())])


def cut_by_owner(
    rows: pa.Table, *, layouts: Mapping[str, RedisLayout], parts: Sequence[int]
) -> Iterator[tuple[int, pa.Table]]:
    """Decoded rows with their owners, by the part their profile belongs to; for decoded_stream()."""
    pointer = dict(_rows(layouts[GENERATIONS[0]], None).read([LIVE_KEY], "packed"))
    live = json.loads(pointer.get(LIVE_KEY, b"{}")).get("live", GENERATIONS[0])
    owned = with_owners(rows, read_packed=partial(_rows(layouts[live], None).read, name="packed"))
    place_N = np.array([crc32(key.encode()) % len(parts) for key in owned[OWNER].to_pylist()], dtype=np.int64)
    for place, part in enumerate(parts):
        yield part, owned.filter(pa.array(place_N == place))


def judge(
    batches: Iterator[pa.RecordBatch], *, layout: RedisLayout, scoring: ScoringConfig, forgotten_folder: str
) -> Iterator[pa.RecordBatch]:
    """Pieces of owned rows of one part -> pieces of judged rows and of changed profiles."""
    rows = table_of([piece for batch in batches for piece in batch["piece"].to_pylist()], OWNED_SCHEMA)
    read = partial(_rows(layout, None).read, name="packed")
    judged = judge_rows(rows, read_packed=read, scoring=scoring, forgotten=_forgotten(forgotten_folder))
    is_profile = pc.is_valid(judged["profile_key"])
    profiles = judged.filter(is_profile).select(PROFILE_SCHEMA.names)
    for kind, table in (
        (EVENTS, judged.filter(pc.invert(is_profile)).select(EVENTS_SCHEMA.names)),
        (PROFILES, profiles),
    ):
        for _, data in table_pieces(table):
            yield pa.RecordBatch.from_pydict({"kind": [kind], "piece": [data]}, schema=JUDGED_PIECE_SCHEMA)


def write(
    batches: Iterator[pa.RecordBatch], *, layout: RedisLayout, lease: bytes, write_time_s: float
) -> Iterator[pa.RecordBatch]:
    """Write pieces of profiles."""
    for batch in batches:
        for piece in batch["piece"].to_pylist():
            profiles = table_of([piece], PROFILE_SCHEMA)
            _rows(layout, lease).write(profile_rows(profiles), write_time_s=write_time_s)
            counts = {"num_profiles": [profiles.num_rows], "num_pruned": [pc.sum(profiles["num_pruned"]).as_py() or 0]}
            yield pa.RecordBatch.from_pydict(counts, schema=WRITTEN_SCHEMA)


@lru_cache(maxsize=4)
def _rows(layout: RedisLayout, lease: bytes | None) -> RedisProfileRows:
    """One connection per worker process."""
    return RedisProfileRows(layout, lease=lease)


@lru_cache(maxsize=4)
def _forgotten(folder: str) -> ForgottenUsers:
    return FileForgottenUsers(folder)
