"""Where a topic ends now: the offsets a release records, so that replicas replay what came after."""

from collections.abc import Iterable

from mmrec.connections.brokers import Brokers
from mmrec.scoring.source import Source
from mmrec.stores.kafka.readers import open_consumer, places_of
from mmrec.stream.rows import StreamTopic


def end_offsets(brokers: Brokers, topic: str) -> dict[int, int]:
    """Partition -> the offset up to which its records can be read: the next one's, or the first of an open transaction.

    Raises:
        NotFoundError: the broker has no such topic.
        StoreError: no broker answers.
    """
    with open_consumer(brokers, topic) as consumer:
        ends = consumer.end_offsets(places_of(consumer, brokers, topic))
    return {place.partition: int(offset) for place, offset in ends.items()}


def source_ends(brokers: Brokers, topics: Iterable[StreamTopic]) -> dict[Source, int]:
    """end_offsets() for several topics, by source; same errors."""
    return {
        Source(cluster_id=topic.cluster_id, topic_id=topic.topic_id, partition=partition): end
        for topic in topics
        for partition, end in end_offsets(brokers, topic.name).items()
    }
