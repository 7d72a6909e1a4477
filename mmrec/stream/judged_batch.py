"""Applies the records of a micro-batch to profiles: a verdict for each event, and what is to be written.

Writes nothing; the caller does.

Profiles come in groups (mmrec/stream/profile_groups.py), each packed before the next is read. So a batch of very many
users needs memory for their packed profiles and for one unpacked group.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.table_rows import in_place_order, rows_where
from mmrec.events.to_batch import event_batch, sources_of
from mmrec.features.ports import ProfileStore
from mmrec.features.values import PackedProfile
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.identity import history_of, targets_to_read
from mmrec.scoring.packing import pack, stub_of, unpack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.control_rows import BoolArray, FromLog, Logins, ReadProfiles, bring_logins, is_login
from mmrec.stream.offsets import Offsets
from mmrec.stream.profile_groups import MAX_PROFILES, ReadPacked, applied_groups
from mmrec.stream.rows import StreamBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """The events of a batch, judged; nothing is written yet."""

    events: pa.Table
    verdicts_N: npt.NDArray[np.uint8]
    recovered_N: BoolArray
    """Events that were logged before a crash, after the stored progress."""
    profiles: Mapping[str, UserProfile | PackedProfile]
    """Those that changed."""
    logins: pa.Table
    logins_known_N: BoolArray
    """Logins that are to be logged: all but those that are in the log already or were forgotten."""
    num_pruned: int
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of reading and of packing; packing counts as part of writing."""

    @property
    def accepted(self) -> pa.Table:
        """The rows to log, in the order of offsets."""
        events = rows_where(self.events, self.verdicts_N == Verdict.ACCEPTED)
        if not self.logins_known_N.any():
            return events
        return in_place_order(pa.concat_tables([events, rows_where(self.logins, self.logins_known_N)]))


def judge_batch(
    batch: StreamBatch,
    store: ProfileStore,
    read: ReadPacked,
    *,
    recovered: Offsets,
    from_log: FromLog,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    timer: Callable[[], float],
    max_profiles: int = MAX_PROFILES,
) -> Judged:
    """Read the profiles that the batch's records need, apply its logins, then its events.

    Args:
        store: Packs what is to be written to it.
        read: Gives packed profiles as of the beginning of the batch.
        recovered: Places of records that were logged before a crash, after the stored progress.
        from_log: See bring_logins().
        max_profiles: In memory at a time, unpacked.
    """
    reads, write_s = _Reads(read, timer), 0.0
    logins = batch.control.filter(pa.array(is_login(batch.control)))
    found = fresh_logins(
        logins,
        lambda keys: {key: unpack(data) for key, data in reads(keys).items()},
        recovered=recovered,
        from_log=from_log,
        forgotten=forgotten,
        config=config,
    )
    reads.brought |= {key: pack(profile) for key, profile in found.profiles.items()}
    columns = event_batch(batch.events, config.behaviors)
    recovered_N = recovered.hold(columns.sources, columns.source_index_N, columns.offsets_N)
    verdicts_N = np.zeros(len(columns), dtype=np.uint8)
    changed: dict[str, PackedProfile] = {}
    num_pruned = 0
    groups = applied_groups(columns, reads, forgotten=forgotten, config=config, max_profiles=max_profiles)
    for group, applied in groups:
        verdicts_N[group.rows_N] = left_by_a_crash(
            group.events, applied.verdicts_N, recovered_N[group.rows_N], group.packed, config
        )
        num_pruned += applied.num_pruned
        began_s = timer()
        changed |= store.packed(applied.profiles, columns=applied.columns)
        write_s += timer() - began_s
    return Judged(
        events=batch.events,
        verdicts_N=verdicts_N,
        recovered_N=recovered_N,
        profiles={**found.profiles, **changed},
        logins=logins,
        logins_known_N=found.known_N,
        num_pruned=num_pruned,
        phases_s={"read": reads.seconds, "write": write_s},
    )


