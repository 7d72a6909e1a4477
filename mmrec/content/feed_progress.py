"""How far a feed is on its way through a topic that was there before it: done, rate, time left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FeedProgress:
    """A stretch of a topic, measured in offsets: in a compacted topic some of them have no record any more."""

    start: Mapping[int, int]
    """Partition -> first offset to read; those left out are read from 0."""
    end: Mapping[int, int]
    """Partition -> offset behind the last one."""
    started_s: float

    def figures(self, at: Mapping[int, int], *, now_s: float, num_items: int) -> dict[str, Any]:
        """Plain numbers for a status file or a log line.

        Args:
            at: Partition -> next offset.
            num_items: Items that were published since the start.

        Returns:
            num_done and num_all offsets, items_per_s, and remaining_s at the rate so far; None before there is one.
        """
        num_all = sum(max(0, end - self.start.get(p, 0)) for p, end in self.end.items())
        num_done = sum(min(at.get(p, 0), end) - self.start.get(p, 0) for p, end in self.end.items() if p in at)
        num_done = max(0, min(num_done, num_all))
        elapsed_s = max(now_s - self.started_s, 1e-9)
        remaining_s = elapsed_s * (num_all - num_done) / num_done if num_done else None
        return {
            "num_done": num_done,
            "num_all": num_all,
            "items_per_s": round(num_items / elapsed_s, 1),
            "remaining_s": None if remaining_s is None else round(remaining_s, 1),
        }
