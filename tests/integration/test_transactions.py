"""Transactions on a real broker: what is aborted or still open is never read, whatever the last offsets are."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import kafka as kafka_python
import pytest

from mmrec.config import KafkaSettings
from mmrec.stores.kafka.producer import KafkaRecordProducer
from mmrec.stores.kafka.readers import follow_topic, read_topic
from mmrec.stores.kafka.stream_topics import starting_offsets, stream_topics
from mmrec.stores.kafka.topic_ends import end_offsets, source_ends

pytestmark = pytest.mark.integration
Topics = Callable[..., KafkaSettings]


@contextmanager
def transactions(bootstrap: str, name: str) -> Iterator[Any]:
    """A producer of transactions, between two of them."""
    with closing(kafka_python.KafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)) as producer:
        producer.init_transactions()
        yield producer


def put(producer: Any, topic: str, *values: bytes) -> None:
    for value in values:
        producer.send(topic, value, b"k")
    producer.flush()


def values(settings: KafkaSettings, topic: str, **named: Any) -> list[bytes | None]:
    return [r.value for r in read_topic(settings.bootstrap, topic, **named)]


@pytest.mark.parametrize("topic", ["behavior_events", "served_lists", "catalog_items", "item_embeddings", "rejected"])
@pytest.mark.parametrize("end", ["committed", "aborted", "open"])
def test_a_topic_is_read_to_its_end_whatever_a_transaction_left_there(topics: Topics, topic: str, end: str) -> None:
    settings = topics(num_partitions=1)
    name = getattr(settings, topic)
    with transactions(settings.bootstrap, name) as producer:
        producer.begin_transaction()
        put(producer, name, b"aborted first")
        producer.abort_transaction()
        producer.begin_transaction()
        put(producer, name, b"committed")
        producer.commit_transaction()
        producer.begin_transaction()
        put(producer, name, b"last")
        if end == "committed":
            producer.commit_transaction()
        elif end == "aborted":
            producer.abort_transaction()
        assert values(settings, name) == [b"committed", *([b"last"] if end == "committed" else [])]
        assert end_offsets(settings.bootstrap, name) == {0: 4 if end == "open" else 6}


def test_what_an_open_transaction_holds_back_is_read_once_it_ends(topics: Topics) -> None:
    settings = topics(num_partitions=1)
    name, seen = settings.behavior_events, list[bytes | None]()
    other = KafkaRecordProducer(settings.bootstrap)
    with transactions(settings.bootstrap, name) as producer:
        for commits, expected in ((True, [b"in it", b"beside it"]), (False, [b"beside it"])):
            producer.begin_transaction()
            put(producer, name, b"in it")
            other.send_many(name, [(b"k", b"beside it")])
            start, held = end_offsets(settings.bootstrap, name), len(seen)
            assert values(settings, name, start=start) == []
            follow = follow_topic(
                settings.bootstrap, name, start=start, stop=lambda held=held: b"beside it" in seen[held:]
            )
            assert next(follow) == []
            if commits:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
            for records in follow:
                seen.extend(r.value for r in records)
            assert seen[held:] == expected
    other.close()


def test_a_follower_that_begins_at_the_end_gets_what_is_committed_later(topics: Topics) -> None:
    settings = topics(num_partitions=1)
    name, seen = settings.behavior_events, list[bytes | None]()
    with transactions(settings.bootstrap, name) as producer:
        producer.begin_transaction()
        put(producer, name, b"open")
        follow = follow_topic(settings.bootstrap, name, from_end=True, stop=lambda: bool(seen))
        assert next(follow) == []
        producer.commit_transaction()
        for records in follow:
            seen.extend(r.value for r in records)
    assert seen == [b"open"]


def test_an_open_transaction_is_no_loss_of_the_broker(topics: Topics) -> None:
    settings = topics(num_partitions=1)
    name = settings.behavior_events
    known = stream_topics(settings)
    with transactions(settings.bootstrap, name) as producer:
        producer.begin_transaction()
        put(producer, name, b"1", b"2")
        marks = dict.fromkeys(source_ends(settings.bootstrap, [known[name]]), 1)
        starts, num_deleted = starting_offsets(settings.bootstrap, known, marks)
    assert num_deleted == 0
    assert {starts[source] for source in marks} == {2}
