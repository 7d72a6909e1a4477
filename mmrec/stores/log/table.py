"""One table of the event log (events, or served lists): appending and reading.

A reader that meets a file which was just compacted away reads the manifest again and goes on where it stands:
compaction changes where rows are, never which rows come after an append.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmrec.disk.objects import Objects
from mmrec.errors import StoreError
from mmrec.events.forgotten import ForgottenUsers
from mmrec.events.forgotten_rows import SECONDS_PER_DAY, filter_columns, kept_rows
from mmrec.events.log import NUMBERED_SCHEMA, PLACE_COLUMNS, SEQUENCE, batch_digest, first_of_each_place
from mmrec.events.table_rows import rows_where
from mmrec.stores.log.manifest import Manifest, Part, Ranges

SEEN_ROWS: Final = 1 << 17
APPEND_LOCK: Final = "append.lock"
"""Held, shared, by whoever appends: files that no entry names yet may be on their way."""


class LogTable:
    """Files of one schema in one place."""

    def __init__(self, objects: Objects, schema: pa.Schema, *, users: ForgottenUsers) -> None:
        self.objects = objects
        self.schema = schema
        self.numbered = schema.append(NUMBERED_SCHEMA.field(SEQUENCE))
        """Of compacted files: each row with the append it came with."""
        self.users = users
        self.manifest = Manifest(objects.within("manifest"))

    def append(self, table: pa.Table, batch_key: str) -> int:
        """See EventLog.append."""
        self.manifest.refresh()
        table = table.select(self.schema.names).cast(self.schema)
        if table.num_rows == 0:
            return self.manifest.last
        digest = batch_digest(table, batch_key)
        if digest in self.manifest.numbers:
            return self.manifest.numbers[digest]
        table = rows_where(table, first_of_each_place(table))
        with self.objects.alone(APPEND_LOCK, shared=True):
            name, data = self._append_name(table, digest), _parquet_bytes(table)
            self.objects.write(name, data)
            document = {
                "digest": digest,
                "batch_key": batch_key,
                "num_rows": table.num_rows,
                "files": [name],
                "ranges": _ranges(table),
                "newest_ingest_s": pc.max(table["ingest_time_s"]).as_py(),
            }
            while digest not in self.manifest.numbers:
                if not self.manifest.claim(self.manifest.last + 1, document):
                    self.manifest.refresh()
            if not self.objects.keeps_out and self._waits_in(name) and not self.objects.version(name):
                # Whoever sweeps takes a file that nothing names for hours for what a crash left.
                self.objects.write(name, data)
        return self.manifest.numbers[digest]

    def _waits_in(self, name: str) -> bool:
        """Whether an append that is not compacted yet has its rows in this file."""
        return any(part.file == name for part in self.manifest.tail)

    def sequence(self) -> int:
        """See EventLog.sequence."""
        self.manifest.refresh()
        return self.manifest.last

    def read(self, after_sequence: int, columns: Sequence[str] | None) -> pa.Table:
        """See EventLog.read."""
        names = list(columns or self.schema.names)
        empty = pa.schema([self.numbered.field(name) for name in names]).empty_table()
        return pa.concat_tables([empty, *self.scan(after_sequence, None, columns, 1 << 20)])

    def scan(
        self, after_sequence: int, up_to_sequence: int | None, columns: Sequence[str] | None, max_rows: int
    ) -> Iterator[pa.Table]:
        """See EventLog.scan."""
        self.manifest.refresh()
        last = self.manifest.last if up_to_sequence is None else min(up_to_sequence, self.manifest.last)
        wanted = pa.schema([self.numbered.field(name) for name in columns or self.schema.names])
        done = after_sequence
        while done < last and (part := self.manifest.next_part(done)) is not None and part.first <= last:
            try:
                rows = self.open_rows(part, wanted.names, after=done, up_to=last, max_rows=max_rows)
            except FileNotFoundError as error:
                if not self.manifest.refresh():
                    raise StoreError(f"the log names {error.filename or part.file}, which is gone") from error
                continue
            for table in rows:
                if table.num_rows:
                    yield table.select(wanted.names).cast(wanted)
            done = part.last

    def open_rows(
        self, part: Part, names: Sequence[str], *, after: int = 0, up_to: int | None = None, max_rows: int
    ) -> Iterator[pa.Table]:
        """Rows of a part's appends beyond `after`, each record once, without forgotten users.

        What is opened here can be read to its end though the file be removed meanwhile.

        Args:
            names: Columns; SEQUENCE as well.

        Raises:
            FileNotFoundError: the part was compacted away.
            StoreError: its file is damaged.
        """
        earlier = self._earlier_places(part) if part.reaches_back else None
        checks = part.num_forgotten < self.users.num_forgotten()
        cuts = not part.digest and (after >= part.first or (up_to is not None and up_to < part.last))
        file = opened(self.objects, part.file)
        groups = [g for g in range(file.num_row_groups) if not cuts or _highest(file, g, SEQUENCE) > after]
        read = dict.fromkeys(
            [
                *(name for name in names if name != SEQUENCE or not part.digest),
                *(filter_columns(self.schema) if checks else []),
                *([SEQUENCE] if cuts else []),
                *(PLACE_COLUMNS if earlier is not None else []),
            ]
        )

        def rows() -> Iterator[pa.Table]:
            with file:
                for batch in file.iter_batches(batch_size=max_rows, row_groups=groups, columns=list(read)):
                    table = pa.Table.from_batches([batch])
                    if cuts:
                        numbers_N = table[SEQUENCE].to_numpy()
                        table = table.filter(pa.array((numbers_N > after) & (numbers_N <= (up_to or part.last))))
                    if earlier is not None:
                        first_N = first_of_each_place(pa.concat_tables([earlier, table.select(PLACE_COLUMNS)]))
                        table = table.filter(pa.array(first_N[earlier.num_rows :]))
                    if checks:
                        table = table.filter(pa.array(kept_rows(table, self.users)))
                    if part.digest and SEQUENCE in names:
                        number_N = pa.array(np.full(table.num_rows, part.first, dtype=np.int64))
                        table = table.append_column(SEQUENCE, number_N)
                    yield table.select(list(names))

        return rows()

    def _earlier_places(self, part: Part) -> pa.Table:
        """Places of earlier parts among the offsets of this one; as many rows as its own range has, at most."""
        found = [pa.schema([self.schema.field(name) for name in PLACE_COLUMNS]).empty_table()]
        low, high = min(r[0] for r in part.ranges.values()), max(r[1] for r in part.ranges.values())
        for other in self.manifest.parts:
            if other.last >= part.first or not other.overlaps(part):
                continue
            with opened(self.objects, other.file) as file:
                groups = [g for g in range(file.num_row_groups) if _may_hold(file, g, low, high)]
                for batch in file.iter_batches(batch_size=SEEN_ROWS, row_groups=groups, columns=list(PLACE_COLUMNS)):
                    table = pa.Table.from_batches([batch]).select(PLACE_COLUMNS)
                    offsets_N = table["offset"].to_numpy()
                    found.append(table.filter(pa.array((offsets_N >= low) & (offsets_N <= high))))
        return pa.concat_tables(found)

    @staticmethod
    def _append_name(table: pa.Table, digest: str) -> str:
        # One file, so that a scan gives the rows as they were appended: readers rely on the order of offsets.
        day = int(table["ingest_time_s"][0].as_py() // SECONDS_PER_DAY)
        return f"day={np.datetime64(day, 'D')}/{digest}.parquet"


def opened(objects: Objects, name: str, *, read_dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    """A file of the log; it can be read to its end though it be removed meanwhile.

    Raises:
        FileNotFoundError: it is gone.
        StoreError: it is damaged.
    """
    with objects.opened(name) as path:
        try:
            return pq.ParquetFile(path, read_dictionary=list(read_dictionary))
        except pa.ArrowInvalid as error:
            raise StoreError(f"{objects.place(name)} cannot be read ({error}); put it back from a backup") from None


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def joined_ranges(parts: Sequence[Part]) -> Ranges:
    """Lowest and highest offset per source of several parts."""
    joined: Ranges = {}
    for part in parts:
        for source, (low, high) in part.ranges.items():
            found = joined.get(source, (low, high))
            joined[source] = (min(low, found[0]), max(high, found[1]))
    return joined


def _ranges(table: pa.Table) -> dict[str, list[int]]:
    grouped = table.group_by(["cluster_id", "topic_id", "partition"]).aggregate([("offset", "min"), ("offset", "max")])
    return {
        f"{row['cluster_id']}/{row['topic_id']}/{row['partition']}": [row["offset_min"], row["offset_max"]]
        for row in grouped.to_pylist()
    }


def _column(file: pq.ParquetFile, group: int, name: str) -> pq.Statistics | None:
    metadata = file.metadata.row_group(group)
    column = metadata.column(file.schema_arrow.get_field_index(name))
    # Served lists nest, so Parquet's columns are more than Arrow's; those asked for stand before the nested ones.
    if column.path_in_schema != name:
        column = next(c for c in map(metadata.column, range(metadata.num_columns)) if c.path_in_schema == name)
    return column.statistics if column.statistics is not None and column.statistics.has_min_max else None


def _highest(file: pq.ParquetFile, group: int, name: str) -> int:
    statistics = _column(file, group, name)
    return int(statistics.max) if statistics else 1 << 62


def _may_hold(file: pq.ParquetFile, group: int, low: int, high: int) -> bool:
    statistics = _column(file, group, "offset")
    return statistics is None or bool(statistics.max >= low and statistics.min <= high)
