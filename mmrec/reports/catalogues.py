"""Catalogues to report on, read whole and cleaned: a folder or file that importers know, or the simulated storefront.

    catalogue = read_catalogue("fashion_catalog", data_folder=data_folder(), settings=settings.catalog)
    catalogue.items, catalogue.report

Two passes where [catalog] rare_below names thresholds: the first finds rare values, the second makes them "Other".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from mmrec.catalog.cleaning import clean_item, cleaning_policy
from mmrec.catalog.cleaning_report import CleaningReport, rare_values
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.registry import find_importer
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.movielens import FOLDER as MOVIELENS_FOLDER
from mmrec.config import CatalogSettings
from mmrec.errors import InvalidRequestError
from mmrec.reports.spooled_items import SpooledItems, items_of
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront

STOREFRONT: Final = "storefront"
FOLDERS: Final[Mapping[str, str]] = {"movielens": MOVIELENS_FOLDER}
"""Names of data sets whose folder is called otherwise."""
PICTURE_SIZE: Final = 96
"""Of simulated items."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadCatalogue:
    """A catalogue, read whole."""

    name: str
    items: Sequence[CatalogItem]
    """Cleaned; of several with one id the last. Pictures are in memory one at a time, as they are asked for."""
    report: CleaningReport


def read_catalogue(
    dataset: str, *, data_folder: str, settings: CatalogSettings, max_items: int | None = None
) -> ReadCatalogue:
    """Read and clean a catalogue.

    Args:
        dataset: "storefront", the name of a data set's folder in `data_folder`, or a path of any importable form.
        data_folder: Where data sets lie; may be empty for the storefront and for paths.
        settings: What means "no value", what is rare, what is junk.
        max_items: The first so many items with a picture, for a short run, and no others; None takes all.

    Raises:
        InvalidRequestError: no such data set or path, or a source without items.
    """
    form, read = _source(dataset, data_folder, max_items)
    reading = Reading()
    policy = cleaning_policy(settings, form=form)
    policy = replace(policy, rare_values=rare_values(read(Reading()), policy, settings.rare_below))
    report = CleaningReport(rare_below=settings.report_rare_below)
    spooled, row_of = SpooledItems(), dict[str, int]()
    for item in read(reading):
        cleaned = clean_item(item, policy)
        report.add(cleaned)
        if cleaned.item is not None:
            row_of[item.item_id] = len(spooled)
            spooled.append(cleaned.item)
    report.merge(reading.each())
    return ReadCatalogue(name=dataset, items=items_of(spooled, [*row_of.values()]), report=report)


def _source(
    dataset: str, data_folder: str, max_items: int | None
) -> tuple[str, Callable[[Reading], Iterator[CatalogItem]]]:
    """The form of a source, and a way to read it from its beginning."""
    if dataset == STOREFRONT:
        config = StorefrontConfig(image_size=PICTURE_SIZE)
        config = config if max_items is None else replace(config, num_items=max_items)
        return STOREFRONT, lambda _: Storefront(config).catalog()
    path = Path(data_folder, FOLDERS.get(dataset, dataset)) if data_folder else Path(dataset)
    path = path if path.exists() else Path(dataset)
    if not path.exists():
        where = f"in {data_folder}" if data_folder else "and MMREC_DATA_DIR is not set"
        raise InvalidRequestError(f"no data set {dataset!r} {where}; give {STOREFRONT}, such a folder, or a path")
    source = find_importer(path).open(path, ImportOptions())
    if source.items is None:
        raise InvalidRequestError(f"{path} ({source.form}) has no items; give a catalogue")
    items = source.items

    def read(reading: Reading) -> Iterator[CatalogItem]:
        if max_items is None:
            return items.read(reading)
        return islice((item for item in items.read(reading) if item.image is not None), max_items)

    return source.form, read
