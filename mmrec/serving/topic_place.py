"""How far a replica has read `item-embeddings`, and whether what it has read may be shown yet.

    place = TopicPlace(topic=..., start=mark, ends=..., give_up_s=...)
    follow(place.start)             after an interruption, too: where it ended
    place.passed(records)
    place.is_behind(now_s)          publish nothing

A collection comes with the serving fields of now, while the records since its mark are older states of the same items:
one that is hidden by now is visible in them. So nothing of them is shown before all of them are read.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from mmrec.events.producer import TopicRecord

CATCH_UP_S: Final = 10.0
"""For so long nothing new is shown at most: offsets may have no record any more, and new items wait meanwhile."""


class TopicPlace:
    """For one thread."""

    def __init__(
        self, *, topic: str, start: Mapping[int, int] | None, ends: Mapping[int, int], give_up_s: float
    ) -> None:
        """Nothing is read yet.

        Args:
            topic: "cluster id/topic id".
            start: First offset per partition; None to begin with the topic.
            ends: Next offset per partition when reading began; empty where states in between may be shown.
            give_up_s: Instant from which it is not behind, whatever came.
        """
        self.topic, self._ends, self._give_up_s = topic, ends, give_up_s
        self._offsets = None if start is None else dict(start)

    @property
    def start(self) -> Mapping[int, int] | None:
        """Where to read on."""
        return self._offsets

    def passed(self, records: Sequence[TopicRecord]) -> None:
        """These were taken."""
        for record in records:
            offsets = self._offsets = {} if self._offsets is None else self._offsets
            offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)

    def is_behind(self, now_s: float) -> bool:
        """Whether records that were there at the beginning are still to come."""
        offsets = self._offsets or {}
        return now_s < self._give_up_s and any(offsets.get(part, 0) < end for part, end in self._ends.items())
