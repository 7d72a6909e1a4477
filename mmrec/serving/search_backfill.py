"""Records of the past for search: where a replica follows the topic of embeddings from a release's mark on, the raw
vectors and descriptions of older items are read in the background, at half of one processor's time.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mmrec.events.producer import TopicRecord
from mmrec.serving.item_record import ItemUpdate, read_item_update
from mmrec.serving.search_content import SearchContent
from mmrec.telemetry.logs import get_logger
from mmrec.wire.portions import portions

log = get_logger(__name__)
PORTION: Final = 20
"""Records between two pauses: some ten milliseconds' worth."""
RETRY_S: Final = 5.0


class Backfill:
    """One thread that reads the topic once, from its beginning to where it ends at the time."""

    def __init__(
        self, content: SearchContent, read: Callable[[], Iterable[TopicRecord]], *, stopping: threading.Event
    ) -> None:
        self._content, self._read, self._stopping = content, read, stopping
        self._thread: threading.Thread | None = None
        self.num_broken = 0
        self.is_done = False

    def start(self) -> None:
        """Start, unless it was started before."""
        if self._thread is None:
            self.is_done = False
            self._content.backfilling()
            self._thread = threading.Thread(target=self._run, name="search-backfill", daemon=True)
            self._thread.start()

    def not_needed(self) -> None:
        """Say that all records come anyway."""
        if self._thread is None:
            self._done()

    def _done(self) -> None:
        self._content.backfilled()
        self.is_done = True

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                for records in portions(self._read(), PORTION):
                    portion_s = time.monotonic()
                    self._content.backfill(list(self._updates(records)))
                    if self._stopping.wait(time.monotonic() - portion_s):
                        return
            except Exception as error:  # a lost broker; what was read before is read again, to the same end
                log.warning("search_backfill_interrupted", error=repr(error))
                self._stopping.wait(RETRY_S)
            else:
                self._done()
                seconds = round(time.monotonic() - began_s, 3)
                log.info("search_backfilled", num_records=self._content.num_backfilled, seconds=seconds)
                return

    def _updates(self, records: Iterable[TopicRecord]) -> Iterator[ItemUpdate]:
        for record in records:
            try:
                yield read_item_update(record.key, record.value)
            except Exception:  # it is logged by who follows the topic
                self.num_broken += 1
