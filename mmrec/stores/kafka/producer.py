"""The idempotent producer behind RecordProducer."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import kafka
from kafka.errors import KafkaError

from mmrec.connections.brokers import Brokers, addresses, client_options
from mmrec.events.producer import RecordPlace, Settled
from mmrec.stores.kafka.admin import describe_topic
from mmrec.stores.kafka.append import RecordAppender
from mmrec.stores.kafka.errors import MAX_RECORD_BYTES, store_error
from mmrec.stores.kafka.insides import ask_for_ids_again, wait_for_answers


class KafkaRecordProducer:
    """Idempotent producer: every in-sync replica has a record before its future answers; zstd on the wire."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        delivery_timeout_s: float = 30.0,
        linger_s: float = 0.0,
        max_requests: int = 5,
        header: str = "",
    ) -> None:
        """Connect.

        Args:
            brokers: Addresses, or settings that say more.
            delivery_timeout_s: If the broker does not answer for this long, a record's future fails.
            linger_s: How long a record waits for others; with 0, answers come soonest, and load still makes batches.
            max_requests: Unanswered requests to one broker at once, 1 to 5. With 1, records that arrive meanwhile go
                into the next request: the fewest requests, and batches without waiting.
            header: Name of a header, without a value, for records of send_each() and send_many(), not of send().

        Raises:
            StoreError: no broker answers.
            LibraryVersionError: another version of kafka-python is installed than insides.py was written against.
        """
        timeout_ms = int(delivery_timeout_s * 1000)
        try:
            self._producer = kafka.KafkaProducer(
                **client_options(brokers),
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
            )
        except KafkaError as error:
            raise store_error(addresses(brokers), error) from error
        ask_for_ids_again(self._producer)
        wait_for_answers(self._producer)
        self._appender = RecordAppender(
            self._producer,
            max_record_bytes=MAX_RECORD_BYTES,
            headers=(headers := [(header, b"")] if header else []),
        )
        self._brokers, self._timeout_s, self._headers = brokers, delivery_timeout_s, headers

    def learn_topics(self, topics: Iterable[str]) -> None:
        """Ask the broker for the topics' partitions, so that no send has to wait for that.

        Raises:
            StoreError: the broker does not answer.
            NotFoundError: it has no such topic.
        """
        for topic in topics:
            try:
                self._producer.partitions_for(topic)
            except KafkaError as error:  # the library only says that it timed out
                describe_topic(self._brokers, topic)
                raise store_error(topic, error) from error

    def send(self, topic: str, key: bytes, value: bytes | None) -> "Future[RecordPlace]":
        """Pass on one record; blocks only while the topic is not known yet."""
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
        """Pass on many records; blocks only while the topic is not known yet."""

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
                self._producer.send(topic, value, key, headers=self._headers).add_errback(failures.append)
                num_sent += 1
            self._producer.flush(timeout=max(self._timeout_s, 1.0) + num_sent / 1_000)
        except (KafkaError, TypeError) as error:
            raise store_error(topic, error) from error
        if failures:
            raise store_error(topic, failures[0]) from failures[0]
        return num_sent

    def flush(self) -> None:
        """Wait until all records are settled."""
        try:
            self._producer.flush(timeout=self._timeout_s)
        except KafkaError as error:
            raise store_error("flush", error) from error

    def close(self) -> None:
        """Send what is left, at most for the delivery timeout, and disconnect."""
        self._producer.close(timeout=self._timeout_s)
