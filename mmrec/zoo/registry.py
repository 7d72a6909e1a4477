"""The models there are; each is one file and one line here."""

from typing import Final

from mmrec.errors import NotFoundError
from mmrec.zoo.popularity import POPULARITY
from mmrec.zoo.random_order import RANDOM
from mmrec.zoo.zoo_model import ZooModel

MODELS: Final[tuple[ZooModel, ...]] = (
    RANDOM,
    POPULARITY,
)


def model_named(name: str) -> ZooModel:
    """The entry of that name; NotFoundError names those that exist."""
    for each in MODELS:
        if each.name == name:
            return each
    raise NotFoundError(f"no model is called {name!r}; known: {', '.join(each.name for each in MODELS)}")
