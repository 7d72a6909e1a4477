"""The log applied again: what recovery, rebuild and a flip of generations do with it.

    stretch = LogStretch(log=log, read=..., ...)
    for profiles in stretch.bring(): write(profiles)           logins first
    for table in stretch.tables(): write(stretch.apply(table).applied)

Events were accepted once, so caps do not judge them a second time. Events of forgotten users, and of behaviors that are
no longer configured, are left out. The known times of logins decide which user an event belongs to; boundaries of
appends make no difference.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import NUMBERED_SCHEMA, PLACE_COLUMNS, EventLog
from mmrec.events.to_batch import configured, event_batch, sources_of
from mmrec.scoring.apply_packed import AppliedPacked, apply_packed
from mmrec.scoring.identity import NO_STARTS, Reading, identify
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.verdicts import Verdict
from mmrec.stream.control_rows import (
    LOGIN_COLUMNS,
    LOGINS_AT_ONCE,
    BoolArray,
    bring_logins,
    gathered,
    is_login,
    login_counts,
)
from mmrec.stream.profile_groups import ReadPacked, packed_with_targets

_COLUMNS: Final = tuple(NUMBERED_SCHEMA.names)
LINK_COLUMNS: Final = LOGIN_COLUMNS[:2]
"""The two sides of a login."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayed:
    """What one table of the log changed."""

    applied: AppliedPacked
    """The profiles that changed."""
    logins_N: BoolArray
    """Rows of the table that are identify rows."""
    events_N: BoolArray
    """Rows that are events of configured behaviors; the other events are of behaviors that are no longer configured."""
    num_applied: int
    """Events that the profiles did not have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LogStretch:
    """Appends of a log, applied again: the logins first (bring()), then the rows, in any portions (apply())."""

    log: EventLog
    read: ReadPacked
    """Gives packed profiles as the caller has them so far."""
    forgotten: ForgottenUsers
    config: ScoringConfig
    up_to_sequence: int
    after_sequence: int = 0
    reading: Reading = Reading.BROKEN_OFF
    """WHOLE where nothing of the stretch was ever applied."""

    def bring(self) -> Iterator[dict[str, UserProfile]]:
        """What the logins of the stretch change, a portion after the other; write each before the next."""
        rows, starts = self._logins().sort_by("known_time_s"), NO_STARTS
        if rows.num_rows and self.reading is Reading.BROKEN_OFF:
            starts = self._starts()
        for start in range(0, rows.num_rows, LOGINS_AT_ONCE):
            yield bring_logins(
                rows.slice(start, LOGINS_AT_ONCE),
                lambda keys: {key: unpack(data) for key, data in self.read(keys).items()},
                from_log=self._from_log,
                forgotten=self.forgotten,
                config=self.config,
                reading=self.reading,
                starts=starts,
            ).profiles

    def tables(self) -> Iterator[pa.Table]:
        """The rows, NUMBERED_SCHEMA."""
        return self.log.scan(after_sequence=self.after_sequence, up_to_sequence=self.up_to_sequence, columns=_COLUMNS)

    def apply(self, table: pa.Table) -> "Replayed":
        """Apply rows of the stretch; writes nothing."""
        return replay_table(table, self.read, forgotten=self.forgotten, config=self.config)

    def _logins(self) -> pa.Table:
        return logins_in_log(self.log, after_sequence=self.after_sequence, up_to_sequence=self.up_to_sequence)

    def _starts(self) -> dict[Source, int]:
        """Lowest offset of each source in the stretch."""
        found: dict[Source, int] = {}
        after, up_to = self.after_sequence, self.up_to_sequence
        for table in self.log.scan(after_sequence=after, up_to_sequence=up_to, columns=PLACE_COLUMNS):
            sources, source_index_N = sources_of(table)
            offsets_N = table["offset"].to_numpy()
            for index, source in enumerate(sources):
                first = int(offsets_N[source_index_N == index].min())
                found[source] = min(first, found.get(source, first))
        return found

    def _from_log(self, guests: Iterable[str], _rows: pa.Table) -> dict[str, UserProfile]:
        return people_from_log(
            self.log, guests, up_to_sequence=self.up_to_sequence, forgotten=self.forgotten, config=self.config
        )


def logins_in_log(log: EventLog, *, up_to_sequence: int, after_sequence: int = 0) -> pa.Table:
    """The log's identify rows: `user_key`, `item_id` and `known_time_s`."""
    columns = [*LOGIN_COLUMNS, "behavior"]
    tables = log.scan(after_sequence=after_sequence, up_to_sequence=up_to_sequence, columns=columns)
    found = [table.filter(pa.array(is_login(table))).select(LOGIN_COLUMNS) for table in tables]
    return pa.concat_tables([pa.schema([EVENT_SCHEMA.field(name) for name in LOGIN_COLUMNS]).empty_table(), *found])


