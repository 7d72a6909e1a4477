"""Which items a positive is ranked among (METHODS M35): drawn once per task and seed, the same for every model.

    full            every item of the catalogue                                                      (primary)
    uniform_m       m items, each equally likely: m of 9, 19, 49, 99
    popular_99      99 items, likely as they are popular among the events that a refit sees
    cold            items that the fit saw no event of; asked are positives that are such items

Negatives are drawn without repetition, never among the target's positives, and for "new to the user" never among the
items of its history.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.errors import InvalidRequestError
from mmrec.evaluation.interactions import FloatArray, IntArray
from mmrec.evaluation.task import SeenPolicy, Targets

FULL: Final = "full"
COLD: Final = "cold"
CANDIDATES: Final = (FULL, "uniform_9", "uniform_19", "uniform_49", "uniform_99", "popular_99", COLD)
_DRAWN: Final = re.compile(r"(uniform|popular)_([1-9]\d{0,4})")


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnCandidates:
    """Negatives of each target."""

    name: str
    seen: SeenPolicy
    items_NM: IntArray
    """Item rows; distinct within a target."""


def candidate_name(name: str) -> str:
    """The name, where it is one of `full`, `cold`, `uniform_M` and `popular_M`.

    Raises:
        InvalidRequestError: it is not.
    """
    if name not in (FULL, COLD) and not _DRAWN.fullmatch(name):
        raise InvalidRequestError(
            f"no candidates are called {name!r}; give full, cold, uniform_M or popular_M, M from 1"
        )
    return name


def draw_candidates(
    targets: Targets, name: str, *, seen: SeenPolicy, popularity_I: FloatArray, seed: int
) -> DrawnCandidates:
    """Negatives of all targets.

    Args:
        name: "uniform_M" or "popular_M".
        popularity_I: Events per item that count for popular ones; one is added to each, so that every item has a
            chance.
        seed: The same task, name and seed give the same items.

    Raises:
        InvalidRequestError: another name, or a target has fewer items left than negatives are wanted.
    """
    found = _DRAWN.fullmatch(name)
    if found is None:
        raise InvalidRequestError(f"{name!r} are not drawn; give uniform_M or popular_M")
    num_negatives, num_items = int(found[2]), len(popularity_I)
    weights_I = popularity_I + 1.0 if found[1] == "popular" else np.ones(num_items)
    ends_I = np.cumsum(weights_I)
    generator = np.random.default_rng([seed, num_negatives, found[1] == "popular", seen == "new"])
    items_NM = np.empty((len(targets), num_negatives), dtype=np.int64)
    for target in range(len(targets)):
        taken = set(targets.items_P[targets.offsets[target] : targets.offsets[target + 1]].tolist())
        if seen == "new":
            low, high = targets.histories.offsets[target : target + 2]
            taken.update(targets.histories.items_H[low:high].tolist())
        if num_items - len(taken) < num_negatives:
            raise InvalidRequestError(
                f"{name} needs {num_negatives} items beside those a user had, and of {num_items} only "
                f"{num_items - len(taken)} are left; take fewer, or full"
            )
        items_NM[target] = _drawn(ends_I, num_negatives, taken, generator)
    return DrawnCandidates(name=name, seen=seen, items_NM=items_NM)


def _drawn(ends_I: FloatArray, num: int, taken: set[int], generator: np.random.Generator) -> list[int]:
    """Distinct items outside `taken`, in the order of their first draw."""
    found: dict[int, None] = {}
    for _ in range(20):
        wanted = 2 * (num - len(found)) + 8
        drawn = np.searchsorted(ends_I, generator.random(wanted) * ends_I[-1], side="right")
        found.update(dict.fromkeys(item for item in drawn.tolist() if item not in taken))
        if len(found) >= num:
            return list(found)[:num]
    # Little is left to draw from: the rest by Gumbel's trick, which draws without repetition at once.
    left = np.array([item for item in range(len(ends_I)) if item not in taken and item not in found])
    keys = np.log(np.diff(ends_I, prepend=0.0)[left]) + generator.gumbel(size=len(left))
    return [*found, *left[np.argsort(-keys)][: num - len(found)].tolist()]
