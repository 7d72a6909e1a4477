"""Compaction, retention and removal of users for one table of the event log, while it is appended to and read.

Appends not yet compacted are written into one file per ingest day. It is joined with the file before it when that is
not larger, so a row is rewritten log2(appends) times at most; all files of a day are joined once a later day has begun.
Files of which age has left nothing but logins are joined in the same way, whatever their days.
An append belongs to the newest day that any append up to it began with, so days follow each other as appends do.
Every step replaces the manifest's state as a whole; a crash before or after leaves a log with the same rows, and files
that nothing names are removed by the next run. Memory: ROW_GROUP rows, and the manifest.
A new entry in the registry of forgotten users costs one pass over the column of user keys.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.disk.objects import Entry
from mmrec.errors import StoreError
from mmrec.events.forgotten_rows import (
    ageing_rows,
    expired_rows,
    filter_columns,
    first_day_kept,
    ingest_days,
    kept_rows,
)
from mmrec.events.log import TableTended
from mmrec.stores.log.manifest import MAX_PART_ROWS, NEVER_DUE, STATE, Manifest, Part, StateReplacedError
from mmrec.stores.log.table import APPEND_LOCK, LogTable, joined_ranges, opened

ROW_GROUP: Final = 131_072
TEND_LOCK: Final = "tend.lock"
LEFT_S: Final = 6 * 3_600.0
"""A file that nothing names counts as left by a crash after this time, where nobody can be kept out: a write or a
compaction may take so long. By the clock of the store: the newest object's."""
_TRIES: Final = 5
MAX_STEP_APPENDS: Final = 4_096
"""Appends compacted before the state is replaced."""


def tend_table(log: LogTable, *, keep_s: float, min_appends: int) -> TableTended:
    """Compact, drop rows of ingest days that are too old, and remove forgotten users; one at a time.

    Args:
        keep_s: Rows whose ingest day is older than the newest ingest time minus this go; 0 or inf keeps all.
        min_appends: Fewer new appends than this stay as they are.

    Raises:
        StateReplacedError: where nobody can be kept out, others tend all the time; nothing is lost.
    """
    with log.objects.alone(TEND_LOCK):
        for _ in range(_TRIES - 1):
            with suppress(StateReplacedError, FileNotFoundError):  # another tend() removes what it has compacted
                return _tended(log, keep_s, min_appends)
        return _tended(log, keep_s, min_appends)


def _tended(log: LogTable, keep_s: float, min_appends: int) -> TableTended:
    _sweep(log)
    return _Tender(log, keep_s).run(min_appends)


