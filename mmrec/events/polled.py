"""Records as they arrive, read ahead by a thread of its own, so that who takes them can do other work meanwhile.

polled = Polled(topics.follow(...))
for records in iter(lambda: polled.next(wait_s=0.2), None): ...
"""

import queue
import threading
from collections.abc import Iterator
from typing import Final

from mmrec.events.producer import TopicRecord

_POLLS_AHEAD: Final = 4
"""Polls that are held in memory until they are asked for."""


class Polled:
    """Polls of a topic. The thread ends with the iterator, or at the first poll after close()."""

    def __init__(self, polls: Iterator[list[TopicRecord]]) -> None:
        self._polls = polls
        self._queue: queue.Queue[list[TopicRecord] | Exception | None] = queue.Queue(_POLLS_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="topic-polls", daemon=True)
        self._thread.start()

    def next(self, *, wait_s: float) -> list[TopicRecord] | None:
        """The next records, an empty list where none arrived within `wait_s`, None after the last ones.

        Raises:
            StoreError: as the iterator did.
        """
        try:
            polled = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
        except queue.Empty:
            return []
        if isinstance(polled, Exception):
            raise polled
        return polled

    def close(self) -> None:
        """Read nothing more."""
        self._closed.set()

    def _read(self) -> None:
        try:
            for records in self._polls:
                if records:
                    self._put(records)
                if self._closed.is_set():
                    return
            self._put(None)
        except Exception as error:  # told to who asks for records
            self._put(error)

    def _put(self, polled: list[TopicRecord] | Exception | None) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(polled, timeout=0.2)
                return
            except queue.Full:
                continue
