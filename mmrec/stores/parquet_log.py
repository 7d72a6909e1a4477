"""The event log as Parquet files in a folder.

    <folder>/events/day=2026-01-31/<digest>.parquet    rows of one append, by the day (UTC) its first was ingested
    <folder>/events/manifest/000000000017.json         append 17: its files, and the offsets it covers per source
    <folder>/served/...                                the same for served lists

A file counts only once a manifest entry names it. Entries are made by an exclusive link of a finished file, so they
appear whole, and two writers cannot take one number. A crash before that leaves a file nobody reads, which the next try
of the same batch writes over. One writer, any number of readers, on one machine or a POSIX share.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.errors import ConfigurationError, IncompatibleStateError
from mmrec.events.columns import EVENT_SCHEMA
from mmrec.events.log import PLACE_COLUMNS, batch_digest, first_of_each_place
from mmrec.events.served import SERVED_SCHEMA

FORMAT_VERSION = 1
_SECONDS_PER_DAY = 86_400


class ParquetEventLog:
    """EventLog in a folder."""

    def __init__(self, folder: str) -> None:
        """Open or make the log.

        Args:
            folder: Path, or file:// URL.
        """
        root = local_folder(folder)
        self._events = _TableLog(root / "events", EVENT_SCHEMA)
        self._served = _TableLog(root / "served", SERVED_SCHEMA)

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


def local_folder(folder: str) -> Path:
    """Path of the configured folder.

    Raises:
        ConfigurationError: it is a URL of another kind than file://.
    """
    parts = urlsplit(folder)
    if parts.scheme not in {"", "file"}:
        raise ConfigurationError(f"event_log is {folder!r}; give a local folder or a file:// URL")
    return Path(parts.path if parts.scheme else folder)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One append of the manifest."""

    digest: str
    files: tuple[str, ...]
    """Relative to the table's folder; together they hold the rows in the order they were appended."""
    ranges: dict[str, tuple[int, int]]
    """Lowest and highest offset per source; sources are named cluster/topic/partition."""

    def overlaps(self, other: "_Entry") -> bool:
        """Whether both may hold the same record."""
        return any(
            source in other.ranges and low <= other.ranges[source][1] and other.ranges[source][0] <= high
            for source, (low, high) in self.ranges.items()
        )


