"""Topics, for Kafka."""

from collections.abc import Callable, Iterator, Mapping

from mmrec.connections.brokers import Brokers
from mmrec.events.producer import TopicRecord
from mmrec.events.topics import SkippedBatches, TopicIdentity
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.stores.kafka.readers import follow_topic, read_topic
from mmrec.stores.kafka.topic_ends import end_offsets


class KafkaTopics:
    """One connection per call."""

    def __init__(self, brokers: Brokers) -> None:
        """Connect to nothing yet.

        Args:
            brokers: Addresses, or settings that say more.
        """
        self._brokers = brokers

    def read(
        self, topic: str, *, start: Mapping[int, int] | None = None, skipped: SkippedBatches | None = None
    ) -> Iterator[TopicRecord]:
        """See Topics."""
        return read_topic(self._brokers, topic, start=start, skipped=skipped)

    def follow(
        self,
        topic: str,
        *,
        stop: Callable[[], bool],
        start: Mapping[int, int] | None = None,
        from_end: bool = False,
        skipped: SkippedBatches | None = None,
    ) -> Iterator[list[TopicRecord]]:
        """See Topics."""
        return follow_topic(self._brokers, topic, stop=stop, start=start, from_end=from_end, skipped=skipped)

    def describe(self, topic: str) -> TopicIdentity:
        """See Topics."""
        return describe_topic(self._brokers, topic)

    def ends(self, topic: str) -> dict[int, int]:
        """See Topics."""
        return end_offsets(self._brokers, topic)

    def setting(self, topic: str, name: str) -> str:
        """See Topics."""
        with TopicAdmin(self._brokers) as admin:
            return admin.config(topic, name)
