"""Reading topics: the port. mmrec.stores.kafka has it for Kafka; mmrec.wiring opens it.

topics = open_topics(settings)
for record in topics.read("behavior-events"): ...             to where the topic ends now
for records in topics.follow("item-embeddings", stop=stop.is_set): ...
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from mmrec.events.producer import TopicRecord
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class TopicIdentity:
    """What identifies a topic: one that was deleted and created again under the same name has another topic_id."""

    cluster_id: str
    topic_id: str
    num_partitions: int


@dataclass(frozen=True, kw_only=True)
class SkippedBatch:
    """A batch that cannot be decoded."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    """Both offsets belong to the batch."""
    reason: str


class SkippedBatches:
    """Batches that a process could not decode, by topic. Safe to use from several threads."""

    def __init__(self) -> None:
        self.first: SkippedBatch | None = None
        """The first of all; None before there is one."""
        self._num: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, batch: SkippedBatch) -> None:
        """Log and count one that was left out."""
        with self._lock:
            self._num[batch.topic] += 1
            self.first = self.first or batch
        log.error("batch_skipped", **asdict(batch))

    def by_topic(self) -> dict[str, int]:
        """Batches so far."""
        with self._lock:
            return dict(self._num)

    @property
    def num_batches(self) -> int:
        """Of all topics."""
        return sum(self.by_topic().values())

    def figures(self) -> dict[str, int]:
        """For the status file."""
        return {"num_skipped_batches": self.num_batches}


class Topics(Protocol):
    """The topics of one broker, read without a consumer group; no offset is ever committed.

    All methods raise StoreError where no broker answers and NotFoundError where it has no such topic.
    """

    def read(
        self, topic: str, *, start: Mapping[int, int] | None = None, skipped: SkippedBatches | None = None
    ) -> Iterator[TopicRecord]:
        """Every record from `start` to where the topic ends at the time of the call, ordered within each partition.

        Args:
            start: First offset per partition; partitions left out are read from their beginning.
            skipped: Counts the batches that cannot be decoded, which are left out; they are logged in any case.
        """
        ...

    def follow(
        self,
        topic: str,
        *,
        stop: Callable[[], bool],
        start: Mapping[int, int] | None = None,
        from_end: bool = False,
        skipped: SkippedBatches | None = None,
    ) -> Iterator[list[TopicRecord]]:
        """Records as they arrive, one list per poll (about 0.2 s), until `stop()`; the list is empty if none arrived.

        Args:
            start: First offset per partition; partitions left out are read from their beginning.
            from_end: Skip what is there; `start` is then not used. What an open transaction holds is still to come.
            skipped: As in read().
        """
        ...

    def describe(self, topic: str) -> TopicIdentity:
        """The topic that has this name now."""
        ...

    def ends(self, topic: str) -> dict[int, int]:
        """Partition -> the offset up to which its records can be read: the next one's, or the first of an open
        transaction.
        """
        ...

    def setting(self, topic: str, name: str) -> str:
        """Value of one setting of a topic, the broker's default where the topic has none of its own."""
        ...


class TopicWatch(Protocol):
    """Looks at one topic's identity again and again."""

    def identity(self) -> tuple[str, str]:
        """(cluster id, topic id); raises what describe() does."""
        ...

    def describe(self) -> TopicIdentity:
        """The topic as it is now; errors as Topics."""
        ...

    def close(self) -> None:
        """Disconnect; the next look connects again."""
        ...
