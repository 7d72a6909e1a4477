"""What of a topic still waits: the newest record of each item, by place, read from the topic again when its turn comes.

waiting = Waiting()
waiting.add(record)             in the order of the topic; of an item the newest counts
waiting.start                   partition -> first offset that waits, whatever was added and dropped since
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from mmrec.events.producer import TopicRecord


class Waiting:
    """Keys and places alone, so that memory does not grow with what records hold. For one thread."""

    def __init__(self) -> None:
        self._of: dict[int, OrderedDict[bytes, int]] = {}
        """Partition -> key -> offset, ascending."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __contains__(self, key: bytes) -> bool:
        return any(key in offsets for offsets in self._of.values())

    def add(self, record: TopicRecord) -> None:
        """Wait for this record, and for no other one of its item."""
        key = record.key or b""
        self.drop(key)
        self._of.setdefault(record.partition, OrderedDict())[key] = record.offset

    def drop(self, key: bytes) -> None:
        """Nothing of this item waits any more."""
        for offsets in self._of.values():
            offsets.pop(key, None)

    def has(self, record: TopicRecord) -> bool:
        """Whether it is this record of its item that waits."""
        of = self._of.get(record.partition)
        return of is not None and of.get(record.key or b"") == record.offset

    def places(self) -> Iterator[tuple[bytes, int, int]]:
        """(key, partition, offset) of all as they are now."""
        yield from [(key, partition, offset) for partition, of in self._of.items() for key, offset in of.items()]

    @property
    def start(self) -> Mapping[int, int]:
        """Partition -> offset of its first record; partitions in which nothing waits are left out."""
        return {partition: next(iter(of.values())) for partition, of in self._of.items() if of}
