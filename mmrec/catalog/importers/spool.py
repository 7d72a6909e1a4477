"""Rows on disk that are asked for by key: files that say things of one item in many places are joined in flat memory.

with Spool() as spool:
spool.fill(iter([("B00", "review", 3.0, "Soft.")]))
spool.texts("B00", "review", limit=20)
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from mmrec.wire.portions import portions

_PORTION = 10_000


class Spool:
    """A table in a temporary folder, gone when the block ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mmrec-import-")
        self._table = sqlite3.connect(Path(self._folder.name) / "spool.db", isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
            self._table.execute(f"PRAGMA {setting}")
        self._table.execute("CREATE TABLE rows (key TEXT, name TEXT, rank REAL, text TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._table.close()
        self._folder.cleanup()

    def fill(self, rows: Iterator[tuple[str, str, float, str]]) -> None:
        """Take all (key, name, rank, text), and be ready to be asked."""
        for portion in portions(rows, _PORTION):
            self._table.execute("BEGIN")
            self._table.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", portion)
            self._table.execute("COMMIT")
        self._table.execute("CREATE INDEX by_key ON rows (key, name, rank)")

    def texts(self, key: str, name: str, *, limit: int) -> list[str]:
        """Texts of a key under a name, those of the highest rank first, as they came among equals."""
        found = self._table.execute(
            "SELECT text FROM rows WHERE key = ? AND name = ? ORDER BY rank DESC, rowid LIMIT ?", (key, name, limit)
        )
        return [text for (text,) in found]

    def latest(self) -> Iterator[tuple[str, dict[str, str]]]:
        """(key, the text of the highest rank by name) of every key, by ascending key."""
        rows = self._table.execute("SELECT key, name, text FROM rows ORDER BY key, name, rank, rowid")
        for key, group in groupby(rows, key=lambda row: row[0]):
            yield key, {name: text for _, name, text in group}