def naming(logins: pa.Table, keys: Collection[str]) -> pa.Table:
    """The rows that name one of these keys on either side."""
    wanted = pa.array(sorted(keys), pa.string())
    return logins.filter(pc.or_(*(pc.is_in(logins[name], value_set=wanted) for name in LINK_COLUMNS)))


def replay_table(table: pa.Table, read: ReadPacked, *, forgotten: ForgottenUsers, config: ScoringConfig) -> Replayed:
    """Apply rows of the log after their logins were applied; writes nothing.

    Args:
        table: NUMBERED_SCHEMA.
    """
    events_N = configured(table, config.behaviors)
    events = table.filter(pa.array(events_N))
    keys = pc.unique(events["user_key"]).to_pylist()
    applied = apply_packed(
        packed_with_targets(read, keys),
        event_batch(events, config.behaviors),
        config=config,
        forgotten=forgotten.forgotten_s(keys),
        with_caps=False,
    )
    return Replayed(
        applied=applied,
        logins_N=is_login(table),
        events_N=events_N,
        num_applied=int(np.sum(applied.verdicts_N == Verdict.ACCEPTED)),
    )


def people_from_log(
    log: EventLog,
    guests: Iterable[str],
    *,
    up_to_sequence: int,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    more_logins: pa.Table | None = None,
) -> dict[str, UserProfile]:
    """Profiles of anonymous keys and of all users they ever logged in as, counted anew."""
    wanted = set(guests)
    logins = _logins_that_count(log, more_logins, up_to_sequence=up_to_sequence, forgotten=forgotten)
    named = logins.filter(pc.is_in(logins["item_id"], value_set=pa.array(sorted(wanted), pa.string())))
    keys = wanted | set(named["user_key"].to_pylist())
    return _grown(log, keys, logins, up_to_sequence=up_to_sequence, forgotten=forgotten, config=config)


def profiles_from_log(
    log: EventLog, user_keys: Collection[str], *, up_to_sequence: int, forgotten: ForgottenUsers, config: ScoringConfig
) -> dict[str, UserProfile]:
    """The profiles of these keys, counted anew from the log, which is read from its beginning."""
    if not user_keys:
        return {}
    logins = _logins_that_count(log, None, up_to_sequence=up_to_sequence, forgotten=forgotten)
    return _grown(log, set(user_keys), logins, up_to_sequence=up_to_sequence, forgotten=forgotten, config=config)


def _logins_that_count(
    log: EventLog, more: pa.Table | None, *, up_to_sequence: int, forgotten: ForgottenUsers
) -> pa.Table:
    rows = logins_in_log(log, up_to_sequence=up_to_sequence)
    if more is not None:
        rows = pa.concat_tables([rows, more.select(LOGIN_COLUMNS)])
    return rows.filter(pa.array(login_counts(rows, forgotten)))


def _grown(
    log: EventLog,
    keys: set[str],
    logins: pa.Table,
    *,
    up_to_sequence: int,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
) -> dict[str, UserProfile]:
    """Profiles of `keys`, stubs included, from all events that belong to them.

    Args:
        logins: All that count.
    """
    # All logins of a guest are needed to say which user its events belong to.
    guests = set(naming(logins, keys)["item_id"].to_pylist())
    theirs = gathered(logins.filter(pc.is_in(logins["item_id"], value_set=pa.array(sorted(guests), pa.string()))))
    grown = {key: pack(profile) for key, profile in identify({}, theirs, config=config).profiles.items()}
    wanted = pa.array(sorted(keys | guests), pa.string())

    def read(names: Iterable[str]) -> dict[str, bytes]:
        return {name: grown[name] for name in names if name in grown}

    for table in log.scan(up_to_sequence=up_to_sequence, columns=_COLUMNS):
        mine = table.filter(pc.is_in(table["user_key"], value_set=wanted))
        if mine.num_rows:
            grown.update(replay_table(mine, read, forgotten=forgotten, config=config).applied.packed())
    return {key: unpack(packed) for key, packed in grown.items() if key in keys}


def guests_in_log(log: EventLog, user_key: str) -> list[str]:
    """Anonymous profile keys that identify rows name for a user, each once; reads the log from its beginning."""
    found: dict[str, None] = {}
    for table in log.scan(columns=["user_key", "item_id", "behavior"]):
        mine = table.filter(pa.array(is_login(table))).filter(pc.field("user_key") == user_key)
        found.update(dict.fromkeys(mine["item_id"].to_pylist()))
    return list(found)
