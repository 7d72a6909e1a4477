"""The overlay as one SQLite file beside the feature repository: other processes see a commit at once.

Synchronous OFF and WAL: a killed process loses nothing, a power loss may lose the newest entries, which costs freshness
only. What is removed is overwritten (secure_delete), and after forget() the WAL is emptied, too.

Rows stand in the order of (source, offset), which is nearly the order of arrival, so adding appends and pruning cuts
off the front.
"""

import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from mmrec.collecting.overlay import MAX_ENTRIES, MAX_READ, OverlayEntry, OverlayFigures, in_order, outlives
from mmrec.errors import StoreError
from mmrec.scoring.source import Source
from mmrec.stores.sqlite.transaction import transaction

FILE_NAME: Final = "overlay.db"
PRUNE_STEP: Final = 1_000
"""Offsets removed in one transaction: acknowledgements wait for no more than that."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sources (
  number INTEGER PRIMARY KEY, cluster_id TEXT NOT NULL, topic_id TEXT NOT NULL, partition INTEGER NOT NULL,
  UNIQUE (cluster_id, topic_id, partition));
CREATE TABLE IF NOT EXISTS entries (
  source INTEGER NOT NULL, offset INTEGER NOT NULL, user_key TEXT NOT NULL, behavior TEXT NOT NULL,
  item_id TEXT NOT NULL, event_id TEXT NOT NULL, event_time_s REAL NOT NULL, known_time_s REAL NOT NULL,
  ingest_time_s REAL NOT NULL, exempt INTEGER NOT NULL,
  PRIMARY KEY (source, offset, user_key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_of_user ON entries (user_key);
"""
_OF_USER: Final = """
SELECT e.user_key, s.cluster_id, s.topic_id, s.partition, e.offset, e.behavior, e.item_id, e.event_id,
       e.event_time_s, e.known_time_s, e.ingest_time_s, e.exempt, e.source
FROM entries e JOIN sources s ON s.number = e.source WHERE e.user_key = ?
"""
_NEWEST_OF_USER: Final = f"{_OF_USER} ORDER BY e.ingest_time_s DESC, e.offset DESC LIMIT {MAX_READ}"
Result = TypeVar("Result")


