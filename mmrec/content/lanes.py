"""Two lanes for records of `catalog-items`: single changes at once, imports by the thousand when there is time.

    lanes = Lanes(feed, read=...)       goes on where the process before ended
    lanes.arrived(records, now_s=...)   every record, as it arrives
    lanes.put_off(records, now_s=...)   a catalogue that was there before: all of it in the bulk lane
    lanes.describe_some(now_s=...)      serving fields of a few records of the bulk lane; False where all are published
    lanes.encode_some(now_s=...)        content of a few; False where none waits

A record whose sender marked it as one of many (BULK_HEADER) is in the bulk lane: it is judged as it arrives; its
serving fields and then its content are published in portions of about PORTION_S, read from the topic again, so that
nothing piles up in memory and a single change waits for one portion at most. All records of an item stand in one
partition, and the newest one that is not refused counts: a record of the bulk lane is dropped when another of its item
has arrived since, so it never overwrites it. What waits is known by item and offset; after a restart that is read off
the topic between the two places that the mark keeps (FeedMark), where each item's newest record is published again.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.content.catalog_feed import MAX_BYTES, MAX_RECORDS, CatalogFeed, PortionUnderWay
from mmrec.content.encode import Filler
from mmrec.content.feed import RefusedChange
from mmrec.content.waiting import Waiting
from mmrec.events.producer import TopicRecord
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
PORTION_S: Final = 0.2
"""What a single change may have to wait for: portions are made as large as is published in about that."""
TOGETHER: Final = 4
"""Single changes that are published together at least where several wait, however slow the machine is: what one costs
by itself would make those behind it wait longer still."""
LARGEST: Final = 512
_NUM_AHEAD: Final = 3
"""Portions of LARGEST that a filler is given, and that are not published yet."""


class Lanes:
    """What of one feed waits in the bulk lane, and what goes first. For one thread."""

    def __init__(
        self,
        feed: CatalogFeed,
        *,
        read: Callable[[Mapping[int, int]], Iterator[TopicRecord]],
        elapsed_s: Callable[[], float],
        filler: Filler | None = None,
    ) -> None:
        """Find out what waited when the process before ended.

        Args:
            feed: Its mark says so.
            read: (first offset per partition) -> records from there to where the topic ends now.
            elapsed_s: A clock that only goes forward.
            filler: Encodes portions of LARGEST ahead, where nobody waits for single changes; None for this process, in
                portions of about PORTION_S.
        """
        self._feed, self._elapsed_s, self._filler = feed, elapsed_s, filler
        self._singles, self._content = _Pace(elapsed_s, TOGETHER, at_least=TOGETHER), _Pace(elapsed_s, TOGETHER)
        self._fields = _Pace(elapsed_s, 64)
        self._undescribed, self._unencoded = Waiting(), Waiting()
        self._to_describe = _Reading(self._undescribed, read, lambda: feed.mark.offsets)
        self._to_encode = _Reading(self._unencoded, read, lambda: feed.mark.offsets)
        self._under_way: deque[tuple[list[TopicRecord], PortionUnderWay]] = deque()
        if feed.mark.bulk_offsets:
            waited = read({**feed.mark.offsets, **feed.mark.bulk_offsets})
            self._note((r for r in waited if r.offset < feed.mark.offsets.get(r.partition, 0)), waits=_can_wait)

    @property
    def num_waiting(self) -> int:
        """Items whose content waits in the bulk lane."""
        return len(self._unencoded)

    @property
    def num_undescribed(self) -> int:
        """Those of them whose serving fields wait, too."""
        return len(self._undescribed)

    def figures(self) -> dict[str, int]:
        """For the status file."""
        return {"num_waiting_in_bulk": self.num_waiting, "num_undescribed_in_bulk": self.num_undescribed}

    def is_catalogue(self, ends: Mapping[int, int]) -> bool:
        """Whether what was not taken of the topic is put off at the start: all of it the first time, later whatever is
        more than MAX_RECORDS, as where a process ended while it put a catalogue off.

        Args:
            ends: Partition -> offset behind the last record.
        """
        taken = self._feed.mark.offsets
        return not taken or sum(max(0, end - taken.get(p, 0)) for p, end in ends.items()) > MAX_RECORDS

    def arrived(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        """Take records in the order of their offsets: single changes whole, the others into the bulk lane.

        Raises:
            StoreError: nothing is remembered, take the same records again.
        """
        self._take(records, waits=_may_wait, now_s=now_s)

    def put_off(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        """Take records of a catalogue that was there before: removals at once, all others into the bulk lane.

        Raises:
            StoreError: as arrived().
        """
        self._take(records, waits=_can_wait, now_s=now_s)

    def describe_some(self, *, now_s: float) -> bool:
        """Publish serving fields of a few items of the bulk lane; whether any waited for that.

        Raises:
            StoreError: they still wait, call it again.
        """
        if not self._undescribed:
            return False
        chosen = self._to_describe.next(self._fields.num_together)
        with self._to_describe.again_on_failure(), self._fields.measured(chosen):
            self._feed.describe(chosen, now_s=now_s)  # what is refused was told when it arrived
        for record in chosen:
            self._undescribed.drop(record.key or b"")
        return True

    def encode_some(self, *, now_s: float) -> bool:
        """Encode and publish a few items of the bulk lane; whether any waited.

        Raises:
            StoreError: nothing is remembered, call it again.
        """
        if not self._unencoded:
            return False
        chosen: list[TopicRecord] = []
        with self._to_encode.again_on_failure(self._under_way.clear), self._content.measured(chosen):
            self._send_ahead()
            if self._under_way:
                sent, portion = self._under_way.popleft()
                chosen += [record for record in sent if self._unencoded.has(record)]
                if len(chosen) < len(sent):  # newer states came since; the vectors of the others are in the cache
                    portion = self._feed.begin(chosen)
                told = replace(portion, changes=replace(portion.changes, refused=()))  # when it arrived
                self._feed.publish(told, now_s=now_s)
        for record in chosen:
            self._drop(record.key or b"")
        self._feed.remember((), bulk_offsets=self._unencoded.start)
        return True

    def passed(self, record_portions: Iterable[list[TopicRecord]]) -> Iterator[list[TopicRecord]]:
        """Portions of records that somebody else takes whole: older ones of the same items wait no longer."""
        for records in record_portions:
            for record in records:
                self._drop(record.key or b"")
            yield records

    def _take(self, records: Sequence[TopicRecord], *, waits: Callable[[TopicRecord], bool], now_s: float) -> None:
        counting, refused = _judged(records)
        self._note(counting, waits=waits)
        self._feed.tell_refused(records, refused)
        single = [record for record in counting if not waits(record)]
        # Of each item one record counts: order says nothing else. A removal waits for no content.
        self._published([record for record in single if record.value is None], now_s=now_s)
        single = [record for record in single if record.value is not None]
        if len(single) > 1:
            # Nobody's new price, and nothing that is hidden, waits for another's picture.
            is_slow = self._feed.needs_encoder(single)
            self._in_chunks([record for record, slow in zip(single, is_slow, strict=True) if not slow], now_s=now_s)
            single = [record for record, slow in zip(single, is_slow, strict=True) if slow]
            if later := single[self._singles.num_together :]:
                self._feed.describe(later, now_s=now_s)
        self._in_chunks(single, now_s=now_s)
        places = [(record.partition, record.offset) for record in records]
        self._feed.remember(places, refused=refused, bulk_offsets=self._unencoded.start)

    def _in_chunks(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        while records:
            chunk, records = records[: self._singles.num_together], records[self._singles.num_together :]
            with self._singles.measured(chunk):
                self._published(chunk, now_s=now_s)

    def _published(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        if records:
            self._feed.publish(self._feed.begin(records), now_s=now_s)

    def _send_ahead(self) -> None:
        """Begin portions: one, and as many as a filler is kept busy with."""
        num_ahead, num_together = (_NUM_AHEAD, LARGEST) if self._filler else (1, self._content.num_together)
        while len(self._under_way) < num_ahead:
            sent = {record.key for records, _ in self._under_way for record in records}
            if len(sent) >= len(self._unencoded) or not (chosen := self._to_encode.next(num_together, sent=sent)):
                return
            self._under_way.append((chosen, self._feed.begin(chosen, filler=self._filler)))

    def _note(self, records: Iterable[TopicRecord], *, waits: Callable[[TopicRecord], bool]) -> None:
        for record in records:
            key = record.key or b""
            if key in self._unencoded and isinstance(parse_change(record.key, record.value), ItemRefusal):
                continue
            if waits(record):
                self._undescribed.add(record)
                self._unencoded.add(record)
            else:
                self._drop(key)

    def _drop(self, key: bytes) -> None:
        self._undescribed.drop(key)
        self._unencoded.drop(key)


class _Pace:
    """How many items are taken together: as many as fit into PORTION_S, and `at_least` so many."""

    def __init__(self, elapsed_s: Callable[[], float], num_together: int, *, at_least: int = 1) -> None:
        self._elapsed_s, self.num_together, self._at_least = elapsed_s, num_together, at_least

    @contextmanager
    def measured(self, chosen: Sequence[TopicRecord]) -> Iterator[None]:
        """Take those that are in `chosen` at the end, and find how many to take the next time."""
        began_s = self._elapsed_s()
        yield
        took_s = self._elapsed_s() - began_s
        if took_s > PORTION_S:
            self.num_together = max(self._at_least, len(chosen) // 2)
        elif took_s < PORTION_S / 2 and len(chosen) == self.num_together:
            self.num_together = min(LARGEST, 2 * self.num_together)


class _Reading:
    """Records that wait, read from the topic again."""

    def __init__(
        self,
        waiting: Waiting,
        read: Callable[[Mapping[int, int]], Iterator[TopicRecord]],
        ends: Callable[[], Mapping[int, int]],
    ) -> None:
        """Read what is `waiting`; `ends` says how far the topic was taken: partition -> next offset."""
        self._waiting, self._read, self._ends = waiting, read, ends
        self._records: Iterator[TopicRecord] | None = None
        self._expected: Mapping[int, int] = {}
        """How far the topic was taken when `_records` was begun: what waits before that must be among them."""

    def next(self, number: int, *, sent: Collection[bytes | None] = ()) -> list[TopicRecord]:
        """The next `number` records that still wait and are not `sent`; fewer, or none, where reading came to its end.

        What should have been there and was not is told and waits no longer.
        """
        if self._records is None:
            self._expected = dict(self._ends())
            self._records = self._read({**self._expected, **self._waiting.start})
        chosen: list[TopicRecord] = []
        num_bytes = 0
        for record in self._records:
            if self._waiting.has(record) and record.key not in sent:
                chosen.append(record)
                num_bytes += len(record.value or b"")
                if len(chosen) == number or num_bytes >= MAX_BYTES:
                    return chosen
        self._records = None
        found = {*sent, *(record.key for record in chosen)}
        for key, partition, offset in list(self._waiting.places()):
            if key not in found and offset < self._expected.get(partition, 0):
                shown = key.decode(errors="replace")[:80]
                log.warning("bulk_record_lost", key=shown, partition=partition, offset=offset)
                self._waiting.drop(key)
        return chosen

    @contextmanager
    def again_on_failure(self, undo: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Where taking what was read fails, it is read again."""
        try:
            yield
        except BaseException:
            self._records = None
            undo()
            raise


def _judged(records: Sequence[TopicRecord]) -> tuple[list[TopicRecord], list[RefusedChange]]:
    """Records that count, the newest of each item, and refusals of all.

    A record that another of its item follows says nothing any more. One that is refused changes nothing, so what came
    before it counts and goes on waiting.
    """
    counting: dict[bytes, TopicRecord] = {}
    refused = []
    for position, record in enumerate(records):
        if isinstance(refusal := parse_change(record.key, record.value), ItemRefusal):
            refused.append(RefusedChange(position=position, refusal=refusal))
            continue
        counting.pop(record.key or b"", None)  # in the order of the records that count
        counting[record.key or b""] = record
    return list(counting.values()), refused


def _can_wait(record: TopicRecord) -> bool:
    """Whether there is anything to encode; a removal has nothing, and waits for nothing."""
    return record.value is not None and bool(record.key)


def _may_wait(record: TopicRecord) -> bool:
    """Whether a record belongs in the bulk lane as its sender says."""
    return record.is_bulk and _can_wait(record)
