"""Sends served lists to Kafka without delaying answers.

A request only appends to a bounded queue; a thread serializes and sends. A list counts as sent when the broker has it.
It counts as dropped if the queue is full, if it cannot be serialized or if the broker does not accept it.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from mmrec.events.producer import RecordPlace, RecordProducer
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
QUEUE_SIZE = 10_000
LINGER_S = 0.1
"""How long a list waits for others to be sent with it, here and in the producer: waking a thread, and a request to the
broker, cost as much as making the list."""


class ServedListWriter:
    """Sends served lists in the background."""

    def __init__(self, open_producer: Callable[[], RecordProducer], *, topic: str) -> None:
        self._open_producer = open_producer
        self._topic = topic
        self._queue: queue.Queue[Callable[[], tuple[bytes, bytes]] | None] = queue.Queue(QUEUE_SIZE)
        self._thread = threading.Thread(target=self._send_all, name="served-lists", daemon=True)
        self._lock = threading.Lock()
        self._num_dropped = self._num_sent = 0
        self._thread.start()

    def put(self, make_record: Callable[[], tuple[bytes, bytes]]) -> None:
        """Take a list to send; `make_record` serializes it later, in the thread."""
        try:
            self._queue.put_nowait(make_record)
        except queue.Full:
            self._count(lost=True)

    def figures(self) -> dict[str, int]:
        """Lists so far, for the status file."""
        with self._lock:
            return {"num_served_lists": self._num_sent, "num_served_lists_dropped": self._num_dropped}

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(5)

    def _send_all(self) -> None:
        producer: RecordProducer | None = None
        while (make_record := self._next()) is not None:
            try:
                producer = producer or self._open_producer()
                key, value = make_record()
                producer.send(self._topic, key, value).add_done_callback(self._sent)
            except Exception as error:  # one list must not lose those after it
                self._lose(error)
        if producer is not None:
            producer.close()

    def _next(self) -> Callable[[], tuple[bytes, bytes]] | None:
        """The next list; the first one after a pause waits for others."""
        is_first = self._queue.empty()
        make_record = self._queue.get()
        if is_first:
            time.sleep(LINGER_S)
        return make_record

    def _sent(self, future: "Future[RecordPlace]") -> None:
        if (error := future.exception()) is not None:
            self._lose(error)
        else:
            self._count(lost=False)

    def _lose(self, error: BaseException) -> None:
        log.warning("served_list_lost", error=repr(error))
        self._count(lost=True)

    def _count(self, *, lost: bool) -> None:
        with self._lock:
            self._num_dropped += lost
            self._num_sent += not lost
