"""What a list became: which items entered, left, went up or down, and by how many places."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Move:
    """One item whose place changed."""

    item_id: str
    rank: int
    """1-based place now; 0 where it left."""
    former_rank: int
    """1-based place before; 0 where it was not there."""

    @property
    def places(self) -> int:
        """Places gained, above 0 where it went up; 0 where it entered or left."""
        return self.former_rank - self.rank if self.rank and self.former_rank else 0


@dataclass(frozen=True, kw_only=True)
class ListChanges:
    """Between two lists, each group in the order of the list that has the items."""

    entered: tuple[Move, ...] = ()
    left: tuple[Move, ...] = ()
    up: tuple[Move, ...] = ()
    down: tuple[Move, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entered or self.left or self.up or self.down)

    def of(self, item_id: str) -> Move | None:
        """The move of an item; None where it stayed in its place."""
        moves = (*self.entered, *self.left, *self.up, *self.down)
        return next((move for move in moves if move.item_id == item_id), None)


def list_changes(before: Sequence[str], after: Sequence[str]) -> ListChanges:
    """Changes from one list of item ids to another; an item that comes twice counts where it comes first."""
    former, now = _ranks(before), _ranks(after)
    moves = [Move(item_id=i, rank=rank, former_rank=former.get(i, 0)) for i, rank in now.items()]
    return ListChanges(
        entered=tuple(m for m in moves if not m.former_rank),
        left=tuple(Move(item_id=i, rank=0, former_rank=rank) for i, rank in former.items() if i not in now),
        up=tuple(m for m in moves if m.places > 0),
        down=tuple(m for m in moves if m.former_rank and m.places < 0),
    )


def _ranks(item_ids: Sequence[str]) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for rank, item_id in enumerate(item_ids, 1):
        ranks.setdefault(item_id, rank)
    return ranks
