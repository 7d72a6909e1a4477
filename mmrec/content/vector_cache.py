"""What encoders made of payloads, kept by content: one SQLite file for each fingerprint of an encoder.

    <cache folder>/<fingerprint>.sqlite     sha256 of a payload (32 bytes) -> vector (float32, little-endian)

A lookup reads what it is asked for, so memory does not grow with the catalogue. Any number of processes of one machine
may write: SQLite's lock keeps one after the other, and a batch is there as a whole or not at all; a lookup keeps nobody
waiting. What the cache holds can be encoded again, so a damaged file is replaced by an empty one.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.disk.kept_connections import KeptConnections
from mmrec.errors import StoreError
from mmrec.telemetry.logs import get_logger

FloatArray = npt.NDArray[np.float32]
log = get_logger(__name__)
PAGE_BYTES: Final = 16_384
"""A vector of 1,280 numbers fills a third; at SQLite's 4,096 it would lie on two pages of overflow."""
WRITE_AHEAD: Final = "pragma journal_mode = wal"
"""Of a file that is written while others read it; kept in the file, and once for files that are older."""
_AT_ONCE: Final = 500
"""Digests of one query; SQLite's limit is 999 in old builds."""
_WAIT_S: Final = 60.0
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LAYOUT: Final = "create table if not exists vectors (digest blob primary key, vector blob not null)"


class VectorCache:
    """The cache of one folder, which runs and deployments may share.

    Args:
        folder: Of the files; made when it is needed.
        keeps_open: Files stay open between uses: for a process that asks many times a second.
    """

    def __init__(self, folder: Path, *, keeps_open: bool = False) -> None:
        self._folder = folder
        self._connections = KeptConnections(_connected, keeps=keeps_open)

    def lookup(self, fingerprint: str, digests: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Vectors, shape (D,), of those digests that an encoder has seen before.

        Raises:
            StoreError: the file cannot be read.
        """
        found: dict[bytes, FloatArray] = {}
        if not digests or not self._path(fingerprint).is_file():
            return found
        with self._open(fingerprint) as database:
            for start in range(0, len(digests), _AT_ONCE):
                asked = digests[start : start + _AT_ONCE]
                marks = ",".join("?" * len(asked))
                rows = database.execute(f"select digest, vector from vectors where digest in ({marks})", asked)  # noqa: S608
                found.update((digest, np.frombuffer(vector, dtype="<f4")) for digest, vector in rows)
        return found

    def remember(self, fingerprint: str, digests: Sequence[bytes], values_ND: FloatArray) -> None:
        """Add vectors; row n belongs to digests[n]. Of several writers of one digest the last counts.

        Raises:
            StoreError: the file cannot be written.
        """
        if not digests:
            return
        rows = zip(digests, map(bytes, np.ascontiguousarray(values_ND, dtype="<f4")), strict=True)
        with self._open(fingerprint) as database:
            database.execute(WRITE_AHEAD)
            database.executemany("insert or replace into vectors values (?, ?)", rows)

    def width(self, fingerprint: str) -> int:
        """D of an encoder's vectors; 0 where there is none yet."""
        if not self._path(fingerprint).is_file():
            return 0
        with self._open(fingerprint) as database:
            row = database.execute("select length(vector) / 4 from vectors limit 1").fetchone()
        return int(row[0]) if row else 0

    def _path(self, fingerprint: str) -> Path:
        return self._folder / f"{fingerprint}.sqlite"

    @contextmanager
    def _open(self, fingerprint: str) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        path = self._path(fingerprint)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._connections.connection(path) as database, database:
                yield database
        except sqlite3.Error as error:
            raise StoreError(f"the cache of vectors {path} failed: {error}; it may be removed at any time") from error


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
    try:
        database.execute(f"pragma page_size = {PAGE_BYTES}")
        database.execute("pragma synchronous = normal")
        database.execute(_LAYOUT)
    except sqlite3.DatabaseError as error:
        database.close()
        if error.sqlite_errorcode & 0xFF not in _DAMAGED:
            raise
        log.warning("cache_damaged", path=str(path), detail=str(error))
        for ending in ("-wal", "-shm", ""):  # the log first: it would be read into the next file
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        return _connected(path)
    return database