@dataclass
class _Tender:
    log: LogTable
    keep_s: float
    num_appends: int = 0
    num_written: int = 0
    num_expired: int = 0
    num_forgotten: int = 0

    def run(self, min_appends: int) -> TableTended:
        manifest = self.log.manifest
        manifest.refresh()
        entries = self.log.users.num_forgotten()
        # Rows of forgotten users may stand in the newest appends, too: then none of them waits.
        enough = len(manifest.tail) >= (1 if entries else min_appends)
        wanted = manifest.last if enough else manifest.compacted_to
        while manifest.compacted_to < wanted:
            self._compact(manifest.tail[: min(MAX_STEP_APPENDS, wanted - manifest.compacted_to)], entries)
        for part in list(manifest.compacted):
            if self._must_rewrite(part, entries):
                self._replace([part], [self._write([part], part.day, entries)], manifest.compacted_to)
        for group in group_lasting(manifest.compacted):
            self._replace(group.parts, [self._write(group.parts, group.day, entries)], manifest.compacted_to)
        unchecked = any(part.num_forgotten < entries for part in manifest.compacted)
        if unchecked:
            checked = [replace(part, num_forgotten=max(part.num_forgotten, entries)) for part in manifest.compacted]
            self._publish(checked, manifest.compacted_to, manifest.newest_ingest_s)
        return TableTended(
            num_appends=self.num_appends,
            num_rows_written=self.num_written,
            num_expired=self.num_expired,
            num_forgotten=self.num_forgotten,
            num_files=len(manifest.compacted),
            num_waiting=len(manifest.tail),
        )

    def _compact(self, tail: Sequence[Part], entries: int) -> None:
        """Move the first appends that are not compacted into files of their days."""
        manifest = self.log.manifest
        changed = [group for group in group_parts(manifest.compacted, tail) if not group.stays]
        gone = [part for group in changed for part in group.parts]
        made = [self._write(group.parts, group.day, entries) for group in changed]
        self.num_appends += len(tail)
        self._replace(gone, made, tail[-1].last, max(part.newest_ingest_s for part in tail))

    def _replace(
        self, gone: Sequence[Part], made: Sequence[Part | None], compacted_to: int, newest_s: float = 0.0
    ) -> None:
        manifest = self.log.manifest
        removed = {part.first for part in gone}
        kept = [part for part in manifest.compacted if part.first not in removed]
        parts = sorted([*kept, *(part for part in made if part is not None)], key=lambda part: part.first)
        self._publish(parts, compacted_to, max(manifest.newest_ingest_s, newest_s))
        for part in gone:
            if part.digest:
                manifest.objects.remove(manifest.entry_name(part.first))
        for part in gone:
            self.log.objects.remove(part.file)

    def _publish(self, parts: list[Part], compacted_to: int, newest_s: float) -> None:
        self.log.manifest.publish(parts, compacted_to=compacted_to, newest_ingest_s=newest_s)

    def _must_rewrite(self, part: Part, entries: int) -> bool:
        if part.oldest_day < first_day_kept(self.log.manifest.newest_ingest_s, self.keep_s):
            return True
        if part.num_forgotten >= entries:
            return False
        names = filter_columns(self.log.schema)
        with opened(self.log.objects, part.file, read_dictionary=("user_key",)) as file:
            return any(
                not kept_rows(pa.Table.from_batches([batch]), self.log.users).all()
                for batch in file.iter_batches(batch_size=ROW_GROUP, columns=names)
            )

    def _write(self, parts: Sequence[Part], day: str, entries: int) -> Part | None:
        """One file with the rows of `parts` that stay; None where no row does."""
        first, last = parts[0].first, parts[-1].last
        # A name that no other run has: where nobody is kept out, the run that comes second must not replace the file.
        name = f"day={day}/part-{first:012d}-{last:012d}-{uuid.uuid4().hex[:16]}.parquet"
        schema = self.log.numbered
        num_rows, oldest_day = 0, NEVER_DUE
        with self.log.objects.writing(name) as path:
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for table in _grouped(self._rows(parts, schema), ROW_GROUP):
                    writer.write_table(table, row_group_size=ROW_GROUP)
                    num_rows += table.num_rows
                    ageing = table.filter(pa.array(ageing_rows(table)))
                    oldest_day = min(oldest_day, int(ingest_days(ageing).min(initial=NEVER_DUE)))
            if num_rows == 0:
                path.unlink()
        self.num_written += num_rows
        if num_rows == 0:
            return None
        newest_s = max(part.newest_ingest_s for part in parts)
        return Part(
            first=first,
            last=last,
            file=name,
            num_rows=num_rows,
            ranges=joined_ranges(parts),
            oldest_day=oldest_day,
            newest_ingest_s=newest_s,
            num_forgotten=entries,
        )

    def _rows(self, parts: Sequence[Part], schema: pa.Schema) -> Iterator[pa.Table]:
        limit = first_day_kept(self.log.manifest.newest_ingest_s, self.keep_s)
        for part in parts:
            num_given = 0
            for table in self.log.open_rows(part, schema.names, max_rows=ROW_GROUP):
                num_given += table.num_rows
                expired_N = expired_rows(table, limit)
                self.num_expired += int(np.sum(expired_N))
                yield table.filter(pa.array(~expired_N)).cast(schema)
            if not part.reaches_back:  # otherwise rows are missing that stand in earlier appends
                self.num_forgotten += part.num_rows - num_given


@dataclass(kw_only=True)
class Group:
    """Parts that go into one file."""

    day: str
    parts: list[Part]

    @property
    def stays(self) -> bool:
        """Whether it is one compacted part, which stays as it is."""
        return len(self.parts) == 1 and not self.parts[0].digest

    @property
    def num_rows(self) -> int:
        """Rows of all parts, before any is removed."""
        return sum(part.num_rows for part in self.parts)


