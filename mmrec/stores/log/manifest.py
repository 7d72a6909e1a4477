"""The manifest of one table of the event log: which files hold which appends.

    manifest/state.json           parts: files that hold appends 1 to `last`, in order; replaced as a whole
    manifest/000000000017.json    append 17, not yet in a part; created once, so that one writer has the number

A reader reads the state, then the entries after it one by one until there is none. Whoever compacts replaces the state
first and removes entries and files then; so an entry that is missing is either yet to come or the state has changed.

Bounds: entries are those since the last compaction; the state has one part per ingest day and file of MAX_PART_ROWS,
log2(rows) more for the newest day, log2(rows) for all days of which only logins are left, and the digests of the last
MAX_DIGESTS appends.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from mmrec.disk.objects import Objects
from mmrec.errors import IncompatibleStateError, StoreError

FORMAT_VERSION: Final = 1
STATE: Final = "state.json"
MAX_DIGESTS: Final = 1_024
"""A batch that is sent again is recognized by its digest among so many; a later one adds an append without rows."""
MAX_PART_ROWS: Final = 8_000_000
NEVER_DUE: Final = 1 << 62
"""Ingest day of a part whose rows stay, however old."""
Ranges = dict[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file: the rows of appends `first` to `last`, in the order they were appended."""

    first: int
    last: int
    file: str
    """Relative to the table's folder."""
    num_rows: int
    ranges: Ranges
    """Lowest and highest offset per source; sources are named cluster/topic/partition."""
    digest: str = ""
    """Of an append that is in no compacted file yet; "" says compacted: rows carry their append's number."""
    reaches_back: bool = False
    """Whether an earlier append may hold the same records; never so once compacted."""
    oldest_day: int = 0
    """Lowest ingest day of its rows that go with age, where compacted; NEVER_DUE where none does."""
    newest_ingest_s: float = 0.0
    num_forgotten: int = -1
    """Entries of the registry of forgotten users that its rows were checked against."""

    @property
    def day(self) -> str:
        """The day the file is filed under."""
        return self.file.split("/")[0].removeprefix("day=")

    def overlaps(self, other: "Part") -> bool:
        """Whether both may hold the same record."""
        return any(
            source in other.ranges and low <= other.ranges[source][1] and other.ranges[source][0] <= high
            for source, (low, high) in self.ranges.items()
        )


class StateReplacedError(StoreError):
    """Somebody else replaced the state since it was read."""


