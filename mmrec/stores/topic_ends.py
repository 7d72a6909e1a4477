"""Where a topic ends now: the offsets a release records, so that replicas replay what came after."""

from collections.abc import Iterable
from contextlib import closing

import kafka
from kafka.errors import KafkaError

from mmrec.errors import NotFoundError
from mmrec.events.stream_rows import StreamTopic
from mmrec.scoring.profile import Source
from mmrec.stores.kafka import store_error


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> the offset the next record will have.

    Raises:
        NotFoundError: the broker has no such topic.
        StoreError: no broker answers.
    """
    try:
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap.split(","), group_id=None, enable_auto_commit=False, metrics_enabled=False
        )
        with closing(consumer):
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                raise NotFoundError(f"topic {topic!r} does not exist at {bootstrap}; `mmrec up` creates it")
            ends = consumer.end_offsets([kafka.TopicPartition(topic, partition) for partition in sorted(partitions)])
    except KafkaError as error:
        raise store_error(topic, error) from error
    return {place.partition: int(offset) for place, offset in ends.items()}


def source_ends(bootstrap: str, topics: Iterable[StreamTopic]) -> dict[Source, int]:
    """The same for the sources of several topics; errors as end_offsets()."""
    return {
        Source(cluster_id=topic.cluster_id, topic_id=topic.topic_id, partition=partition): end
        for topic in topics
        for partition, end in end_offsets(bootstrap, topic.name).items()
    }
