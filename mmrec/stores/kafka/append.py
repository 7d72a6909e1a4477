"""The short way of many records into kafka-python's accumulator, and three mends of its sender (version 3.0.12).

KafkaProducer.send looks everything up anew for every record and wakes the sender's thread for every new batch, also
while the broker has as many requests under way as it may have: then it finds nothing to do, and every look of it holds
the interpreter's lock against those who append. RecordAppender looks up once per call, and wakes only a sender that
can send.
"""

import math
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Any

from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2
from kafka.producer.transaction_manager import TransactionState
from kafka.structs import TopicPartition

_OVERHEAD_BYTES = 1_024
"""More than what a record adds to its key and value."""
BUSY_PER_S = 1_500
"""Records per second from which on they may wait."""
RATE_S = 0.1
"""How long they are counted before that is decided anew."""
Taken = Callable[[int, Any], None]
"""(position of the record, kafka's RecordMetadata)."""
Failed = Callable[[int, BaseException], None]


class RecordAppender:
    """Hands keyed records to a producer's sender. Safe to call from several threads."""

    def __init__(
        self,
        producer: Any,
        *,
        max_record_bytes: int,
        busy_linger_s: float = 0.0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append to what `producer` sends.

        Args:
            producer: A kafka.KafkaProducer without serializers, partitioner of its own and transactions.
            max_record_bytes: Its max_request_size.
            busy_linger_s: How long a record waits for company while more than BUSY_PER_S come; 0: as at other times.
            headers: Of every record, fewer than 1,000 bytes in all.
        """
        self._producer = producer
        self._headers = list(headers)
        self._append = producer._accumulator.append
        self._sender, self._metadata = producer._sender, producer._metadata
        self._connections = producer._sender._client._manager._conns
        self._max_bytes = max_record_bytes - _OVERHEAD_BYTES
        self._accumulator_config = producer._accumulator.config
        self._linger_ms = self._accumulator_config["linger_ms"]
        self._busy_linger_ms = max(self._linger_ms, int(1_000 * busy_linger_s))
        self._num_since, self._since_s = 0, time.monotonic()

    def append(
        self, topic: str, records: Sequence[tuple[bytes, bytes | None]], *, taken: Taken, failed: Failed
    ) -> None:
        """Hand over; `taken` or `failed` is called once for each record, from any thread.

        Blocks only while the topic is not known yet.
        """
        try:
            known = self._producer.partitions_for(topic)  # waits only while the topic is not known yet
            if not known:
                raise ValueError(f"topic {topic!r} has no partitions")
        except (KafkaError, ValueError, TypeError) as error:
            for at in range(len(records)):
                failed(at, error)
            return
        places = [TopicPartition(topic, partition) for partition in sorted(known)]
        self._note_rate(len(records))
        append, headers, num_places = self._append, self._headers, len(places)
        started: set[TopicPartition] = set()
        for at, (key, value) in enumerate(records):
            try:
                if len(key) + len(value or b"") > self._max_bytes:
                    future = self._producer.send(topic, value, key, headers=headers)  # says whether it is too much
                else:
                    place = places[(murmur2(key) & 0x7FFFFFFF) % num_places]
                    future, is_full, is_new, _ = append(place, None, key, value, headers)
                    if is_full or is_new:
                        started.add(place)
            except (KafkaError, ValueError, TypeError) as error:
                failed(at, error)
                continue
            future.add_callback(taken, at)
            future.add_errback(failed, at)
        if any(self._can_send(place) for place in started):
            self._sender.wakeup()

    def _note_rate(self, number: int) -> None:
        """Let records wait while many come: a request costs client and broker as much as dozens of records.

        The accumulator looks at its configuration anew with every look for records.
        """
        now_s = time.monotonic()
        elapsed_s = now_s - self._since_s
        self._num_since += number
        if elapsed_s >= RATE_S:
            busy = self._num_since > BUSY_PER_S * elapsed_s
            self._accumulator_config["linger_ms"] = self._busy_linger_ms if busy else self._linger_ms
            self._num_since, self._since_s = 0, now_s

    def _can_send(self, place: TopicPartition) -> bool:
        """Whether the leader may be sent something now; else the sender looks again with the next answer.

        It looks for records only after it has noted an answer, so whoever sees the connection still paused after
        appending has appended early enough.
        """
        connection = self._connections.get(self._metadata.leader_for_partition(place))
        return connection is None or not connection.connected or not connection.paused


class TersePollSelector(selectors.DefaultSelector):
    """Says that it does not know a socket without describing it; give it to a client as `selector`.

    The client asks before every wait, as often in vain as not, and a socket's description is four calls of the system.
    """

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Its key; KeyError where it is not registered."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key: selectors.SelectorKey = self._fd_to_key[number]  # type: ignore[attr-defined]
        return key


def mend_sender(producer: Any) -> None:
    """Mend what goes wrong in a producer's sender."""
    _ask_for_ids_again(producer)
    _wait_for_answers(producer)


def _ask_for_ids_again(producer: Any) -> None:
    """It would go silent once a record expired that may have reached the broker.

    It then gives up its producer id, and asks for another one only in the state in which it began, to which it never
    goes back: from there on nothing is sent, and nothing fails.
    """
    manager = producer._transaction_manager
    give_up_id = manager.reset_producer_id

    def give_up_id_and_begin_again() -> None:
        give_up_id()
        manager._current_state = TransactionState.UNINITIALIZED

    manager.reset_producer_id = give_up_id_and_begin_again


def _wait_for_answers(producer: Any) -> None:
    """It would spin while a broker has as many requests under way as it may have.

    With records for another partition at hand it asks how long the connection needs, hears 0, and asks again until the
    answer comes. The answer itself ends the wait.
    """
    client = producer._sender._client
    connections, delay_ms = client._manager._conns, client.connection_delay

    def connection_delay(node_id: Any) -> float:
        connection = connections.get(node_id)
        if connection is not None and connection.connected and connection.paused:
            return math.inf
        return float(delay_ms(node_id))

    client.connection_delay = connection_delay