class Manifest:
    """What is known of it so far; refresh() learns the rest."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._state_seen = ""
        self._tops: dict[str, int] = {}
        self.compacted: list[Part] = []
        self.tail: list[Part] = []
        """One part per append that is not compacted yet."""
        self.compacted_to = 0
        self.newest_ingest_s = 0.0
        self.version = 0
        self.numbers: dict[str, int] = {}
        """Append by digest."""

    @property
    def last(self) -> int:
        """Number of the newest append."""
        return self.compacted_to + len(self.tail)

    @property
    def parts(self) -> list[Part]:
        """All files in order."""
        return [*self.compacted, *self.tail]

    def next_part(self, after: int) -> Part | None:
        """The first part with an append beyond `after`."""
        if after >= self.compacted_to:
            return self.tail[after - self.compacted_to] if after < self.last else None
        found = next((part for part in self.compacted if part.last > after), None)
        return found or (self.tail[0] if self.tail else None)

    def refresh(self) -> bool:
        """Learn of what was done since; whether anything was."""
        before = (self.last, self.version)
        while True:
            self._read_state()
            while (found := self._read(self.entry_name(self.last + 1))) is not None:
                self._add(found[0])
            if self.objects.version(STATE) == self._state_seen:
                return (self.last, self.version) != before

    @staticmethod
    def entry_name(number: int) -> str:
        """Where append `number` stands until it is compacted."""
        return f"{number:012d}.json"

    def claim(self, number: int, document: dict[str, Any]) -> bool:
        """Make append `number`; False where another writer was first."""
        data = json.dumps({"format_version": FORMAT_VERSION, **document}).encode()
        mine = self.objects.create(self.entry_name(number), data)
        self.refresh()
        # A number that was compacted and removed could be created again by one who had not noticed.
        if mine and number <= self.compacted_to and self.numbers.get(document["digest"]) != number:
            self.objects.remove(self.entry_name(number))
            return False
        return mine

    def publish(self, compacted: list[Part], *, compacted_to: int, newest_ingest_s: float) -> None:
        """Replace the state; the files it no longer names may be removed afterwards.

        Raises:
            StateReplacedError: somebody else replaced it since it was read here, and nothing changed, or right after
                this, and its parts are others than the caller knows.
        """
        numbers = sorted(self.numbers.items(), key=lambda item: item[1])[-MAX_DIGESTS:]
        document = {
            "format_version": FORMAT_VERSION,
            "version": self.version + 1,
            "compacted_to": compacted_to,
            "newest_ingest_s": newest_ingest_s,
            "parts": [asdict(part) for part in compacted],
            "numbers": {digest: number for digest, number in numbers if number <= compacted_to},
        }
        swapped = self.objects.swap(STATE, json.dumps(document).encode(), seen=self._state_seen)
        self.refresh()
        if not swapped or self.version != document["version"]:
            raise StateReplacedError(
                f"{self.objects.place(STATE)} was replaced by another tend() meanwhile; nothing is lost, run it again"
            )

    def publish_again(self) -> None:
        """The same state as a new version: who tends at the same time, and has read the one before, starts over."""
        self.publish(self.compacted, compacted_to=self.compacted_to, newest_ingest_s=self.newest_ingest_s)

    def _read_state(self) -> None:
        while self.objects.version(STATE) != self._state_seen:
            found = self._read(STATE)
            if found is None:
                return
            document, seen = found
            tail = [part for part in self.tail if part.first > document["compacted_to"]]
            self.compacted = [
                Part(**{**part, "ranges": {s: (low, high) for s, (low, high) in part["ranges"].items()}})
                for part in document["parts"]
            ]
            self.compacted_to = document["compacted_to"]
            self.newest_ingest_s = document["newest_ingest_s"]
            self.version = document["version"]
            self.numbers = {**document["numbers"], **{part.digest: part.first for part in tail}}
            self.tail = tail
            for part in self.compacted:
                self._raise_tops(part.ranges)
            self._state_seen = seen

    def _add(self, document: dict[str, Any]) -> None:
        ranges: Ranges = {source: (low, high) for source, (low, high) in document["ranges"].items()}
        number = self.last + 1
        self.tail.append(
            Part(
                first=number,
                last=number,
                file=document["files"][0],
                num_rows=document["num_rows"],
                ranges=ranges,
                digest=document["digest"],
                # A stream goes forward: only after a restart does a batch reach back, and only then are parts compared.
                reaches_back=any(low <= self._tops.get(source, -1) for source, (low, _) in ranges.items()),
                newest_ingest_s=document.get("newest_ingest_s", 0.0),
            )
        )
        self._raise_tops(ranges)
        self.numbers.setdefault(document["digest"], number)

    def _raise_tops(self, ranges: Ranges) -> None:
        for source, (_, high) in ranges.items():
            self._tops[source] = max(high, self._tops.get(source, -1))

    def _read(self, name: str) -> tuple[dict[str, Any], str] | None:
        """A document and its version; None where there is none."""
        found = self.objects.read(name)
        if found is None:
            return None
        place = self.objects.place(name)
        try:
            document: dict[str, Any] = json.loads(found.data)
        except ValueError as error:
            raise IncompatibleStateError(f"{place} is no JSON ({error}); put it back from a backup") from None
        if document.get("format_version") != FORMAT_VERSION:
            said = document.get("format_version")
            raise IncompatibleStateError(f"{place} has format {said}; this code reads format {FORMAT_VERSION}")
        return document, found.version
