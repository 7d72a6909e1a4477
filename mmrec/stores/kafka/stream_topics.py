"""What the stream must know of its topics before it reads: which ones they are, and where each partition starts."""

from collections.abc import Mapping

from mmrec.config import KafkaSettings
from mmrec.connections.brokers import Brokers
from mmrec.errors import ConfigurationError, StoreError
from mmrec.scoring.source import Source
from mmrec.stores.kafka.admin import TopicAdmin
from mmrec.stores.kafka.readers import open_consumer, places_of
from mmrec.stores.kafka.topic_ends import source_ends
from mmrec.stream.next_offsets import next_offsets
from mmrec.stream.rows import RecordKind, StreamTopic
from mmrec.stream.topics import StreamReading
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)


class KafkaStreamTopics:
    """StreamTopics, for Kafka."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def begin(self, marks: Mapping[Source, int]) -> StreamReading:
        """See begin_reading()."""
        return begin_reading(self._settings, marks)

    def check(self, topics: Mapping[str, StreamTopic]) -> bool:
        """See check_topics()."""
        return check_topics(self._settings, topics)

    def ends(self, topics: Mapping[str, StreamTopic]) -> dict[Source, int]:
        """Where each source can be read to now; errors as Topics.ends()."""
        return source_ends(self._settings, topics.values())


def begin_reading(settings: KafkaSettings, marks: Mapping[Source, int]) -> StreamReading:
    """Where a stream continues when its store is at `marks`; logs how many unread records the broker has deleted.

    Raises:
        ConfigurationError: the broker does not stamp events itself.
        NotFoundError: a topic does not exist.
        UnreachableError: no broker answers at the moment.
        StoreError: the broker has lost records that were read from it.
    """
    topics = stream_topics(settings)
    check_append_time(settings)
    starts, num_deleted = starting_offsets(settings, topics, marks)
    if num_deleted:
        log.error("records_lost", num_records=num_deleted, reason="deleted by the broker before they were read")
    reading = StreamReading(topics=topics, starts=starts)
    log.info("stream_starts", starts=reading.spark_offsets)
    return reading


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
    with TopicAdmin(settings) as admin:
        found = {name: admin.describe(name) for name in kinds}
    return {
        name: StreamTopic(name=name, cluster_id=identity.cluster_id, topic_id=identity.topic_id, kind=kinds[name])
        for name, identity in found.items()
    }


def check_topics(settings: KafkaSettings, topics: Mapping[str, StreamTopic]) -> bool:
    """Whether the broker answers; StoreError where a topic was deleted and created again since."""
    try:
        found = stream_topics(settings)
    except StoreError:
        return False
    for name, topic in topics.items():
        if found[name] != topic:
            raise StoreError(f"topic {name} was made anew while it was read; start again to read the new one")
    return True


def check_append_time(settings: KafkaSettings) -> None:
    """ConfigurationError where the broker does not stamp events itself: a producer clock must not decide."""
    with TopicAdmin(settings) as admin:
        found = admin.config(settings.behavior_events, "message.timestamp.type")
    if found != "LogAppendTime":
        raise ConfigurationError(
            f"topic {settings.behavior_events} has message.timestamp.type={found}; the stream needs LogAppendTime, "
            "which kafka-configs --alter sets, for records that come from then on"
        )


def starting_offsets(
    brokers: Brokers, topics: Mapping[str, StreamTopic], marks: Mapping[Source, int]
) -> tuple[dict[Source, int], int]:
    """Where to continue reading; see next_offsets.

    Raises:
        StoreError: no broker answers, or one does not have what was read from it.
    """
    # To where the broker ends: what an open transaction holds is not lost.
    with open_consumer(brokers, ", ".join(topics), isolation="read_uncommitted") as consumer:
        places = [place for name in topics for place in places_of(consumer, brokers, name)]
        beginnings, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    held = {}
    for place in places:
        topic = topics[place.topic]
        source = Source(cluster_id=topic.cluster_id, topic_id=topic.topic_id, partition=place.partition)
        held[source] = (int(beginnings[place]), int(ends[place]))
    return next_offsets(held, marks)
