"""How far a file was imported, so that an import can be broken off and repeated.

    <event_log>/imports/<SHA-256 of the file>.json    {"name": "history.jsonl", "num_sent": 41000, "is_done": false}

A file is known by its content: a copy under another name is the same file. The mark is written after the broker has a
portion, so a crash repeats one portion at most; what it repeats is found by event id in the profiles' rings (512 ids
and 7 days of ingest time by default), as for every producer that sends again. Whole imports that are repeated send
nothing, however long ago they were.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

_PORTION = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ImportMark:
    """What the broker has of a file."""

    name: str
    """Of the file, for people."""
    num_sent: int = 0
    is_done: bool = False


class ImportMarks:
    """Marks in a folder, one import of a file at a time."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Find the file's mark; the file is read once for its digest."""
        digest = sha256()
        with file.open("rb") as source:
            while data := source.read(_PORTION):
                digest.update(data)
        self._path = folder / f"{digest.hexdigest()}.json"
        self.mark = ImportMark(name=file.name)
        if self._path.is_file():
            self.mark = ImportMark(**json.loads(self._path.read_text(encoding="utf-8")))

    def begin(self) -> None:
        """The file is sent from its beginning."""
        self._write(ImportMark(name=self.mark.name))

    def sent(self, count: int) -> None:
        """The broker has so many more records."""
        self._write(replace(self.mark, num_sent=self.mark.num_sent + count))

    def done(self) -> None:
        """The broker has the whole file."""
        self._write(replace(self.mark, is_done=True))

    def _write(self, mark: ImportMark) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(mark), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self.mark = mark
