"""Whose events they are, once people have logged in: anonymous events counted for the user they turned out to be.

An identify record of the log says "from here on this anonymous id is that user". What the id had done before becomes
known for the user at that instant; what it does later counts for the user at once, until another record re-points it.

    owner of an event = target of the id's last record known at or before it, else of its first record
    known for the owner at max(known time of the event, known time of that first record)

Within one micro-batch the stream takes records after events; so only re-pointed ids may differ, by one micro-batch.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.control import IDENTIFY


@dataclass(frozen=True, kw_only=True)
class Identities:
    """All identify records of a log."""

    records: dict[str, tuple[tuple[float, ...], tuple[str, ...]]]
    """By anonymous key: known times, ascending, and the user keys they name."""

    def owner_at(self, user_key: str, time_s: float) -> str:
        """Key of the profile that stands for `user_key` in what was known strictly before `time_s`."""
        times, targets = self.records.get(user_key, ((), ()))
        known = [target for time, target in zip(times, targets, strict=True) if time < time_s]
        return known[-1] if known else user_key

    def owner_of(self, user_key: str, known_time_s: float) -> tuple[str, float] | None:
        """(owner, when the owner's profile has it) of an event of an anonymous key; None where nobody logged in."""
        if user_key not in self.records:
            return None
        times, targets = self.records[user_key]
        place = bisect_right(times, known_time_s) - 1
        return targets[max(place, 0)], max(known_time_s, times[0])


def identities(events: pa.Table) -> Identities:
    """The identify records of a log.

    Args:
        events: `user_key`, `item_id` (of such a record: the anonymous key), `behavior`, `known_time_s`; any order.
    """
    rows = events.filter(pc.equal(events["behavior"], IDENTIFY))
    found: dict[str, list[tuple[float, str]]] = {}
    for row in rows.select(["item_id", "known_time_s", "user_key"]).to_pylist():
        found.setdefault(row["item_id"], []).append((row["known_time_s"], row["user_key"]))
    records = {}
    for key, pairs in found.items():
        pairs.sort()
        records[key] = (tuple(time for time, _ in pairs), tuple(target for _, target in pairs))
    return Identities(records=records)


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
