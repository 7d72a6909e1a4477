"""Readers of whole topics: the one place that opens a consumer, reading to the end, and following."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Literal

import kafka
from kafka.errors import KafkaError

from mmrec.connections.brokers import Brokers, addresses, client_options
from mmrec.errors import NotFoundError, StoreError
from mmrec.events.producer import BULK_HEADER, OVERLAY_HEADER, TopicRecord
from mmrec.events.topics import SkippedBatches
from mmrec.stores.kafka.errors import MAX_RECORD_BYTES, store_error
from mmrec.stores.kafka.sound_batches import check_codecs, mend_reading

BOOTSTRAP_MS = 10_000
"""How long a client looks for a broker that answers; the library's own default is three times as long."""
_IN_OVERLAY, _IS_BULK = (OVERLAY_HEADER, b""), (BULK_HEADER, b"")


@contextmanager
def open_consumer(
    brokers: Brokers,
    what: str,
    *,
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
    skipped: SkippedBatches | None = None,
) -> Iterator[Any]:
    """The one place that opens a Kafka consumer: without a group, assigned to nothing; nothing is ever committed.

    Records of a transaction are read once it is committed. Until then a partition ends before it (at the last stable
    offset), for positions, end_offsets() and records alike; what was aborted is never seen. All codecs of Kafka are
    read, and a batch that cannot be decoded is left out (mmrec/stores/kafka/sound_batches.py).

    Args:
        what: What it is for; errors name it.
        isolation: With read_uncommitted, end_offsets() is where the broker ends, open transactions included.
        skipped: Counts the batches that cannot be decoded; they are logged in any case.

    Raises:
        StoreError: no broker answers, or the library raises an error within the block.
        ConfigurationError: a codec is not installed.
        LibraryVersionError: another version of kafka-python is installed than insides.py was written against.
    """
    check_codecs()
    try:
        consumer = kafka.KafkaConsumer(
            **client_options(brokers),
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
            max_poll_records=5_000,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
            reconnect_backoff_max_ms=1_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
    except KafkaError as error:
        raise store_error(addresses(brokers), error) from error
    mend_reading(consumer, skipped or SkippedBatches())
    with closing(consumer):
        try:
            yield consumer
        except KafkaError as error:
            raise store_error(what, error) from error


def places_of(consumer: Any, brokers: Brokers, topic: str) -> list[Any]:
    """The topic's partitions as objects of the library; NotFoundError where the broker has no such topic."""
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise NotFoundError(f"topic {topic!r} does not exist at {addresses(brokers)}; `mmrec up` creates it")
    return [kafka.TopicPartition(topic, partition) for partition in sorted(partitions)]


def _records(polled: Mapping[Any, list[Any]]) -> list[TopicRecord]:
    return [
        TopicRecord(
            r.key,
            r.value,
            r.partition,
            r.offset,
            r.timestamp / 1000,
            in_overlay=_IN_OVERLAY in r.headers,
            is_bulk=_IS_BULK in r.headers,
        )
        for records in polled.values()
        for r in records
    ]


def _seek(consumer: Any, places: list[Any], start: Mapping[int, int]) -> None:
    for place in places:
        if place.partition in start:
            consumer.seek(place, start[place.partition])
        else:
            consumer.seek_to_beginning(place)


def read_topic(
    brokers: Brokers,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    timeout_s: float = 60.0,
    skipped: SkippedBatches | None = None,
) -> Iterator[TopicRecord]:
    """Every record from `start` to the end offsets at the time of the call, ordered within each partition.

    Args:
        start: First offset per partition; partitions left out are read from their beginning.
        timeout_s: Longest silence of the broker before StoreError.
        skipped: As in open_consumer().
    """
    with open_consumer(brokers, topic, skipped=skipped) as consumer:
        places = places_of(consumer, brokers, topic)
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        _seek(consumer, places, start or {})
        heard_s, before = time.monotonic(), dict[Any, int]()
        while True:
            positions = {place: consumer.position(place) for place in places}
            if all(positions[place] >= ends[place] for place in places):
                return
            # Transactions leave offsets without records; a position that moves over these is progress, too.
            if positions != before:
                heard_s, before = time.monotonic(), positions
            elif time.monotonic() - heard_s > timeout_s:
                raise StoreError(f"Kafka ({topic}): silent for {timeout_s} s before the end was reached")
            records = _records(consumer.poll(timeout_ms=200))
            yield from (r for r in records if r.offset < ends[kafka.TopicPartition(topic, r.partition)])


def follow_topic(
    brokers: Brokers,
    topic: str,
    *,
    stop: Callable[[], bool],
    start: Mapping[int, int] | None = None,
    from_end: bool = False,
    poll_s: float = 0.2,
    skipped: SkippedBatches | None = None,
) -> Iterator[list[TopicRecord]]:
    """Records as they arrive, one list per poll, until `stop()`; the list is empty if none arrived.

    Args:
        start: First offset per partition; partitions left out are read from their beginning.
        from_end: Skip what is there; `start` is then not used. What an open transaction holds is still to come.
        skipped: As in open_consumer().
    """
    with open_consumer(brokers, topic, skipped=skipped) as consumer:
        places = places_of(consumer, brokers, topic)
        consumer.assign(places)
        if from_end:
            for place, end in consumer.end_offsets(places).items():
                consumer.seek(place, end)
        else:
            _seek(consumer, places, start or {})
        while not stop():
            yield _records(consumer.poll(timeout_ms=int(poll_s * 1000)))
