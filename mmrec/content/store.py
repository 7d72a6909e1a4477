"""Content embeddings on disk: the current matrix of the catalogue, and the cache of what encoders made.

    <folder>/matrix.sqlite      every item's newest row: one vector for each modality it has
    <cache folder>/...          vectors by content (mmrec.content.vector_cache); shared between runs and deployments

A put is one transaction, so readers see all of it or nothing, and its cost does not grow with the catalogue. It waits
for other puts alone: writes go to a log beside the file (SQLite's write-ahead log), so whoever reads the whole matrix,
a backup or a training, keeps no new item waiting. That log is shared through memory: the processes run on one machine.
The file is made whole and then given its name: one that is there and does not hold a matrix is damaged and ends what
needs it, because the feed's mark is past its items, which would stay without embeddings.
"""

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from mmrec.content.matrix import ContentMatrix, FloatArray
from mmrec.content.vector_cache import PAGE_BYTES, WRITE_AHEAD, VectorCache
from mmrec.disk.kept_connections import KeptConnections
from mmrec.errors import StoreError

MATRIX: Final = "matrix.sqlite"
"""In the store's folder."""
CATALOG_MARK: Final = "catalog_mark.json"
"""In the store's folder: how far the catalogue's topic was encoded into it; without it the next run begins anew."""
_LOGS: Final = ("-wal", "-shm")
"""Endings of the names of what SQLite keeps beside the matrix; they stay where a process is killed."""
_WAIT_S: Final = 60.0
"""For another process's transaction."""
_LAYOUT: Final = f"""
pragma page_size = {PAGE_BYTES};
{WRITE_AHEAD};
create table items (item_id text primary key) without rowid;
create table encoders (modality text primary key, encoder text not null, fingerprint text not null, width integer);
create table vectors (
    item_id text, modality text, encoder text not null, fingerprint text not null, vector blob not null,
    primary key (item_id, modality)
);
"""


