"""How far a file was imported, so that an import can be interrupted and repeated.

    <event_log>/imports/<SHA-256 of the file>.json    {"name": "history.jsonl", "num_sent": 41000, "is_done": false}
    <event_log>/imports/<the same>-<digest of options>.json

A file is known by its content: a copy under another name is the same file. Read with other options (names of
behaviors, unit and zone of times) it is another import, which leaves out the behaviors that a whole import has sent.
The mark is written after the broker has a portion, so a crash repeats one portion at most. Repeated events are found by
their ids in the profiles' rings (512 ids and 7 days of ingest time by default), as for every producer that sends again.
Repeating a complete import sends nothing, however long ago it was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from mmrec.disk.objects import Objects
from mmrec.errors import StoreError


@dataclass(frozen=True, kw_only=True)
class ImportMark:
    """How much of a file the broker has."""

    name: str
    """Of the file, for people."""
    num_sent: int = 0
    is_done: bool = False
    num_refused: int = 0
    """Events of the file that the codec refuses; known when it is done."""
    behaviors: dict[str, str] = field(default_factory=dict)
    """Names in the file to the behaviors they were sent as, "" for events without one."""
    left_out: list[str] = field(default_factory=list)
    """Names in the file that an earlier import had sent."""


class ImportMarks:
    """Marks in one place, one import of a file at a time."""

    def __init__(
        self, objects: Objects, file: Path, options: Mapping[str, Any] | None = None, *, also: Sequence[Path] = ()
    ) -> None:
        """Find the file's mark; the file is read once for its digest.

        Args:
            options: What differs from a plain import, as JSON can hold it.
            also: Other files that the import reads, and folders, of which names, sizes and times of change count.
        """
        name = _digest(file)
        if also:
            name = sha256("".join([name, *map(_digest, also)]).encode()).hexdigest()
        self._objects = objects
        others = [each.name for each in objects.entries() if each.name.startswith(name) and each.name.endswith(".json")]
        if options:
            name += "-" + sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
        self._name = f"{name}.json"
        self.mark = self._read(self._name) if self._name in others else ImportMark(name=file.name)
        done = [mark for mark in map(self._read, (each for each in others if each != self._name)) if mark.is_done]
        self.before = {name: behavior for mark in done for name, behavior in mark.behaviors.items()}
        """Names in the file that complete imports under other options sent, with the behavior they were sent as."""

    def begin(self, *, behaviors: Mapping[str, str] | None = None, left_out: frozenset[str] = frozenset()) -> None:
        """Note that the file is now sent from its beginning.

        Args:
            behaviors: Names in the file that are sent, and the behaviors they are sent as.
            left_out: Names in the file that are not sent, since an earlier import sent them.
        """
        self._write(
            ImportMark(name=self.mark.name, behaviors={**behaviors} if behaviors else {}, left_out=sorted(left_out))
        )

    def sent(self, count: int) -> None:
        """Note that the broker has this many more records."""
        self._write(replace(self.mark, num_sent=self.mark.num_sent + count))

    def done(self, *, num_refused: int = 0) -> None:
        """Note that the broker has the whole file."""
        self._write(replace(self.mark, is_done=True, num_refused=num_refused))

    def _write(self, mark: ImportMark) -> None:
        self._objects.write(self._name, json.dumps(asdict(mark)).encode())
        self.mark = mark

    def _read(self, name: str) -> ImportMark:
        found = self._objects.read(name)
        if found is None:
            raise StoreError(f"{self._objects.place(name)} went away while it was read; run the import again")
        return ImportMark(**json.loads(found.data))


def _digest(path: Path) -> str:
    if path.is_dir():
        found = sorted((str(each.relative_to(path)), each.stat()) for each in path.rglob("*") if each.is_file())
        listed = "".join(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\0" for name, facts in found)
        return sha256(listed.encode("utf-8", errors="surrogateescape")).hexdigest()
    with path.open("rb") as source:
        return file_digest(source, "sha256").hexdigest()
