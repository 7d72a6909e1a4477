"""What Spark's workers do in jobs/partition_writers.py. They import this module, so it loads no engine but Redis."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.kept_profiles import ProfileKeeper, kept_profiles
from jobs.spark_worker import settle
from jobs.table_bytes import table_of, table_pieces
from mmrec.config import Settings, StoreSettings
from mmrec.events.forgotten import ForgottenUsers
from mmrec.features.profile_rows import ProfileRows, RowLayout
from mmrec.features.schema import GENERATIONS, LIVE_KEY
from mmrec.features.values import PackedProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.stream.partition_step import JUDGED_SCHEMA, OWNED_SCHEMA, OWNER, JudgedRows, judge_rows, with_owners
from mmrec.wiring import open_forgotten_users, open_profile_rows

EVENTS, KEPT = "events", "kept"
OWNED_PIECE_SCHEMA = pa.schema([pa.field("part", pa.int32()), pa.field("piece", pa.binary())])
JUDGED_PIECE_SCHEMA = pa.schema([pa.field("kind", pa.string()), pa.field("piece", pa.binary())])
"""Judged rows, and one row for each part that names it and says how many items were pruned."""
WRITTEN_SCHEMA = pa.schema([pa.field("num_profiles", pa.int64()), pa.field("num_pruned", pa.int64())])


def cut_by_owner(
    rows: pa.Table, *, layouts: Mapping[str, RowLayout], parts: Sequence[int]
) -> Iterator[tuple[int, pa.Table]]:
    """Decoded rows with their owners, by the part their profile belongs to; for decoded_stream()."""
    pointer = dict(_rows(layouts[GENERATIONS[0]], None).read([LIVE_KEY], "packed"))
    live = json.loads(pointer.get(LIVE_KEY, b"{}")).get("live", GENERATIONS[0])
    owned = with_owners(rows, read_packed=partial(_rows(layouts[live], None).read, name="packed"))
    keys = owned[OWNER].combine_chunks().dictionary_encode()
    part_of = np.array([crc32(key.encode()) % len(parts) for key in keys.dictionary.to_pylist()], dtype=np.int64)
    place_N = part_of[keys.indices.to_numpy()]
    for place, part in enumerate(parts):
        yield part, owned.filter(pa.array(place_N == place))


def judge(
    batches: Iterator[pa.RecordBatch], *, batch: str, layout: RowLayout, scoring: ScoringConfig, stores: StoreSettings
) -> Iterator[pa.RecordBatch]:
    """Pieces of owned rows of one part -> pieces of judged rows; changed profiles are kept on this machine."""
    settle()
    found = pa.Table.from_batches(batches, schema=OWNED_PIECE_SCHEMA)
    if not found.num_rows:
        return
    part, rows = str(found["part"][0]), table_of(found["piece"].to_pylist(), OWNED_SCHEMA)
    with ProfileKeeper(_kept_folder(), batch=batch, part=part) as keeper:
        judged = _judged(rows, layout, scoring, stores, put=keeper.put)
    for _, data in table_pieces(judged.rows):
        yield _judged_piece(EVENTS, data)
    yield _judged_piece(KEPT, json.dumps({"part": part, "num_pruned": judged.num_pruned}).encode())


def write(
    batches: Iterator[pa.RecordBatch],
    *,
    batch: str,
    layout: RowLayout,
    lease: bytes,
    left_out: frozenset[str],
    write_time_s: float,
    scoring: ScoringConfig,
    stores: StoreSettings,
) -> Iterator[pa.RecordBatch]:
    """Write the profiles of one part that judge() returned, except those left out. Where another machine keeps them,
    the part is judged again.

    Judging again is exact: a profile that was written meanwhile has these events below its mark and stays as it is.
    """
    settle()
    rows, num_profiles = _rows(layout, lease), 0

    def put(profiles: Mapping[str, PackedProfile]) -> None:
        nonlocal num_profiles
        values = {key: profile._asdict() for key, profile in profiles.items() if key not in left_out}
        rows.write(values, write_time_s=write_time_s, batch=batch.encode())
        num_profiles += len(values)

    found = pa.Table.from_batches(batches, schema=JUDGED_PIECE_SCHEMA)
    if not found.num_rows:
        return
    is_said = pc.equal(found["kind"], KEPT)
    said = json.loads(found.filter(is_said)["piece"][0].as_py())
    kept = kept_profiles(_kept_folder(), batch=batch, part=said["part"])
    if kept is None:
        judged = table_of(found.filter(pc.invert(is_said))["piece"].to_pylist(), JUDGED_SCHEMA)
        _judged(judged, layout, scoring, stores, put=put)
    else:
        for profiles in kept:
            put(profiles)
    counts = {"num_profiles": [num_profiles], "num_pruned": [said["num_pruned"]]}
    yield pa.RecordBatch.from_pydict(counts, schema=WRITTEN_SCHEMA)


def _judged(
    rows: pa.Table,
    layout: RowLayout,
    scoring: ScoringConfig,
    stores: StoreSettings,
    *,
    put: Callable[[Mapping[str, PackedProfile]], None],
) -> JudgedRows:
    read = partial(_rows(layout, None).read, name="packed")
    return judge_rows(rows, read_packed=read, scoring=scoring, forgotten=_forgotten(stores), put=put)


def _judged_piece(kind: str, data: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"kind": [kind], "piece": [data]}, schema=JUDGED_PIECE_SCHEMA)


def _kept_folder() -> Path:
    """Spark's folder for temporary files of this worker; it is removed with the executor."""
    return Path(os.environ["SPARK_LOCAL_DIRS"].partition(",")[0]) / "kept-profiles"


@lru_cache(maxsize=4)
def _rows(layout: RowLayout, lease: bytes | None) -> ProfileRows:
    """One connection per worker process."""
    return open_profile_rows(layout, lease=lease)


@lru_cache(maxsize=4)
def _forgotten(stores: StoreSettings) -> ForgottenUsers:
    return open_forgotten_users(Settings(stores=stores))
