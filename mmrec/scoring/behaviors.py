"""The open, configured set of behaviors.

Weights are 1 for browse, 3 for favorite, 5 for cart, 10 for purchase by default (Lu et al., CMC 2026; METHODS M1). The
id of a behavior is what packed profiles store: it is small, stable, and never reused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from mmrec.errors import NotFoundError, SettingError
from mmrec.wire.declared import Name, check

CONTROL_PREFIX = "mmrec."
"""Names with this prefix are records of the system itself, not behaviors."""


class Undo(StrEnum):
    """How a behavior takes another one back."""

    SUBTRACT = "subtract"
    """Its own negative weight is added, however often it comes."""
    CANCEL = "cancel"
    """It removes one event of the base behavior, never more than there are (scoring/affinity.py)."""


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """One named kind of interaction."""

    name: Name
    """Lower-case name as it stands in events; names that begin with "mmrec." are the system's own."""
    behavior_id: Annotated[int, Meta(ge=0, le=255)]
    """0 to 255, stable for ever: packed profiles hold it."""
    weight: float
    """Affinity that one event adds; negative where it subtracts, 0 where it cancels."""
    undo_of: str = ""
    """Name of the behavior this one takes back; empty where it takes nothing back."""
    undo: Undo = Undo.SUBTRACT
    """How it takes it back; ignored where `undo_of` is empty."""
    phrase: str = field(default="", compare=False)
    """What explanations say after "You", with {} for the item, such as "put {} in the cart"; if empty, they say
    did "<name>" on {}. It does not change scores, so behaviors that differ only in this compare equal."""
    hides: bool = field(default=False, compare=False)
    """Whether items the user did this to are not listed for them again. Ignored in comparisons, like `phrase`."""
    hides_alike: str = field(default="", compare=False)
    """Attribute, such as brand: items that share a value of it with one the user did this to are not listed for them,
    until it is undone. Its weight is below 0, as it says that something is not wanted. Ignored in comparisons."""

    def __post_init__(self) -> None:
        check(self, "behaviors")
        if self.name != self.name.strip().lower() or self.name.startswith(CONTROL_PREFIX):
            raise SettingError(
                ("behaviors", "name"), f"is {self.name!r}; use lower case, and no {CONTROL_PREFIX!r} as a prefix"
            )
        if self.phrase and (self.phrase.count("{}") != 1 or set(self.phrase.replace("{}", "")) & set("{}")):
            raise SettingError(
                ("behaviors", "phrase"), f'is {self.phrase!r}; give what comes after "You", with one {{}} for the item'
            )
        if self.undo_of and (self.hides or self.hides_alike):
            raise SettingError(
                ("behaviors", "hides"), f"is set and {self.name!r} takes another behavior back; give one of the two"
            )
        if self.hides_alike and self.weight >= 0:
            raise SettingError(
                ("behaviors", "weight"),
                f"is {self.weight} and {self.name!r} hides what is alike; give less than 0",
            )
        if self.undo_of and self.undo == Undo.SUBTRACT and self.weight > 0:
            raise SettingError(
                ("behaviors", "weight"),
                f"is {self.weight} and {self.name!r} subtracts {self.undo_of!r}; give 0 or less",
            )
        if self.undo == Undo.CANCEL and self.weight != 0:
            raise SettingError(("behaviors", "weight"), f"is {self.weight} and {self.name!r} cancels; give 0")
        if self.undo == Undo.CANCEL and not self.undo_of:
            raise SettingError(
                ("behaviors", "undo_of"), f"is empty and {self.name!r} cancels; name the behavior it takes back"
            )

    def said_of(self, title: str) -> str:
        """The phrase with an item in it."""
        return (self.phrase or f'did "{self.name}" on {{}}').replace("{}", f'"{title}"')


@dataclass(frozen=True)
class BehaviorSet:
    """All behaviors a deployment knows, ordered by id; axis B of every count array follows this order."""

    behaviors: tuple[Behavior, ...]

    def __post_init__(self) -> None:
        ids = [b.behavior_id for b in self.behaviors]
        names = {b.name for b in self.behaviors}
        if not ids or ids != sorted(set(ids)) or len(names) != len(ids):
            got = ", ".join(f"{b.name} ({b.behavior_id})" for b in self.behaviors) or "none"
            raise SettingError(("behaviors",), f"need unique names and unique, ascending ids; there are {got}")
        for behavior in self.behaviors:
            if behavior.undo_of and behavior.undo_of not in names:
                raise SettingError(
                    ("behaviors",), f"has {behavior.name!r} undo {behavior.undo_of!r}; give one of {sorted(names)}"
                )
            if behavior.undo_of and self.behaviors[self.index(behavior.undo_of)].undo_of:
                raise SettingError(
                    ("behaviors",),
                    f"has {behavior.name!r} undo {behavior.undo_of!r}, which undoes another one itself; undo what adds",
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
    def hiding(self) -> tuple[int, ...]:
        """Positions on axis B of the behaviors that take an item off the user's lists."""
        return tuple(place for place, behavior in enumerate(self.behaviors) if behavior.hides)

    @cached_property
    def hiding_alike(self) -> tuple[tuple[int, str], ...]:
        """(position on axis B, attribute) of the behaviors that take items of one value off the user's lists."""
        return tuple((place, each.hides_alike) for place, each in enumerate(self.behaviors) if each.hides_alike)

    @cached_property
    def unwanting(self) -> tuple[int, ...]:
        """Positions on axis B of the behaviors that say what is not wanted: that hide, and weigh less than nothing.

        Items that they were done to are the last to be dropped from a full profile.
        """
        return tuple(
            place for place, each in enumerate(self.behaviors) if each.weight < 0 and (each.hides or each.hides_alike)
        )

    @cached_property
    def ids_B(self) -> np.ndarray:
        """Stable ids in the order of axis B, shape (B,), uint8."""
        return np.array([b.behavior_id for b in self.behaviors], dtype=np.uint8)


def shop_behaviors() -> BehaviorSet:
    """Browse, favorite, cart, purchase with weights 1, 3, 5, 10 (METHODS M1)."""
    return BehaviorSet(
        (
            Behavior(name="browse", behavior_id=1, weight=1.0, phrase="browsed {}"),
            Behavior(name="favorite", behavior_id=2, weight=3.0, phrase="saved {}"),
            Behavior(name="cart", behavior_id=3, weight=5.0, phrase="put {} in the cart"),
            Behavior(name="purchase", behavior_id=4, weight=10.0, phrase="bought {}", hides=True),
        )
    )


def media_behaviors() -> BehaviorSet:
    """Watch and like, for films and music; a like weighs about as much as a cart in a shop."""
    return BehaviorSet(
        (
            Behavior(name="watch", behavior_id=16, weight=1.0, phrase="watched {}", hides=True),
            Behavior(name="like", behavior_id=17, weight=5.0, phrase="liked {}"),
        )
    )


def usual_traits(name: str) -> dict[str, Any]:
    """Phrase and hiding of the behavior of that name in shop_behaviors() or media_behaviors(); nothing for other names.

    They fill in what a configuration leaves out when it lists such a behavior, for instance to change its weight.

    Returns:
        Arguments of Behavior.
    """
    usual = [behavior for behavior in (*shop_behaviors(), *media_behaviors()) if behavior.name == name]
    return {"phrase": usual[0].phrase, "hides": usual[0].hides} if usual else {}


def behavior_set(behaviors: Sequence[Behavior]) -> BehaviorSet:
    """A set from behaviors in any order."""
    return BehaviorSet(tuple(sorted(behaviors, key=lambda b: b.behavior_id)))
