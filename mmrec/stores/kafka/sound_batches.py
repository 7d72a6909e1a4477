"""How a consumer of kafka-python (version 3.0.12) comes past a batch that it cannot decode.

    skipped = SkippedBatches()
    mend_reading(consumer, skipped)

The library stands still at such a batch: every poll fails at the same place. With this it reads as a batch without
records: it is left out from its first to its last offset, said, counted, and what follows is read. Two kinds of sound
batches that the library takes for broken ones are read: a header whose name is not UTF-8, which other clients may
send, and a transaction's marker of which compaction has left an empty batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka import codec
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.structs import TopicPartition

from mmrec.errors import ConfigurationError
from mmrec.events.topics import SkippedBatch, SkippedBatches
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
_CODECS = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}


def check_codecs() -> None:
    """ConfigurationError where a codec of Kafka is not installed: sound batches would be taken for broken ones."""
    missing = [name for name, is_there in _CODECS.items() if not is_there()]
    if missing:
        raise ConfigurationError(f"kafka-python cannot read {', '.join(missing)}; install what requirements.lock names")


def mend_reading(consumer: Any, skipped: SkippedBatches) -> None:
    """Let a kafka.KafkaConsumer leave out what it cannot decode."""
    consumer._fetcher.PartitionRecords = partial(SoundRecords, skipped=skipped, highwater=consumer.highwater)


class SoundRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition."""

    def __init__(self, *args: Any, skipped: SkippedBatches, highwater: Callable[[Any], int | None], **named: Any):
        self._skipped, self._highwater = skipped, highwater
        super().__init__(*args, **named)

    def _unpack_records(self, place: TopicPartition, records: Any, *deserializers: Any) -> Iterator[Any]:
        batches = _SoundBatches(place, records, self._skipped, self._highwater)
        found: Iterator[Any] = super()._unpack_records(place, batches, *deserializers)
        return found

    def _contains_abort_marker(self, batch: "_Decoded | _Gap") -> bool:
        """Of a marker that cannot be read, too: an aborted transaction ends with it, and others may follow."""
        return batch.is_control_batch and (isinstance(batch, _Gap) or any(marker.abort for marker in batch))


class _SoundBatches:
    """The batches of a fetch, each decoded as a whole or replaced by a gap."""

    def __init__(
        self, place: TopicPartition, records: Any, skipped: SkippedBatches, highwater: Callable[[Any], int | None]
    ) -> None:
        """Take them from `records`, a kafka.record.MemoryRecords."""
        self._place, self._records, self._skipped, self._highwater = place, records, skipped, highwater
        self._ahead: Any = None

    def next_batch(self) -> "_Decoded | _Gap | None":
        """The next one; None at the end."""
        batch, self._ahead = self._ahead or self._records.next_batch(), None
        if batch is None:
            return None
        try:
            return _Decoded(batch, _decoded(batch))
        except Exception as error:  # whatever it holds, what comes after it must be read
            gap = self._gap(batch)
            self._skipped.add(
                SkippedBatch(
                    topic=self._place.topic,
                    partition=self._place.partition,
                    first_offset=gap.base_offset,
                    last_offset=gap.last_offset,
                    reason=f"{type(error).__name__}: {error}",
                )
            )
            return gap

    def _gap(self, batch: Any) -> "_Gap":
        """From the first offset of the batch to where the next one begins; only where none follows its header counts.

        A header may be what is broken.
        """
        first = last = batch.base_offset
        is_new = batch.magic >= 2
        if is_new:
            last = max(batch.last_offset, first)
        self._ahead = self._records.next_batch()
        if self._ahead is not None:
            last = max(self._ahead.base_offset - 1, first)
        elif end := self._highwater(self._place):
            last = max(min(last, end - 1), first)
        return _Gap(
            base_offset=first,
            last_offset=last,
            leader_epoch=batch.leader_epoch if is_new else -1,
            producer_id=batch.producer_id if is_new else -1,
            is_transactional=is_new and batch.is_transactional,
            is_control_batch=is_new and batch.is_control_batch,
        )


class _Decoded:
    """A batch with its records; the rest is as the library's own."""

    def __init__(self, batch: Any, records: list[Any]) -> None:
        self._batch, self._records = batch, records

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """It was before it was decoded."""
        return True


@dataclass(frozen=True, kw_only=True)
class _Gap:
    """A batch without records, as the library wants it to be."""

    base_offset: int
    last_offset: int
    leader_epoch: int
    producer_id: int
    is_transactional: bool
    is_control_batch: bool
    magic: int = 2

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1

    def has_producer_id(self) -> bool:
        return self.producer_id >= 0

    def validate_crc(self) -> bool:
        return True


class _AnyNames(bytearray):
    """Bytes whose slices are texts in any encoding: what is not UTF-8 is replaced, as Kafka's own client does."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _AnyNames(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def _decoded(batch: Any) -> list[Any]:
    """All records of a batch; any exception where one of them cannot be had."""
    if not batch.validate_crc():
        raise CorruptRecordError(f"the checksum is not the {batch.crc:#010x} that the header says")
    if batch.magic < 2:
        records = list(batch)
        if not all(record.validate_crc() for record in records):
            raise CorruptRecordError("the checksum of a record does not fit")
        return records
    try:
        return list(batch)
    except CorruptRecordError:
        if not batch._decompressed:
            raise
        batch._buffer, batch._next_record_index = _AnyNames(batch._buffer), 0
        batch._pos = 0 if batch.compression_type else batch.HEADER_STRUCT.size
        return list(batch)
