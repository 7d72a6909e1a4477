"""The log applied again: what recovery, rebuild and a flip of generations do with it.

Events were accepted once, so caps do not judge them a second time; those of forgotten users, and of behaviors that are
configured no more, are left out; identify rows merge as they did: behind the events of their append, and before those
of the next one, wherever pieces of the log begin and end.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.control_rows import (
    BoolArray,
    ReadProfiles,
    bring_logins,
    is_login,
    read_with_targets,
)
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import NUMBERED_SCHEMA, SEQUENCE, EventLog
from mmrec.events.to_batch import configured, event_batch
from mmrec.events.verdicts import Verdict
from mmrec.scoring.apply import apply
from mmrec.scoring.profile import Source, UserProfile
from mmrec.scoring.settings import ScoringConfig

_COLUMNS: Final = tuple(NUMBERED_SCHEMA.names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayed:
    """What one table of the log changed."""

    profiles: dict[str, UserProfile]
    """Those that changed."""
    logins_N: BoolArray
    """Rows of the table that are identify rows."""
    events_N: BoolArray
    """Rows that are events of configured behaviors; the others are events of behaviors configured no more."""
    num_applied: int
    """Events that the profiles did not have."""


def pieces(log: EventLog, *, after_sequence: int = 0, up_to_sequence: int | None = None) -> Iterator[pa.Table]:
    """The log's rows in tables that replay_table() may take one after the other; see due_logins()."""
    return due_logins(log.scan(after_sequence=after_sequence, up_to_sequence=up_to_sequence, columns=_COLUMNS))


def due_logins(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, cut anew so that logins at the end of each table stand where they took effect.

    A login takes effect at the end of its append. It is held back until its append ends or, which is the same and cuts
    less, until its guest turns up in a later append. Where no login is, tables are given as they come.

    Args:
        tables: Rows of NUMBERED_SCHEMA in the order of the log.
    """
    held = NUMBERED_SCHEMA.empty_table()
    for table in tables:
        logins_N = is_login(table)
        if not table.num_rows or not (held.num_rows or logins_N.any()):
            yield table
            continue
        waiting = pa.concat_tables([held, table.filter(pa.array(logins_N))])
        numbers_N, waiting_N = table[SEQUENCE].to_numpy(), waiting[SEQUENCE].to_numpy()
        begin = given = 0
        for end in [*_cuts(table, logins_N, held), table.num_rows]:
            events = table.slice(begin, end - begin).filter(pa.array(~logins_N[begin:end]))
            # The last append of the table may go on in the next one.
            due = int(np.searchsorted(waiting_N, numbers_N[min(end, table.num_rows - 1)]))
            yield pa.concat_tables([events, waiting.slice(given, due - given)])
            begin, given = end, due
        held = waiting.slice(given)
    yield held


def _cuts(table: pa.Table, logins_N: BoolArray, held: pa.Table) -> list[int]:
    """Rows where an append begins before which logins must have taken effect, for their guests turn up in it."""
    guests = pc.if_else(pa.array(logins_N), table["item_id"], table["user_key"])
    waiting = dict(zip(held["item_id"].to_pylist(), held[SEQUENCE].to_pylist(), strict=True))
    of_login = pa.array({*waiting, *table.filter(pa.array(logins_N))["item_id"].to_pylist()}, pa.string())
    numbers_N = table[SEQUENCE].to_numpy()
    cuts: list[int] = []
    for row in np.flatnonzero(pc.is_in(guests, value_set=of_login).to_numpy()).tolist():
        guest, number = guests[row].as_py(), int(numbers_N[row])
        if waiting.get(guest, number) < number:
            cuts.append(int(np.searchsorted(numbers_N, number)))
            waiting = {name: at for name, at in waiting.items() if at == number}
        if logins_N[row]:
            waiting[guest] = number
    return cuts


def replay_table(
    table: pa.Table,
    read: ReadProfiles,
    *,
    seen: dict[Source, int],
    forgotten: ForgottenUsers,
    config: ScoringConfig,
) -> Replayed:
    """Apply a table of pieces() to the profiles that `read` gives, its logins last; nothing is written.

    Args:
        seen: The last offset per source in the tables so far, empty before the first; this table's are added.
    """
    logins_N = is_login(table)
    events_N = configured(table, config.behaviors)
    events = table.filter(pa.array(events_N))
    keys = pc.unique(events["user_key"]).to_pylist()
    profiles = read_with_targets(read, keys)
    batch = event_batch(events, config.behaviors)
    for index, source in enumerate(batch.sources):
        last = int(batch.offsets_N[batch.source_index_N == index].max(initial=-1))
        seen[source] = max(last, seen.get(source, -1))
    applied = apply(
        profiles,
        batch,
        config=config,
        forgotten=forgotten.forgotten_s(keys),
        with_caps=False,
    )
    changed = dict(applied.profiles)
    if logins_N.any():
        logins = bring_logins(
            table.filter(pa.array(logins_N)),
            {**profiles, **changed},
            read,
            forgotten=forgotten,
            config=config,
            seen=seen,
        )
        changed |= logins.profiles
    return Replayed(
        profiles=changed,
        logins_N=logins_N,
        events_N=events_N,
        num_applied=int(np.sum(applied.verdicts_N == Verdict.ACCEPTED)),
    )


def profiles_from_log(
    log: EventLog, user_keys: Collection[str], *, up_to_sequence: int, forgotten: ForgottenUsers, config: ScoringConfig
) -> dict[str, UserProfile]:
    """The profiles of a few users as the log has them, made anew; it is read from its beginning."""
    grown: dict[str, UserProfile] = {}
    seen: dict[Source, int] = {}
    wanted = pa.array(sorted(user_keys), pa.string())

    def read(keys: Iterable[str]) -> dict[str, UserProfile]:
        return {key: grown[key] for key in keys if key in grown}

    tables = log.scan(up_to_sequence=up_to_sequence, columns=_COLUMNS) if user_keys else ()
    for mine in due_logins(table.filter(pc.is_in(table["user_key"], value_set=wanted)) for table in tables):
        grown.update(replay_table(mine, read, seen=seen, forgotten=forgotten, config=config).profiles)
    return grown


def guests_in_log(log: EventLog, user_key: str) -> list[str]:
    """Anonymous profile keys that the log's identify rows name for a user, each once; it is read from its beginning."""
    found: dict[str, None] = {}
    for table in log.scan(columns=["user_key", "item_id", "behavior"]):
        mine = table.filter(pa.array(is_login(table))).filter(pc.field("user_key") == user_key)
        found.update(dict.fromkeys(mine["item_id"].to_pylist()))
    return list(found)
