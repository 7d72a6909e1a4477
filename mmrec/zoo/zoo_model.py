"""An entry of the registry: name, options, what may be tried for them, and how a model is made of them.

POPULARITY = ZooModel(name="popularity", options=PopularityOptions, build=Popularity, space={...})
POPULARITY.model({"decay_per_day": 0.1}).fit(data, items, seed=1)
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from mmrec.evaluation.model import Model
from mmrec.evaluation.search_space import SearchSpace
from mmrec.wire.declared import build


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """One model by name."""

    name: str
    options: type[Any]
    """A frozen dataclass of declared values (mmrec.wire.declared) that calls check(self, NAME); each has a default."""
    build: Callable[[Any], Model]
    """A model that is not fitted yet, of such options."""
    about: str = ""
    """One line for tables: what it is, and whose."""
    space: SearchSpace = field(default_factory=dict)
    """What tuning tries; empty for a model without parameters worth tuning."""

    def __post_init__(self) -> None:
        names = {each.name for each in fields(self.options)}
        if strange := sorted(set(self.space) - names):
            raise ValueError(f"model {self.name!r} is to be tuned by {', '.join(strange)}; its options are {names}")
        lacking = [f.name for f in fields(self.options) if f.default is MISSING and f.default_factory is MISSING]
        if lacking:
            raise ValueError(f"model {self.name!r} has options without a default: {', '.join(lacking)}; give them one")

    def model(self, parameters: Mapping[str, Any] | None = None) -> Model:
        """A model that is not fitted yet.

        Args:
            parameters: Options by name; those that are not named are the defaults.

        Raises:
            SettingError: an option is unknown, or its value is refused.
        """
        return self.build(build(self.options, dict(parameters or {}), at=("models", self.name)))
