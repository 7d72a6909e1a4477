"""A user's bytes in files: looking for them in every file of a folder, and removing their rows from Parquet and SQLite.

Parquet files are searched as raw bytes and in their decoded text and binary columns, since pages are compressed. Other
compressed or packed data (a profile) is checked by its store, not by its bytes. A hit may be a longer id that contains
this one; no hit means that the id is absent from everything that could be read. Files that could not be read are named.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmrec.disk.files import replacing
from mmrec.disk.objects import Objects
from mmrec.errors import StoreError
from mmrec.events.columns import ANONYMOUS_PREFIX

CHUNK_BYTES: Final = 8 << 20
BATCH_ROWS: Final = 65_536
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_UNREADABLE: Final = (pa.ArrowException, OSError)
KEY_COLUMNS: Final = ("user_key", "user_id")
"""Columns of a Parquet file that name the user of a row."""
TIME_COLUMNS: Final = ("known_time_s", "event_timestamp")
"""Columns that say when a row was known, or as of when it describes its user: epoch seconds, or a timestamp."""
NO_INSTANTS: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Result of searching a folder."""

    num_files: int
    num_bytes: int
    found: tuple[str, ...]
    """Files, relative to the folder, that hold one of the ids."""
    unread: tuple[str, ...]
    """Files and folders, relative to the folder, that could not be read; what they hold is not known."""


