"""What may be tried for a model's parameters, and draws from it.

space = {"decay_per_day": Between(0.001, 1.0, is_log=True), "num_neighbors": Choice((50, 100, 200))}
trials(space, num_trials=8, seed=1)         the first is {}: the defaults
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a choice among no values; give at least one")

    def draw(self, generator: np.random.Generator) -> Any:
        """One value, each equally likely."""
        return self.values[int(generator.integers(len(self.values)))]


@dataclass(frozen=True)
class Between:
    """A number from low to high."""

    low: float
    high: float
    is_log: bool = False
    """Whether each factor is equally likely, rather than each difference."""
    is_whole: bool = False
    """Whether only whole numbers count."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)) or self.low > self.high:
            raise ValueError(f"from {self.low} to {self.high}; give finite numbers, the lower one first")
        if self.is_log and self.low <= 0:
            raise ValueError(f"from {self.low} by factors; give a number above 0")

    def draw(self, generator: np.random.Generator) -> Any:
        """One number."""
        if self.is_log:
            found = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            found = float(generator.uniform(self.low, self.high))
        return min(max(round(found), math.ceil(self.low)), math.floor(self.high)) if self.is_whole else found


SearchSpace = Mapping[str, Choice | Between]
"""Parameter -> what may be tried."""


def trials(space: SearchSpace, *, num_trials: int, seed: int) -> list[dict[str, Any]]:
    """Parameters to try: the defaults ({}) first, then random draws; a space that is smaller is tried as a whole.

    Args:
        num_trials: How many at most, the defaults among them; 1 or more.
        seed: Of the draws.
    """
    if num_trials < 1:
        raise ValueError(f"{num_trials} trials; give 1 or more")
    found: list[dict[str, Any]] = [{}]
    if not space:
        return found
    generator = np.random.default_rng(seed)
    choices = {name: each.values for name, each in space.items() if isinstance(each, Choice)}
    if len(choices) == len(space) and math.prod(len(values) for values in choices.values()) < num_trials:
        grid = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
        return [*found, *grid]
    tries = 0
    while len(found) < num_trials and tries < 100 * num_trials:
        tries += 1
        drawn = {name: each.draw(generator) for name, each in space.items()}
        if drawn not in found:
            found.append(drawn)
    return found
