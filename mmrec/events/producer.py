"""Sending records to a topic, and reading them back: the port, and a broker in memory that follows the same laws.

future = producer.send("behavior-events", key, value)      done when the broker has it
producer.send_many("behavior-events", records)             thousands per second; returns when the broker has all
"""

import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from mmrec.clock import Clock
from mmrec.errors import StoreError


class RecordPlace(NamedTuple):
    """Where the broker keeps a record."""

    partition: int
    offset: int
    ingest_time_s: float
    """Append time of the broker, to the millisecond."""


class TopicRecord(NamedTuple):
    """One record as it stands in a topic."""

    key: bytes | None
    value: bytes | None
    """None removes the key in a compacted topic."""
    partition: int
    offset: int
    timestamp_s: float
    in_overlay: bool = False
    """Whether its sender also puts it into the overlay (OVERLAY_HEADER)."""
    is_bulk: bool = False
    """Whether its sender is importing many records, which single changes need not wait for (BULK_HEADER)."""


OVERLAY_HEADER: Final = "mmrec.overlay"
"""Header of records that their sender also puts into the overlay."""
BULK_HEADER: Final = "mmrec.bulk"
"""Header of catalogue records that come by the thousand: single changes overtake them (mmrec.content.lanes)."""
Settled = Callable[[int, RecordPlace | StoreError], None]
"""(position of the record, its place on the broker or why it has none)."""


class RecordProducer(Protocol):
    """Hands records to a broker; records of one key keep their order."""

    def send(self, topic: str, key: bytes, value: bytes | None) -> "Future[RecordPlace]":
        """Pass on one record without waiting.

        Returns:
            A future that holds the record's place once every in-sync replica has it, or StoreError.
        """
        ...

    def send_each(self, topic: str, records: Sequence[tuple[bytes, bytes | None]], settled: Settled) -> None:
        """Pass on many records without waiting, cheaper than one by one.

        Args:
            settled: Called once for each record, from any thread, and perhaps before this method returns. It must be
                quick and must not raise. Records of one partition settle in their order unless one fails.
        """
        ...

    def send_many(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Send all records and wait until the broker has them.

        Returns:
            How many there were.

        Raises:
            StoreError: at least one was not accepted; it is not known which ones.
        """
        ...

    def flush(self) -> None:
        """Wait until all records are settled. Failures are in the futures."""
        ...

    def close(self) -> None:
        """Flush and disconnect from the broker."""
        ...


class MemoryRecordProducer:
    """A broker in memory: partitions by key, offsets from 0; it can be made unavailable."""

    def __init__(self, *, clock: Clock, num_partitions: int = 2) -> None:
        self._clock = clock
        self._num_partitions = num_partitions
        self._partitions: dict[tuple[str, int], list[TopicRecord]] = {}
        self._lock = threading.Lock()
        self.available = True
        """While False every send fails, as when the broker is down."""

    def send(self, topic: str, key: bytes, value: bytes | None) -> "Future[RecordPlace]":
        """Append at once."""
        future: Future[RecordPlace] = Future()
        if not self.available:
            future.set_exception(StoreError(f"{topic}: the broker is down"))
            return future
        partition = zlib.crc32(key) % self._num_partitions
        with self._lock:
            log = self._partitions.setdefault((topic, partition), [])
            place = RecordPlace(partition, len(log), round(self._clock.now_s(), 3))
            log.append(TopicRecord(key, value, partition, place.offset, place.ingest_time_s))
        future.set_result(place)
        return future

    def send_each(self, topic: str, records: Sequence[tuple[bytes, bytes | None]], settled: Settled) -> None:
        """Append one by one."""
        for index, (key, value) in enumerate(records):
            self.send(topic, key, value).add_done_callback(_settling(settled, index))

    def send_many(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Append all."""
        places = [self.send(topic, key, value).result() for key, value in records]
        return len(places)

    def flush(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to close."""

    def records(self, topic: str) -> list[TopicRecord]:
        """Everything a topic holds, by partition and offset."""
        with self._lock:
            return [r for (name, _), log in sorted(self._partitions.items()) if name == topic for r in log]


def _settling(settled: Settled, index: int) -> "Callable[[Future[RecordPlace]], None]":
    def done(future: "Future[RecordPlace]") -> None:
        error = future.exception()
        settled(index, future.result() if error is None else StoreError(str(error)))

    return done