class _Reads:
    """Packed profiles as of the beginning of a batch; once its logins are applied, with these. Timed."""

    def __init__(self, read: ReadPacked, timer: Callable[[], float]) -> None:
        self._read, self._timer = read, timer
        self.brought: dict[str, bytes] = {}
        """Profiles that logins have changed; they are read no more."""
        self.seconds = 0.0

    def __call__(self, keys: Iterable[str]) -> Mapping[str, bytes]:
        wanted = list(keys)
        began_s = self._timer()
        found = self._read([key for key in wanted if key not in self.brought])
        self.seconds += self._timer() - began_s
        brought = {key: self.brought[key] for key in wanted if key in self.brought}
        return {**found, **brought} if brought else found


@dataclass(frozen=True, kw_only=True, eq=False)
class Concerned:
    """The users whom the logins of a micro-batch concern, judged."""

    keys: frozenset[str]
    """Their profile keys."""
    judged: Judged
    others_N: BoolArray
    """Events of the batch that belong to none of them."""


def judge_concerned(
    batch: StreamBatch, owners: pa.ChunkedArray, read: ReadProfiles, *, judge: Callable[[StreamBatch], Judged]
) -> Concerned:
    """Judge the events of the users whom the batch's logins concern; those of others are left alone.

    Args:
        owners: Profile key of each event, by the logins before the batch.
        read: Gives profiles as of the beginning of the batch.
        judge: judge_batch(), called with a batch of all logins and some of the events.
    """
    logins = batch.control.filter(pa.array(is_login(batch.control)))
    named = {*logins["user_key"].to_pylist(), *logins["item_id"].to_pylist()}
    stubs = read([key for key in named if key.startswith(ANONYMOUS_PREFIX)]) if named else {}
    keys, size = named.union(targets_to_read(stubs)), -1
    while len(keys) > size:  # the log may name other users that a guest once logged in as
        size = len(keys)
        mine_N = np.zeros(batch.events.num_rows, dtype=np.bool_)
        if keys:
            known = pa.array(sorted(keys), pa.string())
            mine = pc.or_(pc.is_in(batch.events["user_key"], value_set=known), pc.is_in(owners, value_set=known))
            mine_N = mine.to_numpy()
        judged = judge(replace(batch, events=rows_where(batch.events, mine_N)))
        keys.update(judged.profiles)
    return Concerned(keys=frozenset(keys), judged=judged, others_N=~mine_N)


def fresh_logins(
    logins: pa.Table,
    read: ReadProfiles,
    *,
    recovered: Offsets,
    from_log: FromLog,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
) -> Logins:
    """What logins change. Those that were logged before a crash took effect in recover() and do not do so again."""
    sources, source_index_N = sources_of(logins)
    fresh_N = ~recovered.hold(sources, source_index_N, logins["offset"].to_numpy())
    known_N = np.zeros(logins.num_rows, dtype=np.bool_)
    if not fresh_N.any():
        return Logins(profiles={}, known_N=known_N)
    found = bring_logins(logins.filter(pa.array(fresh_N)), read, from_log=from_log, forgotten=forgotten, config=config)
    known_N[fresh_N] = found.known_N
    return Logins(profiles=found.profiles, known_N=known_N)


def left_by_a_crash(
    columns: EventBatch,
    verdicts_N: npt.NDArray[np.uint8],
    recovered_N: BoolArray,
    packed: Mapping[str, bytes],
    config: ScoringConfig,
) -> npt.NDArray[np.uint8]:
    """Verdicts, with the decision made before a crash in place of ALREADY_APPLIED.

    A record that its profile has seen, but that is beyond the stored progress, was in a batch that reached the log and
    not the whole store. If the record is in the log, it was accepted. Otherwise it was a duplicate where its id is in
    the profile's ring, and was refused where it is not.
    """
    again_N = verdicts_N == Verdict.ALREADY_APPLIED
    if not again_N.any():
        return verdicts_N
    found_N = verdicts_N.copy()
    found_N[again_N] = Verdict.DUPLICATE
    if config.cap_events:
        for row in np.flatnonzero(again_N & ~recovered_N).tolist():
            data = packed[columns.user_keys[row]]
            history = history_of(stub_of(data))
            if history is not None:
                data = packed[history.owner_at(float(columns.known_times_N[row]))]
            profile = unpack(data)
            if not np.any(profile.ring_ids_R == columns.event_hashes_N[row]):
                is_bot = 0 <= profile.bot_until_s - columns.ingest_times_N[row] <= config.bot_quiet_s
                found_N[row] = Verdict.BOT if is_bot else Verdict.CAPPED
    return found_N
