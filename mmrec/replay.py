"""The log applied again: what recovery, rebuild and a flip of generations do with it.

Events were accepted once, so caps do not judge them a second time; those of forgotten users, and of behaviors that are
configured no more, are left out; identify rows merge as they did.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

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
from mmrec.events.log import EventLog
from mmrec.events.to_batch import configured, event_batch
from mmrec.events.verdicts import Verdict
from mmrec.scoring.apply import apply
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig


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


def replay_table(table: pa.Table, read: ReadProfiles, *, forgotten: ForgottenUsers, config: ScoringConfig) -> Replayed:
    """Apply a table of the log to the profiles that `read` gives; nothing is written."""
    logins_N = is_login(table)
    events_N = configured(table, config.behaviors)
    events = table.filter(pa.array(events_N))
    keys = pc.unique(events["user_key"]).to_pylist()
    profiles = read_with_targets(read, keys)
    applied = apply(
        profiles,
        event_batch(events, config.behaviors),
        config=config,
        forgotten=forgotten.forgotten_s(keys),
        with_caps=False,
    )
    changed = dict(applied.profiles)
    if logins_N.any():
        logins = bring_logins(
            table.filter(pa.array(logins_N)), {**profiles, **changed}, read, forgotten=forgotten, config=config
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
    wanted = pa.array(sorted(user_keys), pa.string())

    def read(keys: Iterable[str]) -> dict[str, UserProfile]:
        return {key: grown[key] for key in keys if key in grown}

    for table in log.scan(up_to_sequence=up_to_sequence) if user_keys else ():
        mine = table.filter(pc.is_in(table["user_key"], value_set=wanted))
        if mine.num_rows:
            grown.update(replay_table(mine, read, forgotten=forgotten, config=config).profiles)
    return grown


def guests_in_log(log: EventLog, user_key: str) -> list[str]:
    """Anonymous profile keys that the log's identify rows name for a user, each once; it is read from its beginning."""
    found: dict[str, None] = {}
    for table in log.scan(columns=["user_key", "item_id", "behavior"]):
        mine = table.filter(pa.array(is_login(table))).filter(pc.field("user_key") == user_key)
        found.update(dict.fromkeys(mine["item_id"].to_pylist()))
    return list(found)
