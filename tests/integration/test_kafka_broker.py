"""The embedded broker keeps what it was given, whatever happens to its process."""

from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from services.stack.kafka_broker import KafkaBroker
from services.stack.ports import is_open

pytestmark = pytest.mark.integration


def test_a_killed_broker_comes_back_with_everything_it_acknowledged(new_broker: Callable[[], KafkaBroker]):
    broker = new_broker()
    broker.start()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", compression_type="zstd")
    assert [producer.send("kept", b"%d" % n).get(30).offset for n in range(3)] == [0, 1, 2]

    broker.kill()
    assert not is_open(broker.port)
    broker.start()
    assert producer.send("kept", b"3").get(30).offset == 3
    producer.close()

    consumer = KafkaConsumer("kept", bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    values = [next(consumer).value for _ in range(4)]
    consumer.close()
    assert values == [b"0", b"1", b"2", b"3"]

    broker.stop()
    assert not is_open(broker.port)


def test_a_broker_listens_on_the_loopback_address_only(kafka: str):
    import psutil

    port = int(kafka.rpartition(":")[2])
    listening = {
        c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port in {port, port + 1}
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening
