"""An entry of the registry: name, options, what may be tried for them, and how a model is made of them.

POPULARITY = ZooModel(name="popularity", options=PopularityOptions, build=Popularity, space={...})
POPULARITY.model({"decay_per_day": 0.1}).fit(data, items, seed=1)
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
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
    reads_content: bool = False
    """Whether scores depend on what items are, beside who touched them; reports compare the two kinds on cold items."""
    rests_on: tuple[str, ...] = ()
    """Patterns of files in the package that scores rest on, beside those that all models do (mmrec.experiments.cells):
    what was measured with others is measured anew."""
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
        return self.build(self._options(parameters))

    def values(self, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every option by name, as model() takes them; errors as there."""
        return asdict(self._options(parameters))

    def _options(self, parameters: Mapping[str, Any] | None) -> Any:
        return build(self.options, dict(parameters or {}), at=("models", self.name))