class ContentStore:
    """Cache and matrix of one deployment; any number of processes and threads may share it.

    Args:
        folder: Where the matrix lives.
        cache_folder: Where vectors by content hash live; inside `folder` unless it is shared between runs.
        keeps_open: Both stay open between uses: for a process that writes many times a second. Damage that is done to
            an open file may be found late.
    """

    def __init__(self, folder: str | Path, *, cache_folder: str | Path | None = None, keeps_open: bool = False) -> None:
        self._folder = Path(folder)
        self.cache = VectorCache(Path(cache_folder or self._folder / "cache"), keeps_open=keeps_open)
        self._connections = KeptConnections(_connected, keeps=keeps_open)

    def put(self, matrix: ContentMatrix, *, removed: Sequence[str] = ()) -> None:
        """Insert or replace rows, and drop `removed` items.

        Raises:
            StoreError: the file is damaged or cannot be written; nothing changed.
        """
        if not len(matrix) and not removed:
            return
        self._make()
        with self._open(WRITE_AHEAD, "begin immediate") as database:
            gone = [(item_id,) for item_id in [*removed, *matrix.item_ids]]
            database.executemany("delete from vectors where item_id = ?", gone)
            database.executemany("delete from items where item_id = ?", [(item_id,) for item_id in removed])
            database.executemany("insert or ignore into items values (?)", [(i,) for i in matrix.item_ids])
            for modality in matrix.modalities:
                values, made = matrix.values[modality], _maker(matrix, modality)
                database.execute("insert or replace into encoders values (?, ?, ?, ?)", (*made, values.shape[1]))
                rows = np.flatnonzero(matrix.present[modality]).tolist()
                database.executemany(
                    "insert or replace into vectors values (?, ?, ?, ?, ?)",
                    ((matrix.item_ids[row], *made, values[row].astype("<f4").tobytes()) for row in rows),
                )

    def load_matrix(self, wanted: Sequence[str] | None = None) -> ContentMatrix:
        """Current rows, items in ascending order; a modality's encoder is that of the newest put.

        Rows that another encoder or fingerprint made are missing in that modality: they cannot be compared.

        Args:
            wanted: Ids of the items to read; those the store does not have are left out. None for all.

        Raises:
            StoreError: the file is damaged.
        """
        values, present, made = {}, {}, {}
        item_ids: tuple[str, ...] = ()
        if not self._path.exists():
            return ContentMatrix(item_ids=(), values={}, present={}, encoders={})
        among = "" if wanted is None else " and item_id in (select value from json_each(?))"
        asked = () if wanted is None else (json.dumps(list(wanted)),)
        with self._open() as database:
            query = f"select item_id from items where true{among} order by item_id"  # noqa: S608
            item_ids = tuple(row[0] for row in database.execute(query, asked))
            row_of = {item_id: row for row, item_id in enumerate(item_ids)}
            for modality, encoder, fingerprint, width in database.execute("select * from encoders").fetchall():
                block = np.zeros((len(item_ids), width), dtype=np.float32)
                flags = np.zeros(len(item_ids), dtype=np.bool_)
                query = "select item_id, vector from vectors where modality = ? and encoder = ? and fingerprint = ?"
                for item_id, vector in database.execute(query + among, (modality, encoder, fingerprint, *asked)):
                    block[row_of[item_id]], flags[row_of[item_id]] = np.frombuffer(vector, dtype="<f4"), True
                values[modality], present[modality], made[modality] = block, flags, (encoder, fingerprint)
        return ContentMatrix(
            item_ids=item_ids,
            values=values,
            present=present,
            encoders={modality: encoder for modality, (encoder, _) in made.items()},
            fingerprints={modality: fingerprint for modality, (_, fingerprint) in made.items() if fingerprint},
        )

    def item_ids(self) -> set[str]:
        """Ids of the matrix's items, without reading a vector.

        Raises:
            StoreError: the file is damaged.
        """
        if not self._path.exists():
            return set()
        with self._open() as database:
            return {row[0] for row in database.execute("select item_id from items")}

    def num_items(self) -> int:
        """How many items the matrix has, without reading their ids; StoreError as item_ids()."""
        if not self._path.exists():
            return 0
        with self._open() as database:
            return int(database.execute("select count(*) from items").fetchone()[0])

    def coverage(self) -> dict[str, int]:
        """Modality -> items that have a vector of it; StoreError as item_ids()."""
        if not self._path.exists():
            return {}
        with self._open() as database:
            return dict(database.execute("select modality, count(*) from vectors group by modality"))

    def lookup(self, fingerprint: str, digests: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """See VectorCache."""
        return self.cache.lookup(fingerprint, digests)

    def remember(self, fingerprint: str, digests: Sequence[bytes], values_ND: FloatArray) -> None:
        """See VectorCache."""
        self.cache.remember(fingerprint, digests, values_ND)

    @property
    def _path(self) -> Path:
        return self._folder / MATRIX

    def _make(self) -> None:
        """An empty matrix, unless there is one."""
        if self._path.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f".{MATRIX}.{uuid.uuid4().hex}.tmp")
        try:
            with closing(sqlite3.connect(beside)) as database:
                database.executescript(_LAYOUT)
            with self._alone():
                if self._path.exists():  # another process was first
                    return
                for log in _LOGS:  # of a matrix that was removed; it would be read into this one
                    self._path.with_name(f"{MATRIX}{log}").unlink(missing_ok=True)
                with suppress(FileExistsError):
                    os.link(beside, self._path)
        finally:
            beside.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time; of the folder, so that no file stays behind."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _open(self, *statements: str) -> Iterator[sqlite3.Connection]:
        """One transaction, begun by `statements`, else for reading; what it reads is of one instant."""
        try:
            with self._connections.connection(self._path) as database, database:
                for statement in statements or ("begin",):
                    database.execute(statement)
                yield database
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._path} cannot be used ({type(error).__name__}: {error}); where it is damaged, remove it, "
                f"{MATRIX}-wal and {MATRIX}-shm and put it back from a backup, or remove {self._folder / CATALOG_MARK} "
                "with them and run jobs.encode_items, which then encodes the whole catalogue"
            ) from error


def _connected(path: Path) -> sqlite3.Connection:
    # rw: a file that went away meanwhile must not come back empty.
    where = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(where, uri=True, timeout=_WAIT_S, check_same_thread=False)


def _maker(matrix: ContentMatrix, modality: str) -> tuple[str, str, str]:
    return modality, matrix.encoders[modality], matrix.fingerprints.get(modality, "")
