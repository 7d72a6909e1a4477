"""Served lists on their way to Kafka, never in an answer's way.

A request only appends to a bounded queue; a thread serializes and sends. When the broker is away and the queue is
full, lists are dropped and counted.
"""

import queue
import threading
from collections.abc import Callable

from mmrec.errors import MmrecError
from mmrec.events.producer import RecordProducer
from mmrec.telemetry import get_logger

log = get_logger(__name__)
QUEUE_SIZE = 10_000


class ServedListWriter:
    """Sends served lists behind the requests' backs."""

    def __init__(self, open_producer: Callable[[], RecordProducer], *, topic: str) -> None:
        self._open_producer = open_producer
        self._topic = topic
        self._queue: queue.Queue[Callable[[], tuple[bytes, bytes]] | None] = queue.Queue(QUEUE_SIZE)
        self._thread = threading.Thread(target=self._send_all, name="served-lists", daemon=True)
        self.num_dropped = 0
        self.num_sent = 0
        self._thread.start()

    def put(self, make_record: Callable[[], tuple[bytes, bytes]]) -> None:
        """Take a list to send; `make_record` serializes it later, in the thread."""
        try:
            self._queue.put_nowait(make_record)
        except queue.Full:
            self.num_dropped += 1

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(5)

    def _send_all(self) -> None:
        producer: RecordProducer | None = None
        while (make_record := self._queue.get()) is not None:
            try:
                producer = producer or self._open_producer()
                key, value = make_record()
                producer.send(self._topic, key, value)
                self.num_sent += 1
            except MmrecError as error:
                self.num_dropped += 1
                log.warning("served_list_lost", error=str(error))
        if producer is not None:
            producer.close()
