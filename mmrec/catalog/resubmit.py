"""What a refused catalogue record would meet if it came now.

An item is a state, not an event: a refused one that is older than what the topic holds of the item would undo it, so it
is not sent again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.events.producer import TopicRecord


class ItemDoor:
    """The rules of catalog-items; see mmrec.events.resubmit.Door."""

    def __init__(self, read: Callable[[], Iterable[TopicRecord]]) -> None:
        """Nothing is read yet.

        Args:
            read: All records of catalog-items.
        """
        self._read = read
        self._newest_s: dict[bytes, float] = {}

    def expect(self, keys: Collection[bytes]) -> None:
        """Look up what the topic holds of these items."""
        self._newest_s = {}
        if not keys:
            return
        for record in self._read():
            key = record.key or b""
            if key in keys and not isinstance(parse_change(record.key, record.value), ItemRefusal):
                self._newest_s[key] = max(record.timestamp_s, self._newest_s.get(key, record.timestamp_s))

    def refusal(self, key: bytes, value: bytes) -> str:
        """See Door."""
        found = parse_change(key, value)
        return f"{found.reason.value}: {found.detail}" if isinstance(found, ItemRefusal) else ""

    def is_superseded(self, row: Mapping[str, Any]) -> bool:
        """Whether a record of the item came in after this one and was taken, a removal, too."""
        newest_s = self._newest_s.get(row["original_key"])
        return newest_s is not None and newest_s > row["ingest_time_s"]

    def marked(self, row: Mapping[str, Any], *, place: str) -> bytes:
        """The original: an item sent twice is the same item."""
        value: bytes = row["original_value"]
        return value
