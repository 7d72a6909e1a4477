"""The event log as Parquet files in a folder.

    <folder>/events/day=2026-01-31/<digest>.parquet    rows of one append, by the day (UTC) its first was ingested
    <folder>/events/day=2026-01-31/part-*.parquet      rows of many appends, compacted, in the order they were appended
    <folder>/events/manifest/                          which files hold which appends (mmrec.stores.log.manifest)
    <folder>/served/...                                the same for served lists
    <folder>/forgotten/                                the registry of forgotten users

A file counts only once the manifest names it. A crash before that leaves a file nobody reads, which tend() removes. One
writer, one tend() at a time (they wait for each other), any number of readers, on one machine or a POSIX share.

Bounds, where tend() runs every minute: files and manifest entries of one minute's appends, one file per ingest day (one
more for each MAX_PART_ROWS), log2(rows) more for the newest day. A reader starts in milliseconds, whatever came before.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from mmrec.disk.files import DurableFiles
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.log import Tended, local_folder
from mmrec.events.served import SERVED_SCHEMA
from mmrec.stores.log.forgotten_file import FileForgottenUsers
from mmrec.stores.log.table import LogTable
from mmrec.stores.log.tend import tend_table


class ParquetEventLog:
    """EventLog in a folder."""

    def __init__(self, folder: str, *, users: ForgottenUsers | None = None, files: DurableFiles | None = None) -> None:
        """Open or make the log.

        Args:
            folder: Path, or file:// URL.
            users: Whose rows readers do not get; the registry in the log's own folder where left out.
            files: How files are written; tests interrupt it.
        """
        root = local_folder(folder)
        users = users or FileForgottenUsers(root / "forgotten")
        self._events = LogTable(root / "events", EVENT_SCHEMA, users=users, files=files or DurableFiles())
        self._served = LogTable(root / "served", SERVED_SCHEMA, users=users, files=files or DurableFiles())

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
