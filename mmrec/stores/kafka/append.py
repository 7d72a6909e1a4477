"""Puts many records at once into a producer's accumulator; what they have in common is looked up once per call."""

from collections.abc import Callable, Sequence
from typing import Any

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from mmrec.stores.kafka.insides import SenderInside, partition_of

_OVERHEAD_BYTES = 1_024
"""More than the bytes that a record needs beside its key and value."""
Taken = Callable[[int, Any], None]
"""(position of the record, kafka's RecordMetadata)."""
Failed = Callable[[int, BaseException], None]


class RecordAppender:
    """Passes keyed records to a producer's sender. Safe to call from several threads."""

    def __init__(self, producer: Any, *, max_record_bytes: int, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Append to the records that `producer` sends.

        Args:
            producer: A kafka.KafkaProducer without serializers, without its own partitioner, without transactions.
            max_record_bytes: Its max_request_size.
            headers: Headers of every record, fewer than 1,000 bytes in all.

        Raises:
            LibraryVersionError: another version of kafka-python is installed than insides.py was written against.
        """
        self._producer, self._inside = producer, SenderInside(producer)
        self._headers = list(headers)
        self._max_bytes = max_record_bytes - _OVERHEAD_BYTES

    def append(
        self, topic: str, records: Sequence[tuple[bytes, bytes | None]], *, taken: Taken, failed: Failed
    ) -> None:
        """Pass on records; `taken` or `failed` is called once for each of them, from any thread.

        Blocks only while the topic is not known yet.
        """
        try:
            known = self._producer.partitions_for(topic)  # waits only while the topic is not known yet
            if not known:
                raise ValueError(f"topic {topic!r} has no partitions")
        except (KafkaError, ValueError, TypeError) as error:
            for at in range(len(records)):
                failed(at, error)
            return
        places = [TopicPartition(topic, partition) for partition in sorted(known)]
        append, headers, num_places, is_work = self._inside.append, self._headers, len(places), False
        for at, (key, value) in enumerate(records):
            try:
                if len(key) + len(value or b"") > self._max_bytes:
                    future = self._producer.send(topic, value, key, headers=headers)  # says whether it is too much
                else:
                    future, starts = append(places[partition_of(key, num_places)], key, value, headers)
                    is_work = is_work or starts
            except (KafkaError, ValueError, TypeError) as error:
                failed(at, error)
                continue
            future.add_callback(taken, at)
            future.add_errback(failed, at)
        if is_work:
            self._inside.wake()
