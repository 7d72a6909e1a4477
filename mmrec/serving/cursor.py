"""Where a thread is that goes through all items again and again."""

from dataclasses import dataclass

from mmrec.serving.release_loading import PORTION


@dataclass
class Cursor:
    """Goes through the catalogue again and again at an even pace."""

    position: int = 0
    moved_s: float = 0.0

    def next(self, item_ids: tuple[str, ...], round_s: float, now_s: float) -> tuple[str, ...]:
        """The items that are due when a round takes `round_s`, at most PORTION."""
        due = min(PORTION, int(len(item_ids) * (now_s - self.moved_s) / round_s) + 1)
        self.moved_s = now_s
        start = self.position if self.position < len(item_ids) else 0
        self.position = start + due
        return item_ids[start : start + due]
