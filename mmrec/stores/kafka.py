"""Kafka behind the ports of mmrec.events: producer, topics, and readers of whole topics."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import kafka
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, RetriableError, TopicAlreadyExistsError

from mmrec.config import KafkaSettings
from mmrec.errors import NotFoundError, StoreError, UnreachableError
from mmrec.events.producer import OVERLAY_HEADER, RecordPlace, Settled, TopicRecord
from mmrec.stores.kafka_append import RecordAppender, TersePollSelector, mend_sender
from mmrec.stores.sound_batches import SkippedBatches, check_codecs, mend_reading

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Catalogue items carry their picture; Kafka's own default of 1 MiB is too little for some."""
_DAY_MS = 86_400_000
_IN_OVERLAY = (OVERLAY_HEADER, b"")


class KafkaRecordProducer:
    """Idempotent producer: every in-sync replica has a record before its future answers; zstd on the wire."""

    def __init__(
        self,
        bootstrap: str,
        *,
        delivery_timeout_s: float = 30.0,
        linger_s: float = 0.0,
        busy_linger_s: float = 0.0,
        max_requests: int = 5,
        header: str = "",
    ) -> None:
        """Connect.

        Args:
            bootstrap: host:port[,host:port...].
            delivery_timeout_s: After this long without the broker a record's future fails.
            linger_s: How long a record waits for company; 0 answers soonest and still batches under load.
            busy_linger_s: How long instead while send_each() gets more than BUSY_PER_S records per second, if longer.
            max_requests: Requests to one broker under way at once, 1 to 5. With 1 what comes meanwhile goes with the
                next one: the fewest requests, and company without waiting.
            header: Name of a header, without a value, that records of send_each() bear.

        Raises:
            StoreError: no broker answers.
        """
        timeout_ms = int(delivery_timeout_s * 1000)
        try:
            self._producer = kafka.KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                linger_ms=int(linger_s * 1000),
                max_in_flight_requests_per_connection=max_requests,
                batch_size=256 * 1024,
                max_request_size=MAX_RECORD_BYTES,
                delivery_timeout_ms=timeout_ms,
                request_timeout_ms=min(10_000, timeout_ms),
                max_block_ms=timeout_ms,
                reconnect_backoff_max_ms=1_000,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                selector=TersePollSelector,
            )
        except KafkaError as error:
            raise store_error(bootstrap, error) from error
        mend_sender(self._producer)
        self._appender = RecordAppender(
            self._producer,
            max_record_bytes=MAX_RECORD_BYTES,
            busy_linger_s=busy_linger_s,
            headers=[(header, b"")] if header else [],
        )
        self._bootstrap, self._timeout_s = bootstrap, delivery_timeout_s

    def learn_topics(self, topics: Iterable[str]) -> None:
        """Ask the broker for the topics' partitions, so that no send has to wait for that.

        Raises:
            StoreError: the broker does not answer.
            NotFoundError: it has no such topic.
        """
        for topic in topics:
            try:
                self._producer.partitions_for(topic)
            except KafkaError as error:  # the library only says that it waited in vain
                describe_topic(self._bootstrap, topic)
                raise store_error(topic, error) from error

    def send(self, topic: str, key: bytes, value: bytes | None) -> "Future[RecordPlace]":
        """Hand over one record; blocks only while the topic is not known yet."""
        answer: Future[RecordPlace] = Future()

        def taken(metadata: Any) -> None:
            answer.set_result(RecordPlace(metadata.partition, metadata.offset, metadata.timestamp / 1000))

        def failed(error: BaseException) -> None:
            answer.set_exception(store_error(topic, error))

        try:
            sent = self._producer.send(topic, value, key)
        except (KafkaError, ValueError, TypeError) as error:
            failed(error)
            return answer
        sent.add_callback(taken)
        sent.add_errback(failed)
        return answer

    def send_each(self, topic: str, records: Sequence[tuple[bytes, bytes | None]], settled: Settled) -> None:
        """Hand over many records; blocks only while the topic is not known yet."""

        def taken(index: int, metadata: Any) -> None:
            settled(index, RecordPlace(metadata.partition, metadata.offset, metadata.timestamp / 1000))

        def failed(index: int, error: BaseException) -> None:
            settled(index, store_error(topic, error))

        self._appender.append(topic, records, taken=taken, failed=failed)

    def send_many(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Send all; StoreError names the first failure."""
        failures: list[BaseException] = []
        num_sent = 0
        try:
            for key, value in records:
                self._producer.send(topic, value, key).add_errback(failures.append)
                num_sent += 1
            self._producer.flush(timeout=max(self._timeout_s, 1.0) + num_sent / 1_000)
        except (KafkaError, TypeError) as error:
            raise store_error(topic, error) from error
        if failures:
            raise store_error(topic, failures[0]) from failures[0]
        return num_sent

    def flush(self) -> None:
        """Wait until nothing is under way."""
        try:
            self._producer.flush(timeout=self._timeout_s)
        except KafkaError as error:
            raise store_error("flush", error) from error

    def close(self) -> None:
        """Send what is left, at most for the delivery timeout, and disconnect."""
        self._producer.close(timeout=self._timeout_s)


def store_error(what: str, error: BaseException) -> StoreError:
    """A failure of the library as ours; UnreachableError where the broker may answer later."""
    kind = UnreachableError if isinstance(error, RetriableError) else StoreError
    return kind(f"Kafka ({what}): {type(error).__name__}: {error}")


@dataclass(frozen=True, kw_only=True)
class TopicIdentity:
    """What makes a topic itself: one deleted and made again under its name has another topic_id."""

    cluster_id: str
    topic_id: str
    num_partitions: int


class TopicAdmin:
    """Creates and describes topics. Use as a context manager."""

    def __init__(self, bootstrap: str) -> None:
        try:
            self._admin = kafka.KafkaAdminClient(
                bootstrap_servers=bootstrap.split(","), request_timeout_ms=20_000, bootstrap_timeout_ms=10_000
            )
        except KafkaError as error:
            raise store_error(bootstrap, error) from error
        self._bootstrap = bootstrap

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
            Names of those that were made; existing topics keep their configuration.
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
            raise store_error(self._bootstrap, error) from error
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
            raise NotFoundError(f"topic {topic!r} does not exist at {self._bootstrap}; `mmrec up` creates it")
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
        # Append time is the clock that judges events and that "known by then" is told by.
        settings.behavior_events: {"message.timestamp.type": "LogAppendTime", **kept},
        settings.catalog_items: {"message.timestamp.type": "LogAppendTime", **compacted},
        settings.item_embeddings: {"message.timestamp.type": "LogAppendTime", **compacted},
        settings.served_lists: {"message.timestamp.type": "LogAppendTime", **kept},
        # A refused value may be as large as Kafka takes it, and base64 adds a third.
        **{
            topic: {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_RECORD_BYTES), **kept}
            for topic in (settings.rejected, settings.catalog_rejected)
        },
    }


class TopicWatch:
    """Looks at one topic's identity again and again over one connection, opened anew after a failure."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
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
        self._admin = self._admin or TopicAdmin(self._bootstrap)
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


def describe_topic(bootstrap: str, topic: str) -> TopicIdentity:
    """Identity of a topic, over a connection of its own."""
    with TopicAdmin(bootstrap) as admin:
        return admin.describe(topic)


@contextmanager
def open_consumer(
    bootstrap: str,
    what: str,
    *,
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
    skipped: SkippedBatches | None = None,
) -> Iterator[Any]:
    """The one opening of a Kafka consumer: without a group, assigned to nothing; nothing is ever committed.

    Records of a transaction are read once it is committed. Until then a partition ends before it (at the last stable
    offset), for positions, end_offsets() and records alike; what was aborted is never seen. All codecs of Kafka are
    read, and a batch that cannot be decoded is left out (mmrec/stores/sound_batches.py).

    Args:
        what: What it is for; errors name it.
        isolation: With read_uncommitted end_offsets() tells where the broker ends, open transactions included.
        skipped: Counts the batches that cannot be decoded; they are logged in any case.

    Raises:
        StoreError: no broker answers; or what the library raises within the block.
        ConfigurationError: a codec is not installed.
    """
    check_codecs()
    try:
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
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
            selector=TersePollSelector,
        )
    except KafkaError as error:
        raise store_error(bootstrap, error) from error
    mend_reading(consumer, skipped or SkippedBatches())
    with closing(consumer):
        try:
            yield consumer
        except KafkaError as error:
            raise store_error(what, error) from error


