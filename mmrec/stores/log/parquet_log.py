"""The event log as Parquet files in a folder, or as objects in a bucket.

    <folder>/events/day=2026-01-31/<digest>.parquet    rows of one append, by the day (UTC) its first was ingested
    <folder>/events/day=2026-01-31/part-*.parquet      rows of many appends, compacted, in the order they were appended
    <folder>/events/manifest/                          which files hold which appends (mmrec.stores.log.manifest)
    <folder>/served/...                                the same for served lists
    <folder>/forgotten/                                the registry of forgotten users

A file counts only once the manifest names it. A crash before that leaves a file nobody reads, which tend() removes. One
writer, one tend() at a time, any number of readers, on one machine, a POSIX share or a bucket. In a folder two that
tend wait for each other; in a bucket the later one finds that the state was replaced, and starts over.

Bounds, where tend() runs every minute: files and manifest entries of one minute's appends, one file per ingest day (one
more for each MAX_PART_ROWS), log2(rows) more for the newest day. A reader starts in milliseconds, whatever came before.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from mmrec.disk.objects import Objects
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import Tended
from mmrec.events.served import SERVED_SCHEMA
from mmrec.stores.log.forgotten_file import FOLDER, FileForgottenUsers
from mmrec.stores.log.table import LogTable
from mmrec.stores.log.tend import tend_table


class ParquetEventLog:
    """EventLog as objects."""

    def __init__(self, objects: Objects, *, users: ForgottenUsers | None = None) -> None:
        """Open the log; nothing is written before it is needed.

        Args:
            users: Whose rows readers do not get; the registry beside the log where left out.
        """
        users = users or FileForgottenUsers(objects.within(FOLDER, private=True))
        self._events = LogTable(objects.within("events"), EVENT_SCHEMA, users=users)
        self._served = LogTable(objects.within("served"), SERVED_SCHEMA, users=users)

    def append(self, events: pa.Table, *, batch_key: str) -> int:
        """See EventLog."""
        return self._events.append(events, batch_key)

    def sequence(self) -> int:
        """See EventLog."""
        return self._events.sequence()

    def read(self, *, after_sequence: int = 0, columns: Sequence[str] | None = None) -> pa.Table:
        """See EventLog."""
        return self._events.read(after_sequence, columns)

    def scan(
        self,
        *,
        after_sequence: int = 0,
        up_to_sequence: int | None = None,
        columns: Sequence[str] | None = None,
        max_rows: int = 65_536,
    ) -> Iterator[pa.Table]:
        """See EventLog."""
        return self._events.scan(after_sequence, up_to_sequence, columns, max_rows)

    def append_served(self, lists: pa.Table, *, batch_key: str = "") -> int:
        """See EventLog."""
        return self._served.append(lists, batch_key)

    def read_served(self, *, after_sequence: int = 0) -> pa.Table:
        """See EventLog."""
        return self._served.read(after_sequence, None)

    def scan_served(self, *, after_sequence: int = 0, max_rows: int = 8_192) -> Iterator[pa.Table]:
        """See EventLog."""
        return self._served.scan(after_sequence, None, None, max_rows)

    def tend(self, *, keep_s: float = 0.0, min_appends: int = 1) -> Tended:
        """See EventLog."""
        return Tended(
            events=tend_table(self._events, keep_s=keep_s, min_appends=min_appends),
            served=tend_table(self._served, keep_s=keep_s, min_appends=min_appends),
        )
