"""One partition of a micro-batch, judged by the worker that has it: its users' rows in, verdicts and profiles out.

    owned = with_owners(rows, read_packed=...)       before the shuffle: which profile each event belongs to
    judged = judge_rows(owned, put=...)              after it: every event of a profile is in one partition; `put` gets
                                                     the profiles to write, once the log has the events
    rows, verdicts = judged_events(judged.rows)      on the driver: rows as decoded, and a verdict per event

Writes nothing. The driver logs what was accepted before the partitions write their profiles (mmrec/stream/step.py).
Judging the same partition again, after a worker was lost, gives the same rows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import ANONYMOUS_PREFIX, EVENT_SCHEMA
from mmrec.events.control import FORGET
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.table_rows import in_place_order, rows_where
from mmrec.events.to_batch import event_batch
from mmrec.features.packed_profiles import packed_profiles
from mmrec.features.values import PackedProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.stream.profile_groups import MAX_PROFILES, applied_groups, histories_in
from mmrec.stream.rows import STREAM_SCHEMA, RecordKind, StreamBatch

ReadPackedPairs = Callable[[Iterable[str]], Iterable[tuple[str, bytes]]]
"""(key, packed profile) of the keys that have one."""

OWNER: Final = "owner_key"
OWNED_SCHEMA: Final = pa.schema([*STREAM_SCHEMA, pa.field(OWNER, pa.string())])
"""Decoded rows and the profile they belong to; "" for rows that belong to none."""
JUDGED_SCHEMA: Final = pa.schema([*STREAM_SCHEMA, pa.field("verdict", pa.int32()), pa.field(OWNER, pa.string())])
"""Decoded rows; events have a verdict, and an owner where that is not their user key."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedRows:
    """One partition, judged."""

    rows: pa.Table
    """JUDGED_SCHEMA."""
    num_pruned: int
    """Items dropped to stay within the bound."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the partitions of a micro-batch wrote."""

    num_profiles: int
    num_pruned: int
    """Items dropped to stay within the bound."""


def with_owners(rows: pa.Table, *, read_packed: ReadPackedPairs) -> pa.Table:
    """Decoded rows with the key of the profile they belong to; a merged anonymous profile's events belong to its users.

    Logins of the same micro-batch are not considered: the driver judges the users they concern again.

    Args:
        rows: STREAM_SCHEMA.
        read_packed: Called with anonymous keys only, since only those are ever merged.
    """
    is_event = pc.equal(rows["kind"], RecordKind.BEHAVIOR_EVENT.value)
    keys = pc.if_else(is_event, rows["user_key"], "")
    anonymous = pc.unique(keys.filter(pc.starts_with(keys, ANONYMOUS_PREFIX))).to_pylist()
    histories = histories_in(dict(read_packed(anonymous)))
    if histories:
        known = rows["known_time_s"].to_pylist()
        owners = [
            histories[key].owner_at(known_s) if key in histories else key
            for key, known_s in zip(keys.to_pylist(), known, strict=True)
        ]
        keys = pa.chunked_array([pa.array(owners, pa.string())])
    return rows.append_column(OWNED_SCHEMA.field(OWNER), keys).cast(OWNED_SCHEMA)


def judge_rows(
    rows: pa.Table,
    *,
    read_packed: ReadPackedPairs,
    scoring: ScoringConfig,
    forgotten: ForgottenUsers | None,
    put: Callable[[Mapping[str, PackedProfile]], None],
    max_profiles: int = MAX_PROFILES,
) -> JudgedRows:
    """Verdicts of a partition's events and the profiles they change.

    Args:
        rows: OWNED_SCHEMA, or JUDGED_SCHEMA to judge again; all events of a profile in this micro-batch, in any order;
            other kinds pass through.
        put: Called with the changed profiles, one group at a time.
        max_profiles: In memory at a time.
    """
    is_event = pc.equal(rows["kind"], RecordKind.BEHAVIOR_EVENT.value)
    events, others = rows_where(rows, is_event), rows_where(rows, pc.invert(is_event))
    columns = event_batch(events.select(EVENT_SCHEMA.names), scoring.behaviors)
    verdicts_N = np.zeros(len(columns), dtype=np.int32)
    num_pruned = 0

    def read(keys: Iterable[str]) -> dict[str, bytes]:
        return dict(read_packed(keys))

    groups = applied_groups(columns, read, forgotten=forgotten, config=scoring, max_profiles=max_profiles)
    for group, applied in groups:
        verdicts_N[group.rows_N] = applied.verdicts_N
        put(packed_profiles(applied.profiles, applied.columns, config=scoring))
        num_pruned += applied.num_pruned
    said = _widened(events, verdict=pa.array(verdicts_N), owner=_other_owner(events))
    judged = pa.concat_tables([said, _widened(others)])
    return JudgedRows(rows=judged, num_pruned=num_pruned)


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedEvents:
    """What the driver needs of the events of judged rows, N of them, in the order of (source, offset)."""

    verdicts_N: npt.NDArray[np.uint8]
    owners: pa.ChunkedArray
    """Key of the profile that each event was judged with."""


def judged_events(judged: pa.Table) -> tuple[pa.Table, JudgedEvents]:
    """What the driver needs of judged rows.

    Returns:
        The rows as they were decoded, STREAM_SCHEMA, in the order of (source, offset) as in split_rows(), and what was
        decided about their events.
    """
    judged = in_place_order(judged)
    events = rows_where(judged.select(["verdict", OWNER, "user_key"]), pc.is_valid(judged["verdict"]))
    found = JudgedEvents(
        verdicts_N=events["verdict"].to_numpy().astype(np.uint8),
        owners=pc.coalesce(events[OWNER], events["user_key"]),
    )
    return judged.select(STREAM_SCHEMA.names), found


def asks_to_forget(batch: StreamBatch) -> bool:
    """Whether a micro-batch holds a request to forget, which must be known before events are judged."""
    return bool(pc.any(pc.equal(batch.control["behavior"], FORGET)).as_py())


def _other_owner(events: pa.Table) -> pa.ChunkedArray:
    """Owners; null where the owner is the user key, which is nearly everywhere."""
    owners = events[OWNER]
    return pc.if_else(pc.equal(owners, events["user_key"]), pa.scalar(None, pa.string()), owners)


def _widened(rows: pa.Table, *, verdict: pa.Array | None = None, owner: pa.ChunkedArray | None = None) -> pa.Table:
    columns = {name: rows[name] for name in STREAM_SCHEMA.names}
    if verdict is not None and owner is not None:
        columns |= {"verdict": verdict, OWNER: owner}
    arrays = [columns.get(field.name, pa.nulls(rows.num_rows, field.type)) for field in JUDGED_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=JUDGED_SCHEMA)