def places_of(consumer: Any, bootstrap: str, topic: str) -> list[Any]:
    """The topic's partitions, as the library names them; NotFoundError where the broker has no such topic."""
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise NotFoundError(f"topic {topic!r} does not exist at {bootstrap}; `mmrec up` creates it")
    return [kafka.TopicPartition(topic, partition) for partition in sorted(partitions)]


def _records(polled: Mapping[Any, list[Any]]) -> list[TopicRecord]:
    return [
        TopicRecord(r.key, r.value, r.partition, r.offset, r.timestamp / 1000, _IN_OVERLAY in r.headers)
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
    bootstrap: str,
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
    with open_consumer(bootstrap, topic, skipped=skipped) as consumer:
        places = places_of(consumer, bootstrap, topic)
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        _seek(consumer, places, start or {})
        heard_s, before = time.monotonic(), dict[Any, int]()
        while True:
            positions = {place: consumer.position(place) for place in places}
            if all(positions[place] >= ends[place] for place in places):
                return
            # What transactions leave behind has offsets and no records: who passes that is not waiting in vain.
            if positions != before:
                heard_s, before = time.monotonic(), positions
            elif time.monotonic() - heard_s > timeout_s:
                raise StoreError(f"Kafka ({topic}): silent for {timeout_s} s before the end was reached")
            records = _records(consumer.poll(timeout_ms=200))
            yield from (r for r in records if r.offset < ends[kafka.TopicPartition(topic, r.partition)])


def follow_topic(
    bootstrap: str,
    topic: str,
    *,
    stop: Callable[[], bool],
    start: Mapping[int, int] | None = None,
    from_end: bool = False,
    poll_s: float = 0.2,
    skipped: SkippedBatches | None = None,
) -> Iterator[list[TopicRecord]]:
    """Records as they arrive, one list per poll, until `stop()`; an empty list says that nothing came.

    Args:
        start: First offset per partition; partitions left out are read from their beginning.
        from_end: Skip what is there; `start` is then not used. What an open transaction holds is still to come.
        skipped: As in open_consumer().
    """
    with open_consumer(bootstrap, topic, skipped=skipped) as consumer:
        places = places_of(consumer, bootstrap, topic)
        consumer.assign(places)
        if from_end:
            for place, end in consumer.end_offsets(places).items():
                consumer.seek(place, end)
        else:
            _seek(consumer, places, start or {})
        while not stop():
            yield _records(consumer.poll(timeout_ms=int(poll_s * 1000)))
