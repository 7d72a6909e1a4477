"""How a consumer of kafka-python gets past a batch that it cannot decode.

    skipped = SkippedBatches()
    mend_reading(consumer, skipped)

The library alone stops at such a batch: every poll fails at the same place. With this, the batch reads as one without
records: it is left out from its first to its last offset, logged and counted, and what follows is read. Two kinds of
valid batches that the library takes for broken are read as well: one with a header name that is not UTF-8, which other
clients may send, and a transaction's marker that compaction has turned into an empty batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka import codec
from kafka.errors import CorruptRecordError
from kafka.structs import TopicPartition

from mmrec.errors import ConfigurationError
from mmrec.events.topics import SkippedBatch, SkippedBatches
from mmrec.stores.kafka.insides import read_whole_batches, records_with_any_names
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
_CODECS = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}


def check_codecs() -> None:
    """ConfigurationError where a codec of Kafka is not installed: valid batches would be taken for broken ones."""
    missing = [name for name, is_there in _CODECS.items() if not is_there()]
    if missing:
        raise ConfigurationError(f"kafka-python cannot read {', '.join(missing)}; install what requirements.lock names")


def mend_reading(consumer: Any, skipped: SkippedBatches) -> None:
    """Make a kafka.KafkaConsumer leave out batches that it cannot decode."""
    read_whole_batches(consumer, partial(SoundBatches, skipped=skipped, highwater=consumer.highwater))


class SoundBatches:
    """The batches of a fetch, each decoded as a whole or replaced by a gap."""

    def __init__(
        self, place: TopicPartition, records: Any, *, skipped: SkippedBatches, highwater: Callable[[Any], int | None]
    ) -> None:
        """Read batches from `records`, a kafka.record.MemoryRecords.

        Args:
            highwater: The end of a partition as of the last fetch; None before there was one.
        """
        self._place, self._records, self._skipped, self._highwater = place, records, skipped, highwater
        self._ahead: Any = None

    def next_batch(self) -> "_Decoded | _Gap | None":
        """The next batch; None at the end."""
        batch, self._ahead = self._ahead or self._records.next_batch(), None
        if batch is None:
            return None
        try:
            return _Decoded(batch, _decoded(batch))
        except Exception as error:  # whatever the batch holds, what comes after it must be read
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
        """A gap from the batch's first offset to where the next batch begins, or to its header's end if none follows.

        The header is used only then, since it may be the broken part.
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
    """A batch with its records; everything else is as in the library's own."""

    def __init__(self, batch: Any, records: list[Any]) -> None:
        self._batch, self._records = batch, records

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """True: the checksum was checked before decoding."""
        return True

    def may_abort(self) -> bool:
        return any(marker.abort for marker in self._records)


@dataclass(frozen=True, kw_only=True)
class _Gap:
    """A batch without records, in the form that the library expects."""

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

    def may_abort(self) -> bool:
        """True for a marker that cannot be read: more may follow, and what it ended must not count."""
        return True

    def validate_crc(self) -> bool:
        return True


def _decoded(batch: Any) -> list[Any]:
    """All records of a batch; raises any exception where one of them cannot be read."""
    if not batch.validate_crc():
        raise CorruptRecordError(f"the checksum is not the {batch.crc:#010x} that the header says")
    if batch.magic < 2:
        records = list(batch)
        if not all(record.validate_crc() for record in records):
            raise CorruptRecordError("the checksum of a record does not fit")
        return records
    try:
        return list(batch)
    except CorruptRecordError as failure:
        return records_with_any_names(batch, failure)
