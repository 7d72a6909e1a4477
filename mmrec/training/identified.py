"""Whose events they are, once people have logged in: anonymous events counted for the user they turned out to be.

An identify record of the log says "from here on this anonymous id is that user". What the id had done before becomes
known for the user at that instant; what it does later counts for the user at once, until another record re-points it.

    owner of an event: scoring/together.py
    known for the owner at max(known time of the event, known time of the id's first record)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.control import IDENTIFY
from mmrec.scoring.together import LoginHistory, logins_by_guest


@dataclass(frozen=True, kw_only=True)
class Identities:
    """All identify records of a log."""

    records: dict[str, LoginHistory]
    """By anonymous key."""

    def owner_at(self, user_key: str, time_s: float) -> str:
        """Key of the profile that stands for `user_key` in what was known strictly before `time_s`."""
        history = self.records.get(user_key)
        return (history.owner_before(time_s) if history is not None else None) or user_key

    def owner_of(self, user_key: str, known_time_s: float) -> tuple[str, float] | None:
        """(owner, when the owner's profile has it) of an event of an anonymous key; None where nobody logged in."""
        history = self.records.get(user_key)
        if history is None:
            return None
        return history.owner_at(known_time_s), max(known_time_s, history.first_s[0])


def identities(events: pa.Table) -> Identities:
    """The identify records of a log.

    Args:
        events: `user_key`, `item_id` (of such a record: the anonymous key), `behavior`, `known_time_s`; any order.
    """
    rows = events.filter(pc.equal(events["behavior"], IDENTIFY))
    columns = (rows[name].to_pylist() for name in ("user_key", "item_id", "known_time_s"))
    found = logins_by_guest(zip(*columns, strict=True))
    return Identities(records={key: LoginHistory.of(logins) for key, logins in found.items()})


def with_owners(events: pa.Table, known: Identities) -> pa.Table:
    """Events of anonymous keys once more, under the key of their owner; records of logins are left out.

    Both stand in the result: before the login the anonymous profile has them, after it the owner's has.
    """
    events = events.filter(pc.not_equal(events["behavior"], IDENTIFY))
    if not known.records:
        return events
    theirs = events.filter(pc.is_in(events["user_key"], value_set=pa.array(list(known.records), pa.string())))
    owners: Sequence[tuple[str, float]] = [
        found
        for key, time_s in zip(theirs["user_key"].to_pylist(), theirs["known_time_s"].to_pylist(), strict=True)
        if (found := known.owner_of(key, time_s)) is not None
    ]
    moved = theirs.set_column(
        theirs.schema.get_field_index("user_key"), "user_key", pa.array([owner for owner, _ in owners], pa.string())
    ).set_column(
        theirs.schema.get_field_index("known_time_s"),
        "known_time_s",
        pa.array([time_s for _, time_s in owners], pa.float64()),
    )
    return pa.concat_tables([events, moved.cast(events.schema)])
