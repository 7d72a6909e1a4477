"""Rows of a profile view in Feast's SQLite file, read and written below Feast: the same table, many times as fast.

Feast sends one statement per value. Here a batch of profiles is one prepared statement in one transaction. What Feast
reads stays what it is (tests/contract/test_feature_store.py).

- WAL with synchronous=NORMAL: the last transactions may be gone after a power loss, never half of one. The event log
  was made durable before each of them, so the next start applies from the log what is missing (mmrec/stream/step.py).
- secure_delete: bytes that are deleted or replaced are overwritten in the file; delete() empties the WAL, too.
- The page cache holds the upper levels of the indexes and what a transaction changes, so that it spills nothing.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final

from mmrec.stores.feast.insides import bytes_value, entity_key, key_prefix, key_start, value_message
from mmrec.stores.sqlite.transaction import transaction
from mmrec.wire.portions import portions

READ_CHUNK: Final = 1_000
"""Keys per SELECT."""
_PRAGMAS: Final = (
    "synchronous=NORMAL",
    "cache_size=-131072",  # KiB
    "wal_autocheckpoint=2000",
    f"journal_size_limit={64 << 20}",
    "secure_delete=ON",
)


class SqliteProfileRows:
    """One table; not for two threads at a time."""

    def __init__(self, database: str, *, table: str, join_key: str, busy_timeout_s: float) -> None:
        """Open the table.

        Args:
            database: Path of the SQLite file, in WAL mode.
            table: Feast's name of the view's table.
            busy_timeout_s: How long a write waits for another process's transaction.
        """
        self._connection = sqlite3.connect(
            database, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._prefix = key_prefix(join_key)
        self._table = f'"{table}"'
        self._upsert = (
            f"INSERT INTO {self._table} (entity_key, feature_name, value, event_ts) VALUES (?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT (entity_key, feature_name) "
            "DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, value_text = NULL"
        )

    def read(self, keys: Iterable[str], name: str) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the bytes feature `name` for the keys that have it."""
        for chunk in portions(keys, READ_CHUNK):
            wanted = {self._entity_key(key): key for key in chunk}
            marks = ",".join("?" * len(wanted))
            query = f"SELECT entity_key, value FROM {self._table} WHERE feature_name = ? AND entity_key IN ({marks})"  # noqa: S608
            for place, message in self._connection.execute(query, (name, *wanted)).fetchall():
                yield wanted[place], bytes_value(message)

    def write(self, rows: Mapping[str, Mapping[str, bytes | str]], *, write_time_s: float) -> None:
        """Replace the named values of each key, in one transaction; text becomes string_val, bytes bytes_val."""
        instant = int(write_time_s)
        data = (  # made as they are sent: a batch may have gigabytes of them
            (place, name, value_message(value), instant)
            # Keys in the order of the table's index: neighbors share pages.
            for place, values in sorted(((self._entity_key(key), v) for key, v in rows.items()), key=itemgetter(0))
            for name, value in values.items()
        )
        with transaction(self._connection):
            self._connection.executemany(self._upsert, data)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove all values of the keys, so that no byte of them stays in the file or its WAL."""
        with transaction(self._connection):
            self._connection.executemany(
                f"DELETE FROM {self._table} WHERE entity_key = ?",  # noqa: S608
                [(self._entity_key(key),) for key in keys],
            )
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def keys(self, name: str) -> Iterator[str]:
        """Every key that has the feature `name`, in the order of bytes, read in pieces: writes may go on."""
        last, start = b"", key_start(self._prefix)
        query = (
            f"SELECT entity_key FROM {self._table} WHERE entity_key > ? AND feature_name = ? "  # noqa: S608
            f"ORDER BY entity_key LIMIT {READ_CHUNK}"
        )
        while found := self._connection.execute(query, (last, name)).fetchall():
            yield from (bytes(place[start:]).decode() for (place,) in found)
            last = found[-1][0]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _entity_key(self, key: str) -> bytes:
        return entity_key(self._prefix, key)
