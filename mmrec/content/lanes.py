"""Two lanes for records of `catalog-items`: single changes at once, imports by the thousand when there is time.

    lanes = Lanes(feed, read=...)       goes on where the process before ended
    lanes.arrived(records, now_s=...)   every record, as it arrives
    lanes.encode_some(now_s=...)        a few records of the bulk lane; False where none waits

A record whose sender marked it as one of many (BULK_HEADER) is in the bulk lane: its serving fields are published as it
arrives, its content is encoded later, read from the topic again, so that nothing piles up in memory. All records of an
item stand in one partition, and the newest one that is not refused counts: a record of the bulk lane is dropped when
another of its item has arrived since, so it never overwrites it. What waits is known by item and offset; after a
restart that is read off the topic between the two places that the mark keeps (FeedMark).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.content.catalog_feed import CatalogFeed
from mmrec.content.feed import RefusedChange
from mmrec.events.producer import TopicRecord
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
PORTION_S: Final = 0.2
"""What a single change may have to wait for: portions are made as large as is encoded and published in about that."""
LARGEST: Final = 512


class Lanes:
    """What of one feed waits in the bulk lane, and what goes first. For one thread."""

    def __init__(
        self,
        feed: CatalogFeed,
        *,
        read: Callable[[Mapping[int, int]], Iterator[TopicRecord]],
        elapsed_s: Callable[[], float],
    ) -> None:
        """Find out what waited when the process before ended.

        Args:
            feed: Its mark says so.
            read: (first offset per partition) -> records from there to where the topic ends now.
            elapsed_s: A clock that only goes forward.
        """
        self._feed, self._read, self._elapsed_s = feed, read, elapsed_s
        self._num_together = 4
        """Items of the next portion."""
        self._waiting: dict[bytes, tuple[int, int]] = {}
        """Key -> (partition, offset) of its newest record, where that is in the bulk lane and not encoded yet."""
        self._records: Iterator[TopicRecord] | None = None
        self._expected: dict[bytes, tuple[int, int]] = {}
        """What waited when `_records` was begun: it must be among them."""
        if feed.mark.bulk_offsets:
            self._note(r for r in read(self._start()) if r.offset < feed.mark.offsets.get(r.partition, 0))

    @property
    def num_waiting(self) -> int:
        """Items whose content waits in the bulk lane."""
        return len(self._waiting)

    def arrived(self, records: Sequence[TopicRecord], *, now_s: float) -> None:
        """Take records in the order of their offsets: single changes whole, the others by their serving fields.

        Raises:
            StoreError: nothing is remembered, take the same records again.
        """
        counting, refused = self._judged(records)
        self._note(counting)
        self._feed.tell_refused(records, refused)
        single = [record for record in counting if not _may_wait(record)]
        gone = [record for record in single if record.value is None]
        refused += self._published(gone, now_s=now_s)  # of each item one record counts: order says nothing else
        single = [record for record in single if record.value is not None]
        if len(single) > 1:
            self._feed.describe(single, now_s=now_s)  # nobody's new price waits for another's picture
        while single:
            chunk, single = single[: self._num_together], single[self._num_together :]
            with self._paced(chunk):
                refused += self._published(chunk, now_s=now_s)
        bulk = [record for record in counting if _may_wait(record)]
        refused_bulk = self._feed.describe(bulk, now_s=now_s)
        self._feed.tell_refused(bulk, refused_bulk)
        for each in refused_bulk:
            self._waiting.pop(bulk[each.position].key or b"", None)
        places = [(record.partition, record.offset) for record in records]
        self._feed.remember(places, refused=[*refused, *refused_bulk], bulk_offsets=self._bulk_offsets())

    def _published(self, records: Sequence[TopicRecord], *, now_s: float) -> tuple[RefusedChange, ...]:
        """Publish records whole; those that are refused."""
        if not records:
            return ()
        portion = self._feed.begin(records)
        self._feed.publish(portion, now_s=now_s)
        return portion.changes.refused

    def _judged(self, records: Sequence[TopicRecord]) -> tuple[list[TopicRecord], list[RefusedChange]]:
        """Records that count, one of each item, and refusals of others; those without a rival are judged later.

        A record that another of its item follows says nothing any more. One that is refused changes nothing, so what
        came before it counts and goes on waiting.
        """
        num_records = Counter(record.key or b"" for record in records)
        counting: dict[bytes, TopicRecord] = {}
        refused = []
        for position, record in enumerate(records):
            key = record.key or b""
            has_rival = num_records[key] > 1 or key in self._waiting
            if has_rival and isinstance(refusal := parse_change(record.key, record.value), ItemRefusal):
                refused.append(RefusedChange(position=position, refusal=refusal))
                continue
            counting[key] = record
        return list(counting.values()), refused

    @contextmanager
    def _paced(self, chunk: Sequence[TopicRecord]) -> Iterator[None]:
        """Make the next portion as large as fits into PORTION_S."""
        began_s = self._elapsed_s()
        yield
        took_s = self._elapsed_s() - began_s
        if took_s > PORTION_S:
            self._num_together = max(1, len(chunk) // 2)
        elif took_s < PORTION_S / 2 and len(chunk) == self._num_together:
            self._num_together = min(LARGEST, 2 * self._num_together)

    def passed(self, record_portions: Iterable[list[TopicRecord]]) -> Iterator[list[TopicRecord]]:
        """Portions of records that somebody else takes whole: older ones of the same items wait no longer."""
        for records in record_portions:
            for record in records:
                self._waiting.pop(record.key or b"", None)
            yield records

    def encode_some(self, *, now_s: float) -> bool:
        """Encode and publish a few items of the bulk lane; whether any waited.

        Raises:
            StoreError: nothing is remembered, call it again.
        """
        if not self._waiting:
            self._records = None
            return False
        chosen = self._next()
        if chosen:
            try:
                with self._paced(chosen):
                    portion = self._feed.begin(chosen)
                    # What is refused was told when it arrived.
                    self._feed.publish(replace(portion, changes=replace(portion.changes, refused=())), now_s=now_s)
            except BaseException:
                self._records = None  # to be read again
                raise
        for record in chosen:
            self._waiting.pop(record.key or b"", None)
        self._feed.remember((), bulk_offsets=self._bulk_offsets())
        return True

    def _next(self) -> list[TopicRecord]:
        """The next records that still wait; fewer, or none, at the end of what could be read when reading began."""
        if self._records is None:
            self._records, self._expected = self._read(self._start()), dict(self._waiting)
        chosen: list[TopicRecord] = []
        for record in self._records:
            if self._is_newest(record):
                chosen.append(record)
                if len(chosen) == self._num_together:
                    return chosen
        self._records = None
        taken = {record.key for record in chosen}
        for key, place in self._expected.items():
            if key not in taken and self._waiting.get(key) == place:
                shown = key.decode(errors="replace")[:80]
                log.warning("bulk_record_lost", key=shown, partition=place[0], offset=place[1])
                del self._waiting[key]
        return chosen

    def _note(self, records: Iterable[TopicRecord]) -> None:
        for record in records:
            key = record.key or b""
            if key in self._waiting and isinstance(parse_change(record.key, record.value), ItemRefusal):
                continue
            if _may_wait(record):
                self._waiting[key] = (record.partition, record.offset)
            else:
                self._waiting.pop(key, None)

    def _is_newest(self, record: TopicRecord) -> bool:
        return self._waiting.get(record.key or b"") == (record.partition, record.offset)

    def _bulk_offsets(self) -> dict[int, int]:
        offsets: dict[int, int] = {}
        for partition, offset in self._waiting.values():
            offsets[partition] = min(offset, offsets.get(partition, offset))
        return offsets

    def _start(self) -> dict[int, int]:
        return {**self._feed.mark.offsets, **(self._bulk_offsets() or self._feed.mark.bulk_offsets)}


def _may_wait(record: TopicRecord) -> bool:
    """Whether a record belongs in the bulk lane; a removal has nothing to encode, and waits for nothing."""
    return record.is_bulk and record.value is not None and bool(record.key)
