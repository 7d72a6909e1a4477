"""The Fashion Product Images form: styles.csv with images/ beside it, or items.parquet with images.tar.

    id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName
    15970,Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011.0,Casual,Turtle Check Men Navy Blue Shirt

Titles were written without quotes, so those with commas overflow the header (csv_rows.py); spreadsheets added columns
without names. Every product should have the picture images/<id>.jpg; one that is not there is counted. Where the table
says which products have one (`has_image`), the others are not missed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.fields import ITEM_FIELDS, plain_name
from mmrec.catalog.importers.image_source import find_pictures
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.item_rows import ItemReader
from mmrec.catalog.importers.mapping import ImportOptions, check_columns
from mmrec.catalog.importers.plain import said_of_pictures, value_forms
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.table import Table, open_table
from mmrec.catalog.item import CatalogItem
from mmrec.errors import InvalidRequestError

TABLES: Final = ("styles.csv", "styles.csv.gz", "items.parquet")
NEEDED: Final = ("id", "articleType", "productDisplayName")
DOMAIN: Final = "fashion"
_NOT_ATTRIBUTES: Final = frozenset(("hasimage", "imagemd5", "image", "link", "filename"))
_HAS: Final = frozenset(("true", "1", "yes"))


def recognizes(path: Path) -> bool:
    """A folder with such a table, or the table itself."""
    table = _table_of(path)
    if table is None:
        return False
    try:
        return set(NEEDED) <= set(open_table(table).columns)
    except (InvalidRequestError, LookupError):
        return False


def open_fashion(path: Path, options: ImportOptions) -> ImportSource:
    """A folder or table of the form.

    Raises:
        InvalidRequestError: there is no such table, or it has not a column that is named.
    """
    file = _table_of(path)
    if file is None:
        raise InvalidRequestError(
            f"{path} is no fashion form; give a folder with {' or '.join(TABLES)}, or such a file"
        )
    table = open_table(file, encoding=options.encoding)
    check_columns(table, options)
    pictures = find_pictures(options.images, beside=file.parent)
    marked = "has_image" in table.columns
    known = {"item_id": "id", "title": "productDisplayName"}
    more = {name: name for name in table.columns if plain_name(name) not in _NOT_ATTRIBUTES}
    attributes = {name: name for name in more if name not in (*known.values(), *options.ignore)}
    given = {column: name for name, column in options.columns.items() if column in attributes}
    named = {name: column for name, column in options.columns.items() if name in ITEM_FIELDS}
    known, attributes = known | named, {c: n for c, n in attributes.items() if c not in named.values()}
    given = {column: name for column, name in given.items() if name not in named}
    forms = value_forms(table.samples(), known, options)

    def reader(expects_picture: bool) -> ItemReader:
        return ItemReader(
            columns=known,
            attributes=attributes | given,
            domain=options.domain or DOMAIN,
            decimal=forms.decimal,
            clocks=forms.clocks,
            pictures=pictures,
            expects_picture=expects_picture,
        )

    readers = {expects: reader(expects) for expects in (False, True)}

    def read(reading: Reading) -> Iterator[CatalogItem]:
        for number, cells in table.rows(reading, overflow=known["title"]):
            expects = cell_text(cells["has_image"]).lower() in _HAS if marked else pictures is not None
            item = readers[expects].item(_plain_year(cells), place=f"{table.row_word} {number}", reading=reading)
            if item is not None:
                yield item

    return ImportSource(
        form="fashion",
        path=path,
        mapping=(
            f"{file.name}: {table.kind}",
            *_said(table, known, attributes | given),
            *forms.lines(),
            *said_of_pictures(pictures),
        ),
        items=Part(files=(file, *(() if pictures is None else (pictures.path,))), read=read),
    )


def _plain_year(cells: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with its year as a whole number: pandas makes "2011.0" of years where one is missing."""
    year = cell_text(cells.get("year"))
    return {**cells, "year": year.removesuffix(".0")} if year.endswith(".0") else cells


def _said(table: Table, known: Mapping[str, str], attributes: Mapping[str, str]) -> list[str]:
    said = {column: f"attribute {name}" for column, name in attributes.items()}
    said |= {column: field for field, column in known.items()}
    return [f"{column} -> {said.get(column, 'not read')}" for column in table.columns]


def _table_of(path: Path) -> Path | None:
    if path.is_dir():
        return next((path / name for name in TABLES if (path / name).is_file()), None)
    return path if path.name in TABLES and path.is_file() else None


FASHION: Final = Importer(
    name="fashion",
    about="Fashion Product Images: styles.csv with images/ or a tar, or items.parquet with images.tar",
    recognizes=recognizes,
    open=open_fashion,
)
