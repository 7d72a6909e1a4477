"""The open, configured set of behaviors.

Weights follow METHODS M1 (browse 1, favorite 3, cart 5, purchase 10). The id of a behavior is what packed profiles
store: it is small, stable, and never reused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from mmrec.errors import ConfigurationError, NotFoundError

CONTROL_PREFIX = "mmrec."
"""Names that begin so are records of the system itself, not behaviors."""


class Undo(StrEnum):
    """How a behavior takes another one back."""

    SUBTRACT = "subtract"
    """Its own negative weight is added, however often it comes."""
    CANCEL = "cancel"
    """One of the base behavior's events is taken away, never more than there are (scoring/affinity.py)."""


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """One named kind of interaction."""

    name: str
    """Lower-case name as it stands in events."""
    behavior_id: int
    """0 to 255, stable for ever: packed profiles hold it."""
    weight: float
    """Affinity that one event adds; negative where it subtracts, 0 where it cancels."""
    undo_of: str = ""
    """Name of the behavior this one takes back; empty where it takes nothing back."""
    undo: str = "subtract"
    """"subtract" or "cancel", see Undo; without meaning where `undo_of` is empty."""

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip().lower() or self.name.startswith(CONTROL_PREFIX):
            raise ConfigurationError(
                f"behavior name {self.name!r} will not do; use lower case, no {CONTROL_PREFIX!r} prefix"
            )
        if not 0 <= self.behavior_id <= 255:
            raise ConfigurationError(f"behavior {self.name!r} has id {self.behavior_id}; ids go from 0 to 255")
        if not np.isfinite(self.weight):
            raise ConfigurationError(f"behavior {self.name!r} has weight {self.weight}; weights are finite numbers")
        if self.undo not in set(Undo):
            raise ConfigurationError(
                f"behavior {self.name!r} has undo {self.undo!r}; known: {', '.join(sorted(set(Undo)))}"
            )
        if self.undo_of and self.undo == Undo.SUBTRACT and self.weight > 0:
            raise ConfigurationError(
                f"behavior {self.name!r} subtracts {self.undo_of!r} and has weight {self.weight}; give 0 or less"
            )
        if self.undo == Undo.CANCEL and (self.weight != 0 or not self.undo_of):
            raise ConfigurationError(
                f"behavior {self.name!r} cancels {self.undo_of!r} and has weight {self.weight}; "
                f"a behavior that cancels names another one in undo_of and has weight 0"
            )


@dataclass(frozen=True)
class BehaviorSet:
    """All behaviors a deployment knows, ordered by id; axis B of every count array follows this order."""

    behaviors: tuple[Behavior, ...]

    def __post_init__(self) -> None:
        ids = [b.behavior_id for b in self.behaviors]
        names = {b.name for b in self.behaviors}
        if not ids or ids != sorted(set(ids)) or len(names) != len(ids):
            raise ConfigurationError(f"behaviors need unique names and unique, ascending ids; got ids {ids}")
        for behavior in self.behaviors:
            if behavior.undo_of and behavior.undo_of not in names:
                raise ConfigurationError(
                    f"behavior {behavior.name!r} undoes {behavior.undo_of!r}, which is not one of {sorted(names)}"
                )
            if behavior.undo_of and self.behaviors[self.index(behavior.undo_of)].undo_of:
                raise ConfigurationError(
                    f"behavior {behavior.name!r} undoes {behavior.undo_of!r}, which undoes another one itself; "
                    f"undo what adds"
                )

    def __len__(self) -> int:
        return len(self.behaviors)

    def __iter__(self) -> Iterator[Behavior]:
        return iter(self.behaviors)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {b.name: index for index, b in enumerate(self.behaviors)}

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of axis B."""
        return tuple(b.name for b in self.behaviors)

    def index(self, name: str) -> int:
        """Position on axis B; NotFoundError names the behaviors that exist."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFoundError(f"behavior {name!r} is not configured; known: {', '.join(self.names)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def weights_B(self) -> np.ndarray:
        """Weights in the order of axis B, shape (B,), float64."""
        return np.array([b.weight for b in self.behaviors], dtype=np.float64)

    @cached_property
    def cancels(self) -> tuple[tuple[int, int], ...]:
        """(base, cancelling) positions on axis B of each behavior that cancels another one."""
        return tuple(
            (self.index(b.undo_of), self.index(b.name)) for b in self.behaviors if b.undo_of and b.undo == Undo.CANCEL
        )

    @cached_property
    def ids_B(self) -> np.ndarray:
        """Stable ids in the order of axis B, shape (B,), uint8."""
        return np.array([b.behavior_id for b in self.behaviors], dtype=np.uint8)


def shop_behaviors() -> BehaviorSet:
    """Browse, favorite, cart, purchase with the weights of METHODS M1."""
    return BehaviorSet(
        (
            Behavior(name="browse", behavior_id=1, weight=1.0),
            Behavior(name="favorite", behavior_id=2, weight=3.0),
            Behavior(name="cart", behavior_id=3, weight=5.0),
            Behavior(name="purchase", behavior_id=4, weight=10.0),
        )
    )


def media_behaviors() -> BehaviorSet:
    """Watch and like, for films and music; a like says about as much as a cart does in a shop."""
    return BehaviorSet(
        (
            Behavior(name="watch", behavior_id=16, weight=1.0),
            Behavior(name="like", behavior_id=17, weight=5.0),
        )
    )


def behavior_set(behaviors: Sequence[Behavior]) -> BehaviorSet:
    """A set from behaviors in any order."""
    return BehaviorSet(tuple(sorted(behaviors, key=lambda b: b.behavior_id)))
