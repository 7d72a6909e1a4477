"""The topics of a deployment: their configuration, their creation, and the identity of a topic."""

import kafka
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from mmrec.config import KafkaSettings
from mmrec.connections.brokers import Brokers, addresses, client_options
from mmrec.errors import NotFoundError, StoreError
from mmrec.events.topics import TopicIdentity
from mmrec.stores.kafka.errors import MAX_RECORD_BYTES, store_error

_DAY_MS = 86_400_000


class TopicAdmin:
    """Creates and describes topics. Use as a context manager."""

    def __init__(self, brokers: Brokers) -> None:
        try:
            self._admin = kafka.KafkaAdminClient(
                **client_options(brokers), request_timeout_ms=20_000, bootstrap_timeout_ms=10_000
            )
        except KafkaError as error:
            raise store_error(addresses(brokers), error) from error
        self._where = addresses(brokers)

    def __enter__(self) -> "TopicAdmin":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._admin.close()

    def create_topics(self, settings: KafkaSettings) -> list[str]:
        """Create the topics of a deployment that do not exist yet, and wait until they can be written.

        Returns:
            Names of the topics that were created; existing topics keep their configuration.
        """
        try:
            present = set(self._admin.list_topics())
            made = []
            for name, configs in topic_configs(settings).items():
                if name in present:
                    continue
                try:
                    self._admin.create_topics({name: {"num_partitions": settings.num_partitions, "configs": configs}})
                    made.append(name)
                except TopicAlreadyExistsError:
                    continue
            self._admin.wait_for_topics(list(topic_configs(settings)))
        except KafkaError as error:
            raise store_error(self._where, error) from error
        return made

    def describe(self, topic: str) -> TopicIdentity:
        """Identity of one topic.

        Raises:
            NotFoundError: the broker has no such topic.
        """
        try:
            cluster_id = self._admin.describe_cluster()["cluster_id"]
            found = self._admin.describe_topics([topic])
        except KafkaError as error:
            raise store_error(topic, error) from error
        if not found or found[0].get("error_code") or not found[0].get("partitions"):
            raise NotFoundError(f"topic {topic!r} does not exist at {self._where}; `mmrec up` creates it")
        return TopicIdentity(
            cluster_id=str(cluster_id),
            topic_id=str(found[0]["topic_id"]),
            num_partitions=len(found[0]["partitions"]),
        )

    def config(self, topic: str, name: str) -> str:
        """Value of one setting of a topic, the broker's default where the topic has none of its own."""
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
            found = self._admin.describe_configs([resource], config_filter="all")
        except KafkaError as error:
            raise store_error(topic, error) from error
        return str(found["topic"][topic][name]["value"])


def topic_configs(settings: KafkaSettings) -> dict[str, dict[str, str]]:
    """Configuration of each topic of a deployment, by name."""
    kept = {"retention.ms": "-1"}
    if settings.retention_days:
        # Whole segments are deleted, so one holds a day at most.
        kept = {"retention.ms": str(int(settings.retention_days * _DAY_MS)), "segment.ms": str(_DAY_MS)}
    compacted = {"cleanup.policy": "compact", "max.message.bytes": str(MAX_RECORD_BYTES)}
    return {
        # Append time is the clock that event times are compared with and that decides what was known when.
        settings.behavior_events: {"message.timestamp.type": "LogAppendTime", **kept},
        settings.catalog_items: {"message.timestamp.type": "LogAppendTime", **compacted},
        settings.item_embeddings: {"message.timestamp.type": "LogAppendTime", **compacted},
        settings.served_lists: {"message.timestamp.type": "LogAppendTime", **kept},
        # A refused value may be as large as Kafka takes it, and base64 adds a third.
        **{
            topic: {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_RECORD_BYTES), **kept}
            for topic in (settings.rejected, settings.catalog_rejected)
        },
        # Never compacted: an act that was recorded stays until its time is over.
        settings.administrative_acts: {
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "delete",
            "retention.ms": str(int(settings.acts_retention_days * _DAY_MS)),
            "segment.ms": str(30 * _DAY_MS),
        },
    }


class KafkaTopicWatch:
    """Checks one topic's identity again and again over one connection, which is reopened after a failure."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers, self._topic = brokers, topic
        self._admin: TopicAdmin | None = None

    def identity(self) -> tuple[str, str]:
        """(cluster id, topic id); raises what describe() does."""
        found = self.describe()
        return found.cluster_id, found.topic_id

    def describe(self) -> TopicIdentity:
        """The topic as it is now.

        Raises:
            StoreError: no broker answers.
            NotFoundError: it has no such topic.
        """
        self._admin = self._admin or TopicAdmin(self._brokers)
        try:
            return self._admin.describe(self._topic)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; the next look connects again."""
        if self._admin is not None:
            admin, self._admin = self._admin, None
            admin.close()


def describe_topic(brokers: Brokers, topic: str) -> TopicIdentity:
    """Identity of a topic, over a connection of its own."""
    with TopicAdmin(brokers) as admin:
        return admin.describe(topic)
