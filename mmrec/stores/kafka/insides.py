"""What is used of kafka-python 3.0.12 beyond its documented calls, and why.

- SenderInside. `KafkaProducer.send` checks and looks up everything again for every record, which costs 40
  CPU-microseconds per record even for hundreds at once. The accumulator behind it accepts a record with a known place.
- ask_for_ids_again, wait_for_answers. Without them its sender stops sending for good, or spins.
- read_whole_batches. Without it a reader never gets past a batch that cannot be decoded.

The library has no documented way to do any of these. To raise its version, read this module against the new source.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.partitioner.default import murmur2
from kafka.producer.transaction_manager import TransactionState
from kafka.structs import TopicPartition

from mmrec.programs.pinned import PinnedLibrary

KAFKA: Final = PinnedLibrary(name="kafka-python", version="3.0.12", module=__name__)


class SenderInside:
    """The accumulator and the sender of a kafka.KafkaProducer."""

    def __init__(self, producer: Any) -> None:
        """Use the inside of `producer`, which has no serializers, no partitioner of its own and no transactions.

        Raises:
            LibraryVersionError: another version is installed.
        """
        KAFKA.check()
        self._append, self._sender = producer._accumulator.append, producer._sender

    def append(
        self, place: TopicPartition, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> tuple[Any, bool]:
        """Append one record; returns its future, and whether the sender should be woken."""
        future, is_full, is_new, _ = self._append(place, None, key, value, headers)
        return future, is_full or is_new

    def wake(self) -> None:
        """Wake the sender, so that it looks for records."""
        self._sender.wakeup()


def partition_of(key: bytes, num_partitions: int) -> int:
    """The partition of a key by the producer's own partitioner, which agrees with Java's."""
    place: int = (murmur2(key) & 0x7FFFFFFF) % num_partitions
    return place


def ask_for_ids_again(producer: Any) -> None:
    """Repair a producer that would stop sending after a record expires that may have reached the broker.

    It then gives up its producer id. It asks for a new one only in its initial state, to which it never returns. From
    then on nothing is sent, and nothing fails.
    """
    KAFKA.check()
    manager = producer._transaction_manager
    give_up_id = manager.reset_producer_id

    def give_up_id_and_begin_again() -> None:
        give_up_id()
        manager._current_state = TransactionState.UNINITIALIZED

    manager.reset_producer_id = give_up_id_and_begin_again


def wait_for_answers(producer: Any) -> None:
    """Repair a producer that would spin while a broker has as many unanswered requests as it may have.

    If there are records for another partition, it asks how long the connection needs, gets 0, and asks again until the
    answer arrives. With this it waits, and the answer itself ends the wait.
    """
    KAFKA.check()
    client = producer._sender._client
    connections, delay_ms = client._manager._conns, client.connection_delay

    def connection_delay(node_id: Any) -> float:
        connection = connections.get(node_id)
        if connection is not None and connection.connected and connection.paused:
            return math.inf
        return float(delay_ms(node_id))

    client.connection_delay = connection_delay


class Batch(Protocol):
    """A batch of records as the library expects it; what the reader of whole batches has to add."""

    is_control_batch: bool

    def may_abort(self) -> bool:
        """For a control batch: whether an aborted transaction ends with it."""


Whole = Callable[[TopicPartition, Any], Any]
"""(partition, kafka.record.MemoryRecords) -> an object whose next_batch() gives Batches, None at the end."""


def read_whole_batches(consumer: Any, whole: Whole) -> None:
    """Make a kafka.KafkaConsumer read fetched batches through `whole`.

    Raises:
        LibraryVersionError: another version is installed.
    """
    KAFKA.check()
    consumer._fetcher.PartitionRecords = partial(WholeBatches, whole=whole)


class WholeBatches(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The batches of one partition from one fetch."""

    def __init__(self, *args: Any, whole: Whole, **named: Any) -> None:
        self._whole = whole
        super().__init__(*args, **named)

    def _unpack_records(self, place: TopicPartition, records: Any, *deserializers: Any) -> Any:
        return super()._unpack_records(place, self._whole(place, records), *deserializers)

    def _contains_abort_marker(self, batch: Batch) -> bool:
        return batch.is_control_batch and batch.may_abort()


def records_with_any_names(batch: Any, failure: CorruptRecordError) -> list[Any]:
    """The records of a batch that could not be read, read again with names of headers in any encoding.

    Raises:
        CorruptRecordError: it was not decompressed (`failure` then), or it is not the names that are wrong.
    """
    if not batch._decompressed:
        raise failure
    batch._buffer, batch._next_record_index = _AnyNames(batch._buffer), 0
    batch._pos = 0 if batch.compression_type else batch.HEADER_STRUCT.size
    return list(batch)


class _AnyNames(bytearray):
    """Bytes with slices that decode in any encoding: what is not UTF-8 is replaced, as Kafka's own client does."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _AnyNames(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
