"""What the stream must know of its topics before it reads: which ones they are, and where each partition starts."""

from collections.abc import Mapping
from contextlib import closing

import kafka
from kafka.errors import KafkaError

from mmrec.config import KafkaSettings
from mmrec.errors import StoreError
from mmrec.events.stream_rows import RecordKind, StreamTopic
from mmrec.scoring.profile import Source
from mmrec.stores.kafka import TopicAdmin


def stream_topics(settings: KafkaSettings) -> dict[str, StreamTopic]:
    """Identity of the topics the stream reads, by name.

    Raises:
        NotFoundError: one of them does not exist.
        StoreError: no broker answers.
    """
    kinds = {
        settings.behavior_events: RecordKind.BEHAVIOR_EVENT,
        settings.served_lists: RecordKind.SERVED_LIST,
    }
    with TopicAdmin(settings.bootstrap) as admin:
        found = {name: admin.describe(name) for name in kinds}
    return {
        name: StreamTopic(name=name, cluster_id=identity.cluster_id, topic_id=identity.topic_id, kind=kinds[name])
        for name, identity in found.items()
    }


def check_topics(settings: KafkaSettings, topics: Mapping[str, StreamTopic]) -> None:
    """StoreError where a topic was deleted and made anew since; a broker that does not answer is no such sign."""
    try:
        found = stream_topics(settings)
    except StoreError:
        return
    for name, topic in topics.items():
        if found[name] != topic:
            raise StoreError(f"topic {name} was made anew while it was read; start again to read the new one")


def starting_offsets(
    bootstrap: str, topics: Mapping[str, StreamTopic], marks: Mapping[Source, int]
) -> tuple[dict[str, dict[str, int]], int]:
    """Where to go on, in the form of Spark's `startingOffsets`.

    Args:
        marks: Highest offset processed per source; partitions without one start at their beginning.

    Returns:
        Topic -> partition -> first offset to read, and how many records between mark and beginning the broker has
        already deleted.
    """
    try:
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap.split(","), group_id=None, enable_auto_commit=False, metrics_enabled=False
        )
        with closing(consumer):
            places = [
                kafka.TopicPartition(name, partition)
                for name in topics
                for partition in sorted(consumer.partitions_for_topic(name) or ())
            ]
            beginnings = consumer.beginning_offsets(places)
    except KafkaError as error:
        raise StoreError(f"Kafka ({bootstrap}): {type(error).__name__}: {error}") from error
    starts: dict[str, dict[str, int]] = {name: {} for name in topics}
    num_deleted = 0
    for place in places:
        topic = topics[place.topic]
        source = Source(cluster_id=topic.cluster_id, topic_id=topic.topic_id, partition=place.partition)
        next_offset, beginning = marks.get(source, -1) + 1, int(beginnings[place])
        if source in marks:
            num_deleted += max(beginning - next_offset, 0)
        starts[place.topic][str(place.partition)] = max(next_offset, beginning)
    return starts, num_deleted
