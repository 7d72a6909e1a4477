"""Refused records for people: by reason, or one by one.

print_groups(groups, console)
record_line(record)                  one record, whatever it holds
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.events.resubmit import Fate, RefusedRecord
from mmrec.operating.reason_groups import ReasonGroup
from mmrec.v1 import admin_pb2

MAX_SHOWN = 160
_FATES = {
    Fate.SENDABLE: "can be sent",
    Fate.REFUSED: "still refused",
    Fate.CUT: "cut",
    Fate.SENT: "sent again",
    Fate.SUPERSEDED: "superseded",
}


def print_groups(groups: Sequence[ReasonGroup], console: Console) -> None:
    """One line per reason, then the newest example of each."""
    table = Table("reason", title="refused records, by reason", title_justify="left")
    # Only states of items can be superseded; for events, the column is left out.
    shown = [fate for fate in _FATES if fate is not Fate.SUPERSEDED or any(group.fates[fate] for group in groups)]
    for column in ("records", *(_FATES[fate] for fate in shown), "first", "last"):
        table.add_column(column, justify="right")
    for group in groups:
        fates = [f"{group.fates[fate]:,}" if group.fates[fate] else "" for fate in shown]
        last_s = float(group.newest.row["ingest_time_s"])
        table.add_row(escape(group.reason), f"{group.num_records:,}", *fates, moment(group.first_s), moment(last_s))
    console.print(table)
    for group in groups:
        console.print(f"{group.reason}: {record_line(group.newest)}", highlight=False, markup=False, soft_wrap=True)


def record_line(record: RefusedRecord) -> str:
    """`<detail>; u1 browse i7 (e12); what would happen now`; an item is shown by id and title, other bytes escaped."""
    parts = [printable(str(record.row["detail"])), _told(record.row["original_value"])]
    if record.fate is Fate.REFUSED and record.now:
        parts.append(f"now {printable(record.now)}")
    return "; ".join(part for part in parts if part)


def full_lines(record: RefusedRecord) -> list[str]:
    """Everything about one record; its bytes are escaped, so that none can control the terminal."""
    row = record.row
    source = f"{row['cluster_id']}/{row['topic_id']}/{row['partition']}:{row['offset']}"
    fate = _FATES.get(record.fate, record.fate.value)
    return [
        f"{moment(row['ingest_time_s'])} {row['reason']}: {printable(str(row['detail']))}",
        f"  {fate}{': ' + printable(record.now) if record.now else ''}",
        f"  source  {printable(source)}",
        f"  kept at {record.place}",
        f"  key     {ascii(row['original_key'])[1:]}",
        f"  value   {ascii(row['original_value'])[1:]}",
    ]


def moment(time_s: float) -> str:
    """An instant, in UTC, to the second."""
    return datetime.fromtimestamp(time_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def printable(text: str) -> str:
    """Text without anything that could control a terminal."""
    return text if text.isprintable() else repr(text)


def _told(value: bytes) -> str:
    try:
        fields = json.loads(value)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        if "title" in fields:
            item_id = fields.get("item_id", fields.get("itemId", "?"))
            return printable(f"{item_id} {json.dumps(fields['title'])}"[:MAX_SHOWN])
        names = ("user_id", "behavior", "item_id", "event_id")
        user, behavior, item, event_id = (str(fields.get(name, "?")) for name in names)
    except (ValueError, RecursionError, AttributeError):
        shown = ascii(value[: MAX_SHOWN + 1])[1:]
        return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + "..."
    return printable(f"{user} {behavior} {item} ({event_id})"[:MAX_SHOWN])


def print_group_messages(groups: Sequence[admin_pb2.RejectedGroup], console: Console) -> None:
    """Groups that the administrative service told."""
    table = Table("reason", title="refused records, by reason", title_justify="left")
    for column in ("records", "can be sent", "still refused", "first", "last"):
        table.add_column(column, justify="right")
    for group in groups:
        numbers = [f"{n:,}" if n else "" for n in (group.num_records, group.num_sendable, group.num_refused_still)]
        instants = [time.ToJsonString()[:19] for time in (group.first_time, group.last_time)]
        table.add_row(escape(group.reason), *numbers, *instants)
    console.print(table if groups else "nothing was refused")


def record_message_lines(record: admin_pb2.RejectedRecord) -> list[str]:
    """Everything about one record that the service told; see full_lines()."""
    return [
        f"{record.ingest_time.ToJsonString()[:19]} {record.reason}: {printable(record.detail)}",
        f"  {record.fate}{': ' + printable(record.now) if record.now else ''}",
        f"  kept at {printable(record.place)}",
        f"  key     {ascii(record.original_key)[1:]}",
        f"  value   {ascii(record.original_value)[1:]}",
    ]
