"""The log of accepted events and served lists: the port, its laws, and the reference in memory.

Laws, for both implementations (tests/contract/test_event_log.py):
- An append is in the log as a whole or not at all, and then has a sequence number; numbers go up by one.
- The same events under the same batch key again change nothing and give the same number.
- A record is known by (cluster, topic, partition, offset). Readers get each record once, at its first append, however
  batches overlap; so a stream that starts again with other boundaries does no harm.
- read(after_sequence=n) gives what appends after n added: reading in steps gives the same as reading at once.
- Readers get no row that a forget request covers. tend() removes these for good, and rows of ingest days that are too
  old, except identify rows. It changes no sequence number and nothing else that a reader gets, wherever it continues.
- A reader who asks for the column SEQUENCE gets the number of the append that each row first came with. It never falls
  from one row to the next, and is the same whenever and from wherever it is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.forgotten import ForgottenUsers, MemoryForgottenUsers
from mmrec.events.forgotten_rows import expired_rows, first_day_kept, kept_rows
from mmrec.events.served import SERVED_SCHEMA

PLACE_COLUMNS: Final = ("cluster_id", "topic_id", "partition", "offset")
SEQUENCE: Final = "append_sequence"
"""Number of the append that a row came with; readers may ask for it among the columns of events."""
NUMBERED_SCHEMA: Final = EVENT_SCHEMA.append(pa.field(SEQUENCE, pa.int64(), nullable=False))


@dataclass(frozen=True, kw_only=True)
class TableTended:
    """What one run of tend() (maintenance) did to events, or to served lists."""

    num_appends: int = 0
    """Appends that were compacted."""
    num_rows_written: int = 0
    num_expired: int = 0
    """Rows removed because of their age."""
    num_forgotten: int = 0
    """Rows removed because their users asked."""
    num_files: int = 0
    """Compacted files there are now."""
    num_waiting: int = 0
    """Appends that are not compacted."""


@dataclass(frozen=True, kw_only=True)
class Tended:
    """What one run of tend() did."""

    events: TableTended
    served: TableTended


class EventLog(Protocol):
    """What the stream accepted, for ever; item statistics, neighbors and training read it."""

    def append(self, events: pa.Table, *, batch_key: str) -> int:
        """Add accepted events.

        Args:
            events: EVENT_SCHEMA. An empty table adds nothing.
            batch_key: Name of the batch, such as the stream's batch id; any text.

        Returns:
            The sequence number under which these events stand.
        """
        ...

    def sequence(self) -> int:
        """Number of the newest append; 0 while the log is empty."""
        ...

    def read(self, *, after_sequence: int = 0, columns: Sequence[str] | None = None) -> pa.Table:
        """All events of later appends, each once, in the order of appends; EVENT_SCHEMA or the chosen columns.

        Args:
            columns: Of NUMBERED_SCHEMA.
        """
        ...

    def scan(
        self,
        *,
        after_sequence: int = 0,
        up_to_sequence: int | None = None,
        columns: Sequence[str] | None = None,
        max_rows: int = 65_536,
    ) -> Iterator[pa.Table]:
        """Like read, in tables of at most `max_rows` rows, with memory that does not grow with the log.

        Args:
            up_to_sequence: The last append that is given; the newest one where left out.
            columns: Of NUMBERED_SCHEMA; EVENT_SCHEMA where left out.
        """
        ...

    def append_served(self, lists: pa.Table, *, batch_key: str = "") -> int:
        """Add served lists, SERVED_SCHEMA, by the same laws; numbers of their own."""
        ...

    def read_served(self, *, after_sequence: int = 0) -> pa.Table:
        """Served lists of later appends, each once; SERVED_SCHEMA."""
        ...

    def scan_served(self, *, after_sequence: int = 0, max_rows: int = 8_192) -> Iterator[pa.Table]:
        """The same as read_served, in tables of at most `max_rows` rows."""
        ...

    def tend(self, *, keep_s: float = 0.0, min_appends: int = 1) -> Tended:
        """Compact appends, remove rows that are too old or of forgotten users; others may append and read meanwhile.

        Args:
            keep_s: Rows are removed if their ingest day (UTC) is before that of the newest ingest time minus this; 0
                or inf keeps all. Identify rows stay until either side is forgotten: counting anew needs every login.
            min_appends: Fewer new appends than this wait for the next run.
        """
        ...


class MemoryEventLog:
    """The reference: keeps every append as it came and finds repeated records by looking at all earlier appends."""

    def __init__(self, *, users: ForgottenUsers | None = None) -> None:
        self._users = users or MemoryForgottenUsers()
        self._events: list[_Append] = []
        self._served: list[_Append] = []

    def append(self, events: pa.Table, *, batch_key: str) -> int:
        """See EventLog."""
        return _append(self._events, events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA), batch_key)

    def sequence(self) -> int:
        """See EventLog."""
        return len(self._events)

    def read(self, *, after_sequence: int = 0, columns: Sequence[str] | None = None) -> pa.Table:
        """See EventLog."""
        return self._read(self._events, EVENT_SCHEMA, after_sequence).select(list(columns or EVENT_SCHEMA.names))

    def scan(
        self,
        *,
        after_sequence: int = 0,
        up_to_sequence: int | None = None,
        columns: Sequence[str] | None = None,
        max_rows: int = 65_536,
    ) -> Iterator[pa.Table]:
        """See EventLog."""
        table = self._read(self._events[:up_to_sequence], EVENT_SCHEMA, after_sequence)
        table = table.select(list(columns or EVENT_SCHEMA.names))
        for start in range(0, table.num_rows, max_rows):
            yield table.slice(start, max_rows)

    def append_served(self, lists: pa.Table, *, batch_key: str = "") -> int:
        """See EventLog."""
        return _append(self._served, lists.select(SERVED_SCHEMA.names).cast(SERVED_SCHEMA), batch_key)

    def read_served(self, *, after_sequence: int = 0) -> pa.Table:
        """See EventLog."""
        return self._read(self._served, SERVED_SCHEMA, after_sequence).select(SERVED_SCHEMA.names)

    def scan_served(self, *, after_sequence: int = 0, max_rows: int = 8_192) -> Iterator[pa.Table]:
        """See EventLog."""
        table = self.read_served(after_sequence=after_sequence)
        for start in range(0, table.num_rows, max_rows):
            yield table.slice(start, max_rows)

    def tend(self, *, keep_s: float = 0.0, min_appends: int = 1) -> Tended:
        """See EventLog; there is nothing to compact."""
        return Tended(events=self._tended(self._events, keep_s), served=self._tended(self._served, keep_s))

    def _read(self, appends: list["_Append"], schema: pa.Schema, after_sequence: int) -> pa.Table:
        table = _read(appends, schema, after_sequence)
        return table.filter(pa.array(kept_rows(table, self._users)))

    def _tended(self, appends: list["_Append"], keep_s: float) -> TableTended:
        newest_s = max((pc.max(a.table["ingest_time_s"]).as_py() or 0.0 for a in appends), default=0.0)
        num_expired = num_forgotten = 0
        for number, append in enumerate(appends):
            expired_N = expired_rows(append.table, first_day_kept(newest_s, keep_s))
            kept_N = kept_rows(append.table, self._users)
            num_forgotten += int(np.sum(~kept_N))
            num_expired += int(np.sum(kept_N & expired_N))
            appends[number] = _Append(append.digest, append.table.filter(pa.array(~expired_N & kept_N)))
        return TableTended(num_expired=num_expired, num_forgotten=num_forgotten)


@dataclass(frozen=True, eq=False)
class _Append:
    digest: str
    table: pa.Table


def _append(appends: list[_Append], table: pa.Table, batch_key: str) -> int:
    if table.num_rows == 0:
        return len(appends)
    digest = batch_digest(table, batch_key)
    for number, append in enumerate(appends, start=1):
        if append.digest == digest:
            return number
    appends.append(_Append(digest, table))
    return len(appends)


def _read(appends: list[_Append], schema: pa.Schema, after_sequence: int) -> pa.Table:
    tables = [append.table for append in appends]
    numbered = schema.append(NUMBERED_SCHEMA.field(SEQUENCE))
    if len(tables) <= after_sequence:
        return numbered.empty_table()
    numbers_N = np.repeat(np.arange(1, len(tables) + 1), [table.num_rows for table in tables])
    table = pa.concat_tables(tables)
    table = pa.table([*table.columns, pa.array(numbers_N, pa.int64())], schema=numbered)
    first = first_of_each_place(table)
    first[: sum(t.num_rows for t in tables[:after_sequence])] = False
    return table.filter(pa.array(first))


def first_of_each_place(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Mask of the rows that are the first of their (cluster, topic, partition, offset), shape (rows,)."""
    sources = np.zeros(table.num_rows, dtype=np.int64)
    for name in ("cluster_id", "topic_id", "partition"):
        encoded = pc.dictionary_encode(table[name].combine_chunks())
        sources = sources * max(len(encoded.dictionary), 1) + encoded.indices.to_numpy()
    offsets = table["offset"].to_numpy()
    order = np.lexsort((np.arange(table.num_rows), offsets, sources))
    again = (np.diff(offsets[order]) == 0) & (np.diff(sources[order]) == 0)
    first = np.ones(table.num_rows, dtype=bool)
    first[order[1:][again]] = False
    return first


def batch_digest(table: pa.Table, batch_key: str) -> str:
    """Name of a batch: its key and the places of its records; a place determines what its record holds."""
    digest = blake2b(batch_key.encode(), digest_size=16)
    for name in ("cluster_id", "topic_id"):
        encoded = pc.dictionary_encode(table[name].combine_chunks())
        digest.update(repr(encoded.dictionary.to_pylist()).encode())
        digest.update(encoded.indices.to_numpy().tobytes())
    for name in ("partition", "offset"):
        digest.update(table[name].to_numpy().tobytes())
    return digest.hexdigest()
