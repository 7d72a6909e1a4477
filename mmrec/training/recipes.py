"""All recipes of `jobs/train.py --task NAME`: one line each."""

from typing import Final

from mmrec.errors import NotFoundError
from mmrec.training.align_recipe import ALIGN
from mmrec.training.attributes_recipe import ATTRIBUTES
from mmrec.training.finetune_recipe import FINETUNE
from mmrec.training.recipe import Recipe
from mmrec.training.refit_recipe import REFIT
from mmrec.training.towers_recipe import TOWERS

RECIPES: Final[tuple[Recipe, ...]] = (TOWERS, REFIT, ALIGN, ATTRIBUTES, FINETUNE)


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; NotFoundError names those that exist."""
    for each in RECIPES:
        if each.name == name:
            return each
    raise NotFoundError(f"no training is called {name!r}; known: {', '.join(each.name for each in RECIPES)}")