class SqliteOverlay:
    """One file for all processes of a deployment. Threads of one process take turns."""

    def __init__(self, folder: str, *, max_entries: int = MAX_ENTRIES, busy_timeout_s: float = 0.25) -> None:
        """Open nothing yet: the file is made at the first call, and looked for anew after a failure.

        Args:
            folder: Of the feature repository; it must exist when the first call comes.
            busy_timeout_s: How long a call waits for another process's transaction.
        """
        self._path = Path(folder) / FILE_NAME
        self._max_entries = max_entries
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._num_entries = 0
        self._num_dropped = 0
        self._wal_to_empty = False
        self._lock = threading.Lock()

    def add(self, entries: Sequence[OverlayEntry]) -> None:
        """One transaction; the oldest go where there are too many."""
        self._call("adding entries", lambda connection: self._add(connection, entries))

    def read(self, user_keys: Iterable[str]) -> dict[str, list[OverlayEntry]]:
        """Entries by user key, those of each key from one snapshot."""
        keys = list(dict.fromkeys(user_keys))

        def work(connection: sqlite3.Connection) -> dict[str, list[OverlayEntry]]:
            found: dict[str, list[OverlayEntry]] = {}
            for key in keys:
                rows = connection.execute(_NEWEST_OF_USER, (key,)).fetchall()
                if rows:
                    found[key] = in_order([_entry(row) for row in rows])
            return found

        return self._call("reading entries", work)

    def prune(self, marks: Mapping[Source, int]) -> int:
        """Remove what the marks have passed, in small transactions."""
        removed = 0
        for source, mark in marks.items():
            while True:
                step = self._call("pruning", partial(self._prune, source=source, mark=mark))
                if step is None:
                    break
                removed += step
        self._call("counting", self._recount)
        return removed

    def keep_topic(self, cluster_id: str, topic_id: str) -> int:
        """Remove entries of other topics."""

        def work(connection: sqlite3.Connection) -> int:
            gone = connection.execute(
                "SELECT number FROM sources WHERE (cluster_id, topic_id) <> (?, ?)", (cluster_id, topic_id)
            ).fetchall()
            if not gone:
                return 0
            with transaction(connection):
                removed = sum(connection.execute("DELETE FROM entries WHERE source = ?", row).rowcount for row in gone)
                connection.executemany("DELETE FROM sources WHERE number = ?", gone)
            self._num_entries -= removed
            return removed

        return self._call("dropping other topics", work)

    def forget(self, user_key: str, request: OverlayEntry | None = None, *, known_up_to_s: float = math.inf) -> int:
        """Remove a user's entries; the WAL, which still holds them, is emptied now or with the next pruning."""

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                rows = connection.execute(_OF_USER, (user_key,)).fetchall()
                gone = [row for row in rows if not outlives(_entry(row), request, known_up_to_s)]
                connection.executemany(
                    "DELETE FROM entries WHERE source = ? AND offset = ? AND user_key = ?",
                    [(row[12], row[4], user_key) for row in gone],
                )
            removed = len(gone)
            self._num_entries -= removed
            self._wal_to_empty = True
            self._empty_wal(connection)
            return removed

        return self._call("forgetting", work)

    def figures(self) -> OverlayFigures:
        """As of the last change."""
        return OverlayFigures(max(self._num_entries, 0), self._num_dropped)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._disconnect()

    def _call(self, what: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._lock:
            try:
                return work(self._connected())
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                raise StoreError(f"the overlay {self._path.name} failed {what}: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._path.stat().st_ino == self._inode:
            return self._connection
        self._disconnect()
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute("PRAGMA cache_size=-16384")
            connection.executescript(_SCHEMA)
            self._recount(connection)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection, self._inode = connection, self._path.stat().st_ino
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _add(self, connection: sqlite3.Connection, entries: Sequence[OverlayEntry]) -> None:
        with transaction(connection):
            # Asked every time: another process may have dropped a topic, and numbers are given again.
            numbers = {source: _number(connection, source) for source in {entry.source for entry in entries}}
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(numbers[e.source], e.offset, e.user_key, *e[3:]) for e in entries],
            )
            self._num_entries += len(entries)
            over = self._num_entries - self._max_entries
            if over > 0:
                over = self._recount(connection) - self._max_entries
            if over > 0:
                # A little more than needed, so that the scan for the oldest comes seldom.
                number = over + self._max_entries // 16
                removed = connection.execute(
                    "DELETE FROM entries WHERE (source, offset, user_key) IN "
                    "(SELECT source, offset, user_key FROM entries ORDER BY ingest_time_s, offset LIMIT ?)",
                    (number,),
                ).rowcount
                self._num_entries -= removed
                self._num_dropped += removed

    def _prune(self, connection: sqlite3.Connection, source: Source, mark: int) -> int | None:
        """One step of a source; None where nothing is left to do."""
        place = (source.cluster_id, source.topic_id, source.partition)
        row = connection.execute(
            "SELECT number FROM sources WHERE (cluster_id, topic_id, partition) = (?, ?, ?)", place
        ).fetchone()
        if row is None:
            return None
        lowest = connection.execute("SELECT min(offset) FROM entries WHERE source = ?", row).fetchone()[0]
        if lowest is None or lowest > mark:
            return None
        upto = min(mark, lowest + PRUNE_STEP - 1)
        with transaction(connection):
            removed = connection.execute(
                "DELETE FROM entries WHERE source = ? AND offset <= ?", (row[0], upto)
            ).rowcount
        self._num_entries -= removed
        return removed

    def _recount(self, connection: sqlite3.Connection) -> int:
        self._num_entries = int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
        if self._wal_to_empty:
            self._empty_wal(connection)
        return self._num_entries

    def _empty_wal(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            return
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self._wal_to_empty = bool(busy)


def _entry(row: tuple[Any, ...]) -> OverlayEntry:
    return OverlayEntry._make((row[0], Source(row[1], row[2], row[3]), *row[4:11], bool(row[11])))


def _number(connection: sqlite3.Connection, source: Source) -> int:
    place = (source.cluster_id, source.topic_id, source.partition)
    connection.execute("INSERT OR IGNORE INTO sources (cluster_id, topic_id, partition) VALUES (?, ?, ?)", place)
    row = connection.execute(
        "SELECT number FROM sources WHERE (cluster_id, topic_id, partition) = (?, ?, ?)", place
    ).fetchone()
    return int(row[0])
