"""Served lists on their way to the broker: what was sent, what was lost, and that nothing stops the next one."""

import threading

from mmrec.clock import ManualClock
from mmrec.errors import StoreError
from mmrec.events.producer import MemoryRecordProducer
from mmrec.serving import served_lists
from mmrec.serving.served_lists import ServedListWriter


def figures(sent: int, dropped: int) -> dict[str, int]:
    return {"num_served_lists": sent, "num_served_lists_dropped": dropped}


def test_a_list_counts_as_sent_when_the_broker_has_it() -> None:
    producer = MemoryRecordProducer(clock=ManualClock(0.0))
    writer = ServedListWriter(lambda: producer, topic="served-lists")
    writer.put(lambda: (b"u", b"1"))
    writer.put(lambda: (b"u", b"2"))
    writer.close()
    assert writer.figures() == figures(2, 0)
    assert [record.value for record in producer.records("served-lists")] == [b"1", b"2"]


def test_a_list_that_the_broker_does_not_take_counts_as_dropped() -> None:
    producer = MemoryRecordProducer(clock=ManualClock(0.0))
    producer.available = False
    writer = ServedListWriter(lambda: producer, topic="served-lists")
    writer.put(lambda: (b"u", b"1"))
    writer.close()
    assert writer.figures() == figures(0, 1)


def test_a_list_that_cannot_be_serialized_does_not_stop_the_next_one() -> None:
    producer = MemoryRecordProducer(clock=ManualClock(0.0))
    writer = ServedListWriter(lambda: producer, topic="served-lists")

    def broken() -> tuple[bytes, bytes]:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")

    writer.put(broken)
    writer.put(lambda: (b"u", b"2"))
    writer.close()
    assert writer.figures() == figures(1, 1)


def test_a_broker_that_is_not_there_yet_costs_the_lists_until_it_is() -> None:
    producer = MemoryRecordProducer(clock=ManualClock(0.0))
    attempts = []

    def open_producer() -> MemoryRecordProducer:
        attempts.append(1)
        if len(attempts) == 1:
            raise StoreError("no broker")
        return producer

    writer = ServedListWriter(open_producer, topic="served-lists")
    for _ in range(3):
        writer.put(lambda: (b"u", b"1"))
    writer.close()
    assert writer.figures() == figures(2, 1)


def test_a_full_queue_drops_and_counts() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> tuple[bytes, bytes]:
        begun.set()
        go_on.wait(30)
        return b"u", b"1"

    writer = ServedListWriter(lambda: MemoryRecordProducer(clock=ManualClock(0.0)), topic="served-lists")
    writer.put(slow)
    assert begun.wait(30)
    for _ in range(served_lists.QUEUE_SIZE + 3):
        writer.put(lambda: (b"u", b"1"))
    assert writer.figures() == figures(0, 3)
    go_on.set()