class _TableLog:
    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._manifest = folder / "manifest"
        self._schema = schema
        self._manifest.mkdir(parents=True, exist_ok=True)
        self._entries: list[_Entry] = []
        self._earlier: list[list[_Entry]] = []
        """For each entry the earlier ones that may hold the same records."""
        self._tops: dict[str, int] = {}
        """Highest offset of any entry, per source."""
        self._numbers: dict[str, int] = {}

    def append(self, table: pa.Table, batch_key: str) -> int:
        self._refresh()
        table = table.select(self._schema.names).cast(self._schema)
        if table.num_rows == 0:
            return len(self._entries)
        digest = batch_digest(table, batch_key)
        if digest in self._numbers:
            return self._numbers[digest]
        table = table.filter(pa.array(first_of_each_place(table)))
        file = self._write_file(table, digest)
        document = {
            "format_version": FORMAT_VERSION,
            "digest": digest,
            "batch_key": batch_key,
            "num_rows": table.num_rows,
            "files": [file],
            "ranges": _ranges(table),
        }
        while True:
            number = len(self._entries) + 1
            if self._claim(number, document):
                self._refresh()
                return number
            self._refresh()
            if digest in self._numbers:
                return self._numbers[digest]

    def sequence(self) -> int:
        self._refresh()
        return len(self._entries)

    def read(self, after_sequence: int, columns: Sequence[str] | None) -> pa.Table:
        names = list(columns or self._schema.names)
        empty = pa.schema([self._schema.field(name) for name in names]).empty_table()
        return pa.concat_tables([empty, *self.scan(after_sequence, None, columns, 1 << 20)])

    def scan(
        self, after_sequence: int, up_to_sequence: int | None, columns: Sequence[str] | None, max_rows: int
    ) -> Iterator[pa.Table]:
        self._refresh()
        names = list(columns or self._schema.names)
        wanted = pa.schema([self._schema.field(name) for name in names])
        for number, entry in enumerate(self._entries[after_sequence:up_to_sequence], start=after_sequence):
            earlier = self._earlier[number]
            for table in [self._without(entry, earlier, names)] if earlier else self._batches(entry, names, max_rows):
                for start in range(0, table.num_rows, max_rows):
                    yield table.slice(start, max_rows).cast(wanted)

    def _batches(self, entry: _Entry, names: list[str], max_rows: int) -> Iterator[pa.Table]:
        for path in entry.files:
            with pq.ParquetFile(self._folder / path) as file:
                for batch in file.iter_batches(batch_size=max_rows, columns=names):
                    yield pa.Table.from_batches([batch]).select(names)

    def _without(self, entry: _Entry, earlier: list[_Entry], names: list[str]) -> pa.Table:
        """Rows of an append that no overlapping earlier append holds."""
        places = list(PLACE_COLUMNS)
        seen = [t for other in earlier for t in self._batches(other, places, 1 << 20)]
        rows = pa.concat_tables(self._batches(entry, list(dict.fromkeys([*places, *names])), 1 << 20))
        num_seen = sum(t.num_rows for t in seen)
        first = first_of_each_place(pa.concat_tables([*seen, rows.select(places)]))
        return rows.filter(pa.array(first[num_seen:])).select(names)

    def _refresh(self) -> None:
        """Learn of entries made since."""
        while True:
            path = self._entry_path(len(self._entries) + 1)
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                return
            if document.get("format_version") != FORMAT_VERSION:
                found = document.get("format_version")
                raise IncompatibleStateError(f"{path} has format {found}; this code reads format {FORMAT_VERSION}")
            entry = _Entry(
                digest=document["digest"],
                files=tuple(document["files"]),
                ranges={source: (low, high) for source, (low, high) in document["ranges"].items()},
            )
            # A stream goes forward: only after a restart does a batch reach back, and only then are entries compared.
            back = any(low <= self._tops.get(source, -1) for source, (low, _) in entry.ranges.items())
            self._earlier.append([other for other in self._entries if other.overlaps(entry)] if back else [])
            for source, (_, high) in entry.ranges.items():
                self._tops[source] = max(high, self._tops.get(source, -1))
            self._entries.append(entry)
            self._numbers.setdefault(entry.digest, len(self._entries))

    def _entry_path(self, number: int) -> Path:
        return self._manifest / f"{number:012d}.json"

    def _claim(self, number: int, document: dict[str, Any]) -> bool:
        """Make entry `number`; False where another writer was first."""
        temporary = self._manifest / f"{document['digest']}.{os.getpid()}.tmp"
        _write_durably(temporary, json.dumps(document).encode())
        try:
            os.link(temporary, self._entry_path(number))
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(self._manifest)
        return True

    def _write_file(self, table: pa.Table, digest: str) -> str:
        # One file, so that a scan gives the rows as they were appended: readers rely on the order of offsets.
        day = int(table["ingest_time_s"][0].as_py() // _SECONDS_PER_DAY)
        name = f"day={np.datetime64(day, 'D')}/{digest}.parquet"
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        _write_durably(temporary, sink.getvalue())
        temporary.replace(path)
        _sync_folder(path.parent)
        return name


def _ranges(table: pa.Table) -> dict[str, list[int]]:
    grouped = table.group_by(["cluster_id", "topic_id", "partition"]).aggregate([("offset", "min"), ("offset", "max")])
    return {
        f"{row['cluster_id']}/{row['topic_id']}/{row['partition']}": [row["offset_min"], row["offset_max"]]
        for row in grouped.to_pylist()
    }


def _write_durably(path: Path, data: Any) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
