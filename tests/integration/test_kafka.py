"""The Kafka adapters on a real broker."""

from collections.abc import Callable
from dataclasses import replace

import kafka as kafka_python
import pytest

from mmrec.config import KafkaSettings
from mmrec.errors import ConfigurationError, NotFoundError, StoreError
from mmrec.stores.kafka.admin import TopicAdmin, describe_topic
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.readers import follow_topic, read_topic
from mmrec.stores.kafka.stream_topics import check_append_time

pytestmark = pytest.mark.integration
Topics = Callable[..., KafkaSettings]


def test_topics_are_created_once_and_known_by_id(topics: Topics) -> None:
    settings = topics(num_partitions=3)
    with TopicAdmin(settings.bootstrap) as admin:
        assert admin.create_topics(settings) == []
    identity = describe_topic(settings.bootstrap, settings.behavior_events)
    other = describe_topic(settings.bootstrap, settings.catalog_items)
    assert identity.num_partitions == 3
    assert identity.cluster_id == other.cluster_id
    assert identity.topic_id != other.topic_id


def test_a_topic_that_producers_stamp_is_refused_by_the_stream(topics: Topics) -> None:
    settings = topics()
    check_append_time(settings)
    own = replace(settings, behavior_events=settings.behavior_events + "-own-time")
    admin = kafka_python.KafkaAdminClient(bootstrap_servers=settings.bootstrap)
    configs = {"message.timestamp.type": "CreateTime"}
    admin.create_topics({own.behavior_events: {"num_partitions": 1, "configs": configs}})
    admin.wait_for_topics([own.behavior_events])
    admin.close()
    with pytest.raises(ConfigurationError, match=r"timestamp\.type=CreateTime"):
        check_append_time(own)


def test_a_topic_that_is_not_there_is_said_to_be_missing(kafka: str) -> None:
    with pytest.raises(NotFoundError, match="no-such-topic"):
        describe_topic(kafka, "no-such-topic")
    with pytest.raises(NotFoundError, match="no-such-topic"):
        next(read_topic(kafka, "no-such-topic"))


def test_a_broker_that_is_not_there_is_a_store_error() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        TopicAdmin("127.0.0.1:9").close()


def test_a_topic_is_read_from_given_offsets_to_the_end_at_the_call(topics: Topics) -> None:
    settings = topics(num_partitions=1)
    producer = KafkaRecordProducer(settings.bootstrap)
    producer.send_many(settings.behavior_events, [(b"k", str(n).encode()) for n in range(5)])
    reader = read_topic(settings.bootstrap, settings.behavior_events, start={0: 2})
    first = next(reader)
    producer.send_many(settings.behavior_events, [(b"k", b"later")])
    assert [r.value for r in (first, *reader)] == [b"2", b"3", b"4"]
    assert list(read_topic(settings.bootstrap, settings.served_lists)) == []
    producer.close()


@pytest.mark.parametrize(("from_end", "expected"), [(False, [b"before", b"after"]), (True, [b"after"])])
def test_following_sees_what_arrives_and_ends_when_told(topics: Topics, from_end: bool, expected: list[bytes]) -> None:
    settings = topics(num_partitions=1)
    producer = KafkaRecordProducer(settings.bootstrap)
    producer.send_many(settings.behavior_events, [(b"k", b"before")])
    seen: list[bytes | None] = []
    sent = False
    follow = follow_topic(
        settings.bootstrap, settings.behavior_events, stop=lambda: b"after" in seen, from_end=from_end
    )
    for records in follow:
        seen += [r.value for r in records]
        if not sent and (from_end or seen):
            producer.send_many(settings.behavior_events, [(b"k", b"after")])
            sent = True
    assert seen == expected
    producer.close()


def test_a_picture_of_five_megabytes_fits_the_catalogue(topics: Topics) -> None:
    settings = topics()
    producer = KafkaRecordProducer(settings.bootstrap)
    producer.send_many(settings.catalog_items, [(b"i", bytes(5_000_000))])
    assert [len(r.value or b"") for r in read_topic(settings.bootstrap, settings.catalog_items)] == [5_000_000]
    producer.close()