def scan_folder(folder: Path, user_keys: Collection[str], *, leave_out: Collection[Path] = ()) -> Scan:
    """Search every file of a folder for the ids of profile keys; an absent folder has no files.

    Args:
        leave_out: Files that are known to hold them.
    """
    needles = [key.removeprefix(ANONYMOUS_PREFIX).encode() for key in user_keys]
    num_files = num_bytes = 0
    found, unread = list[str](), list[str]()
    left_out = {path.resolve() for path in leave_out}

    def unlisted(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unread.append(os.path.relpath(error.filename, folder))

    paths = (Path(place) / name for place, _, names in os.walk(folder, onerror=unlisted) for name in names)
    for path in sorted(paths):
        try:
            if path.is_symlink() or not path.is_file() or (left_out and path.resolve() in left_out):
                continue
            num_files += 1
            num_bytes += path.stat().st_size
            if _holds(path, needles):
                found.append(str(path.relative_to(folder)))
        except FileNotFoundError:  # compacted meanwhile; the file that replaced it is searched, too
            continue
        except _UNREADABLE:
            unread.append(str(path.relative_to(folder)))
    return Scan(num_files=num_files, num_bytes=num_bytes, found=tuple(found), unread=tuple(unread))


def scan_objects(objects: Objects, user_keys: Collection[str], *, leave_out: str = "") -> Scan:
    """The same of objects that are in no folder of this machine; each is copied here to be read.

    Args:
        leave_out: Folder of those that are known to hold them.
    """
    needles = [key.removeprefix(ANONYMOUS_PREFIX).encode() for key in user_keys]
    num_files = num_bytes = 0
    found, unread = list[str](), list[str]()
    for entry in objects.entries():
        if leave_out and entry.name.startswith(f"{leave_out}/"):
            continue
        try:
            with objects.opened(entry.name) as path:
                num_files, num_bytes = num_files + 1, num_bytes + entry.num_bytes
                if _holds(path, needles):
                    found.append(entry.name)
        except FileNotFoundError:  # compacted meanwhile; the file that replaced it is searched, too
            continue
        except (*_UNREADABLE, StoreError):
            unread.append(entry.name)
    return Scan(num_files=num_files, num_bytes=num_bytes, found=tuple(found), unread=tuple(unread))


@dataclass(frozen=True, kw_only=True)
class RowsRemoved:
    """Rows that were removed from the Parquet files of a folder."""

    num_rows: int
    unread: tuple[str, ...]
    """Files, relative to the folder, that could not be read or rewritten; they stay as they are."""


def remove_from_parquet(
    folder: Path, user_keys: Collection[str], *, known_up_to_s: Mapping[str, float] = NO_INSTANTS
) -> RowsRemoved:
    """Rewrite every Parquet file that has rows of these users, without these rows.

    A reader sees the old or the new file. Files without one of KEY_COLUMNS stay as they are.

    Args:
        known_up_to_s: Of some users, later rows stay, in files that have one of TIME_COLUMNS.
    """
    num_rows, unread = 0, []
    keys = pa.array(sorted(user_keys), pa.string())
    for path in sorted(folder.rglob("*.parquet")):
        try:
            num_rows += _write_without(path, keys, known_up_to_s)
        except FileNotFoundError:
            continue
        except _UNREADABLE:
            unread.append(str(path.relative_to(folder)))
    return RowsRemoved(num_rows=num_rows, unread=tuple(unread))


def _write_without(path: Path, keys: pa.Array, known_up_to_s: Mapping[str, float]) -> int:
    """Replace a file by one without these users' rows; returns how many rows were removed."""
    names = pq.read_schema(path).names
    columns = [name for kind in (KEY_COLUMNS, TIME_COLUMNS) for name in kind if name in names]
    if not columns or columns[0] not in KEY_COLUMNS:
        return 0

    def going(rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
        goes = _is_in(rows[columns[0]], keys)
        times = [name for name in columns if name in TIME_COLUMNS]
        for key, until_s in known_up_to_s.items() if times else ():
            is_later = pc.fill_null(pc.greater(_seconds(rows[times[0]]), until_s), False)
            goes = pc.and_not(goes, pc.and_(is_later, _is_in(rows[columns[0]], pa.array([key], pa.string()))))
        return goes

    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
        num_rows: int = sum(pc.sum(going(batch)).as_py() or 0 for batch in batches)
    if not num_rows:
        return 0
    with (
        replacing(path) as fresh,
        pq.ParquetFile(path) as file,
        pq.ParquetWriter(fresh, file.schema_arrow, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            writer.write_table(table.filter(pc.invert(going(table))))
    return num_rows


def rows_of_users(folder: Path, user_keys: Collection[str]) -> Iterator[tuple[Path, pa.Table]]:
    """Every row of these users in the Parquet files of a folder, file by file.

    Raises:
        StoreError: a file cannot be read.
    """
    keys = pa.array(sorted(user_keys), pa.string())
    for path in sorted(folder.rglob("*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                names = [name for name in KEY_COLUMNS if name in file.schema_arrow.names]
                for batch in file.iter_batches(batch_size=BATCH_ROWS) if names else ():
                    table = pa.Table.from_batches([batch])
                    if (mine := table.filter(_is_in(table[names[0]], keys))).num_rows:
                        yield path, mine
        except _UNREADABLE as error:
            raise StoreError(f"{path} cannot be read: {error}; restore or remove it") from error


def vacuum_databases(folder: Path, names: Sequence[str]) -> list[str]:
    """Rewrite the SQLite databases among these files, so that no byte of a removed row is left; returns their names.

    Raises:
        StoreError: one stayed busy for a minute.
    """
    databases = {name.removesuffix("-wal").removesuffix("-shm") for name in names}
    done = []
    for name in sorted(databases):
        path = folder / name
        if not path.is_file() or not _is_database(path):
            continue
        try:
            with closing(sqlite3.connect(path, timeout=60.0, isolation_level=None)) as connection:
                connection.execute("PRAGMA secure_delete=ON").fetchall()
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{path} could not be vacuumed: {error}; run the command again") from error
        done.append(name)
    return done


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def _is_in(column: pa.Array | pa.ChunkedArray, keys: pa.Array) -> pa.Array | pa.ChunkedArray:
    return pc.is_in(column.cast(pa.string()), value_set=keys)


def _seconds(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Epoch seconds, float64; a timestamp without a zone is one of UTC."""
    if not pa.types.is_timestamp(times.type):
        return times.cast(pa.float64())
    nanoseconds = times.cast(pa.timestamp("ns", tz=times.type.tz)).cast(pa.int64())
    return pc.divide(nanoseconds.cast(pa.float64(), safe=False), 1e9)


def _holds(path: Path, needles: Sequence[bytes]) -> bool:
    overlap = max(map(len, needles), default=1) - 1
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(CHUNK_BYTES):
            data = before + chunk
            if any(needle in data for needle in needles):
                return True
            before = data[-overlap:] if overlap else b""
    return path.suffix == ".parquet" and _holds_decoded(path, needles)


def _holds_decoded(path: Path, needles: Sequence[bytes]) -> bool:
    with pq.ParquetFile(path) as file:
        names = [field.name for field in file.schema_arrow if _is_text(field.type)]
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names) if names else ():
            for column in batch.columns:
                values = column.unique().cast(pa.binary()) if not pa.types.is_binary(column.type) else column
                if any(pc.any(pc.match_substring(values, needle)).as_py() for needle in needles):
                    return True
    return False


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind))
