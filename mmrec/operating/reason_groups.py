"""Refused records by reason, and as documents.

groups = by_reason(refused)          one per reason, most records first
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmrec.events.resubmit import Fate, RefusedRecord


@dataclass(kw_only=True)
class ReasonGroup:
    """The refused records of one reason; copies of a record are not counted."""

    reason: str
    first_s: float
    """Ingest time of the oldest."""
    newest: RefusedRecord
    """By ingest time."""
    fates: Counter[Fate] = field(default_factory=Counter)

    @property
    def num_records(self) -> int:
        """All of them."""
        return self.fates.total()


def by_reason(records: Iterable[RefusedRecord]) -> list[ReasonGroup]:
    """Groups, the largest first."""
    groups: dict[str, ReasonGroup] = {}
    for record in records:
        if record.fate is Fate.COPY:
            continue
        reason, time_s = str(record.row["reason"]), float(record.row["ingest_time_s"])
        group = groups.setdefault(reason, ReasonGroup(reason=reason, first_s=time_s, newest=record))
        group.fates[record.fate] += 1
        group.first_s = min(group.first_s, time_s)
        if time_s >= group.newest.row["ingest_time_s"]:
            group.newest = record
    return sorted(groups.values(), key=lambda group: (-group.num_records, group.reason))


def groups_document(groups: Sequence[ReasonGroup]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "reason": group.reason,
            "num_records": group.num_records,
            **{f"num_{fate.value}": group.fates[fate] for fate in Fate if fate is not Fate.COPY},
            "first_s": group.first_s,
            "last_s": group.newest.row["ingest_time_s"],
            "newest": refused_document(group.newest),
        }
        for group in groups
    ]


def refused_document(record: RefusedRecord) -> dict[str, Any]:
    """One record for machines; bytes as text where they are UTF-8, else escaped."""
    row = record.row
    return {
        **{name: value for name, value in row.items() if not name.startswith("original_")},
        "place": record.place,
        "fate": record.fate.value,
        "now": record.now,
        "original_key": row["original_key"].decode("utf-8", errors="backslashreplace"),
        "original_value": row["original_value"].decode("utf-8", errors="backslashreplace"),
    }
