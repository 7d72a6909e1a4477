"""Recipes that learn from content, on the catalogue of a report: no deployment, no cluster; for reports and trials.

    train_on_catalogue(["attributes", "align"], encoded, settings, folder, tell=log.info)      their findings

A recipe runs as with `jobs/train.py --task NAME`, in this process; one that was ended goes on from its checkpoint. Its
options are those of the configuration; one that asks for the attribute that says what an item is gets the catalogue's.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from mmrec.catalog.item import CatalogItem, catalog_entry
from mmrec.config import Settings
from mmrec.errors import ConfigurationError
from mmrec.reports.encoded_catalogue import EncodedCatalogue
from mmrec.reports.findings import FILE, Findings, Text, read_findings
from mmrec.reports.judged_content import class_attribute
from mmrec.training.recipe import DeploymentData, chosen_options, train_here
from mmrec.training.recipes import RECIPES, recipe_named
from mmrec.training.towers_recipe import TOWERS

CONTENT_RECIPES: Final = tuple(recipe.name for recipe in RECIPES if recipe.name != TOWERS.name)
"""All but the towers, which learn from events."""


def train_on_catalogue(
    names: Iterable[str],
    encoded: EncodedCatalogue,
    settings: Settings,
    folder: Path,
    *,
    tell: Callable[..., None],
    finetune_pictures: int | None = None,
) -> list[Findings]:
    """Train each recipe into a folder of its name; what it has to say, in the order of the names.

    One that the catalogue has not enough for says so instead.

    Args:
        names: Of CONTENT_RECIPES.
        settings: Their table [training.NAME] is used.
        folder: Where the trained models stay.
        tell: Says what happened: tell(event, **figures).
        finetune_pictures: The first so many are what fine-tuning learns from; None leaves it to the settings.

    Raises:
        SettingError: an option is refused.
    """
    data = catalogue_data(encoded, settings)
    findings = []
    for name in names:
        recipe, out = recipe_named(name), folder / name
        asked = Namespace(label_attribute=class_attribute(encoded.items), max_pictures=finetune_pictures)
        out.parent.mkdir(parents=True, exist_ok=True)
        options = chosen_options(recipe, settings, asked)
        try:
            train_here(recipe, options, data, out=out, tell=tell)
        except ConfigurationError as error:
            tell("not_trained", recipe=name, reason=str(error))
            why = Text(title="Not trained", paragraphs=[str(error)])
            findings.append(Findings(title=f"Training: {name}", parts=[why]))
            continue
        if (out / FILE).is_file():
            findings.append(read_findings(out))
        else:
            tell("training_without_findings", recipe=name)
    return findings


def catalogue_data(encoded: EncodedCatalogue, settings: Settings) -> DeploymentData:
    """What recipes read of a deployment, from the items of a report."""
    items = {item.item_id: catalog_entry(item) for item in encoded.items}

    def every_item() -> Iterator[CatalogItem]:
        yield from encoded.items

    return DeploymentData(
        settings=settings,
        content=lambda: encoded.matrix,
        entries=lambda item_ids: {each: items[each] for each in item_ids if each in items},
        items=every_item,
    )
