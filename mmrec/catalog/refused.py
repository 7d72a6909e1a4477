"""Refused catalogue records on their way to the topic `catalog-items.rejected`, in the form of refused events.

refused = RefusedItems(producer, topic=..., cluster_id=..., topic_id=..., read=...)
refused.tell([(record, refusal), ...])        each record of the source once, however often it is read
"""

from collections.abc import Callable, Iterable
from typing import Final

from mmrec.catalog.refusals import ItemRefusal
from mmrec.events.producer import RecordProducer, TopicRecord
from mmrec.events.rejected import decode_rejected, encode_rejected

MAX_KEPT_BYTES: Final = 5 * 1024 * 1024
"""Bytes kept of a refused value, so that most pictures are whole: base64 adds a third, the topic takes 8 MiB."""
REFUSED_BY_COLLECTOR: Final = "collector"
"""Stands for the cluster of items that were refused before any broker saw them; their offset is -1."""


def refused_record(
    key: bytes | None,
    value: bytes | None,
    refusal: ItemRefusal,
    *,
    time_s: float,
    cluster_id: str = REFUSED_BY_COLLECTOR,
    topic_id: str = "",
    partition: int = 0,
    offset: int = -1,
) -> tuple[bytes, bytes]:
    """Key and value for the rejected topic.

    Args:
        time_s: When the record came in: the broker's append time, or the collector's clock.
    """
    row = {
        "reason": refusal.reason.value,
        "detail": refusal.detail,
        "cluster_id": cluster_id,
        "topic_id": topic_id,
        "partition": partition,
        "offset": offset,
        "original_key": key,
        "original_value": value,
        "ingest_time_s": time_s,
    }
    return encode_rejected(row, max_kept_bytes=MAX_KEPT_BYTES)


class RefusedItems:
    """Tells refusals of one topic's records. What stands on the rejected topic already is not told again."""

    def __init__(
        self,
        producer: RecordProducer,
        *,
        topic: str,
        cluster_id: str,
        topic_id: str,
        read: Callable[[], Iterable[TopicRecord]],
    ) -> None:
        """Nothing is read yet.

        Args:
            topic: The rejected topic.
            cluster_id: Of the topic whose records are refused.
            topic_id: The same.
            read: All records of the rejected topic; asked once, at the first refusal: a catalogue that is encoded
                anew, or after a crash, meets refusals that were told before.
        """
        self._producer, self._topic = producer, topic
        self._cluster_id, self._topic_id = cluster_id, topic_id
        self._read = read
        self._told: set[tuple[int, int]] | None = None

    def tell(self, refused: Iterable[tuple[TopicRecord, ItemRefusal]]) -> int:
        """Write refusals and wait until the broker has them.

        Returns:
            How many were written.

        Raises:
            StoreError: at least one was not taken; tell all of them again.
        """
        fresh = list(refused)
        if not fresh:
            return 0
        if self._told is None:
            self._told = set(self._told_before())
        told = self._told
        fresh = [(record, refusal) for record, refusal in fresh if (record.partition, record.offset) not in told]
        self._producer.send_many(self._topic, (self._encoded(record, refusal) for record, refusal in fresh))
        told.update((record.partition, record.offset) for record, _ in fresh)
        return len(fresh)

    def _encoded(self, record: TopicRecord, refusal: ItemRefusal) -> tuple[bytes, bytes]:
        return refused_record(
            record.key,
            record.value,
            refusal,
            time_s=record.timestamp_s,
            cluster_id=self._cluster_id,
            topic_id=self._topic_id,
            partition=record.partition,
            offset=record.offset,
        )

    def _told_before(self) -> Iterable[tuple[int, int]]:
        for record in self._read():
            try:
                row = decode_rejected(record.value or b"")
                if (row["cluster_id"], row["topic_id"]) == (self._cluster_id, self._topic_id):
                    yield int(row["partition"]), int(row["offset"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # somebody else wrote it