def group_parts(compacted: Sequence[Part], tail: Sequence[Part]) -> list[Group]:
    """Which parts go into one file, in order.

    Args:
        tail: Appends that come next.
    """
    groups = [Group(day=part.day, parts=[part]) for part in compacted]
    for part in tail:
        newest = groups[-1] if groups else Group(day=part.day, parts=[])
        day = max(part.day, newest.day)
        fits = newest.num_rows + part.num_rows <= MAX_PART_ROWS
        if newest.parts and newest.parts[-1].digest and newest.day == day and fits:
            newest.parts.append(part)
            continue
        _join(groups, closed=newest.day < day)
        groups.append(Group(day=day, parts=[part]))
    _join(groups, closed=False)
    return groups


def group_lasting(compacted: Sequence[Part]) -> list[Group]:
    """The oldest parts, as far as they hold nothing that goes with age: those that go into one file, two or more."""
    groups: list[Group] = []
    for part in takewhile(lambda part: part.oldest_day == NEVER_DUE, compacted):
        groups.append(Group(day=part.day, parts=[part]))
        while len(groups) > 1 and groups[-2].num_rows <= groups[-1].num_rows <= MAX_PART_ROWS - groups[-2].num_rows:
            groups[-2:] = [Group(day=part.day, parts=[*groups[-2].parts, *groups[-1].parts])]
    return [group for group in groups if len(group.parts) > 1]


def _join(groups: list[Group], *, closed: bool) -> None:
    """Join the newest groups of one day: all of a closed day, else those that are not larger than what follows them."""
    while len(groups) > 1 and groups[-2].day == groups[-1].day:
        before, after = groups[-2], groups[-1]
        if before.num_rows + after.num_rows > MAX_PART_ROWS or (before.num_rows > after.num_rows and not closed):
            return
        groups[-2:] = [Group(day=before.day, parts=[*before.parts, *after.parts])]


def _grouped(tables: Iterator[pa.Table], num_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `num_rows` or a little more; no empty one."""
    waiting: list[pa.Table] = []
    for table in tables:
        if table.num_rows:
            waiting.append(table)
        if _num_rows(waiting) >= num_rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _num_rows(tables: Sequence[pa.Table]) -> int:
    return sum(table.num_rows for table in tables)


def _sweep(log: LogTable) -> None:
    """Remove what a crash left: files that no part names and entries of appends that are compacted.

    Where nobody can be kept out, a file that nothing names may be on its way. What is old is then taken for left; the
    state is replaced first, so that a compaction that took longer cannot name its file any more, and who appends looks
    after its file once it is named.
    """
    with log.objects.alone(APPEND_LOCK):
        manifest = log.manifest
        entries = log.objects.entries()
        manifest.refresh()  # only then: it must know of every append that was listed
        _check_whole(log, [entry.name for entry in entries])
        left_before_s = max((entry.written_s for entry in entries), default=0.0)
        if not log.objects.keeps_out:
            left_before_s -= LEFT_S
        left = _left([entry for entry in entries if entry.written_s <= left_before_s], manifest)
        if left and not log.objects.keeps_out:
            manifest.publish_again()
            left = _left(left, manifest)  # what was named since the listing stays
        for entry in left:
            log.objects.remove(entry.name)


def _left(entries: Sequence[Entry], manifest: Manifest) -> list[Entry]:
    named = {part.file for part in manifest.parts}
    return [entry for entry in entries if _is_left(entry, named, manifest)]


def _is_left(entry: Entry, named: set[str], manifest: Manifest) -> bool:
    folder, _, name = entry.name.rpartition("/")
    if folder != "manifest":
        return folder.startswith("day=") and entry.name not in named
    number = name.removesuffix(".json")
    return name.endswith(".tmp") or (number.isdecimal() and int(number) <= manifest.compacted_to)


def _check_whole(log: LogTable, names: Sequence[str]) -> None:
    """StoreError where the state or an entry is gone: rows behind it would pass for what a crash left."""
    manifest = log.manifest
    entries = (name.removeprefix("manifest/").removesuffix(".json") for name in names if name.startswith("manifest/"))
    newest = max((int(number) for number in entries if number.isdecimal()), default=0)
    compacted = next((name for name in names if name.startswith("day=") and "/part-" in name), "")
    if not manifest.last and compacted.endswith(".parquet"):
        gone = f"{manifest.objects.place(STATE)} is gone, and {log.objects.place(compacted)} is there"
    elif newest > manifest.last:
        gone = f"{manifest.objects.place(manifest.entry_name(manifest.last + 1))} is gone, and append {newest} is there"
    else:
        return
    raise StoreError(f"{gone}; the log's rows stay as they are: put the manifest back from a backup")
