"""The plain form: one table of items or of events, or a folder with both.

    products.csv                   items: one row each, any of .csv .tsv .jsonl .parquet, each also .gz or .zst
    clicks.parquet                 events: a table with a column of users
    shop/items.csv                 a folder: items and events by name, pictures in images/ or images.tar
    shop/events.jsonl.zst

Columns are what mmrec.catalog.importers.mapping says: given, or guessed by name and content. Other columns of items are
attributes, other columns of events their context.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.event_rows import EventReader, ImportedEvent
from mmrec.catalog.importers.fields import RATING_NAMES, plain_name
from mmrec.catalog.importers.image_source import ImageSource, find_pictures
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.instants import Clock, column_clock
from mmrec.catalog.importers.item_rows import ItemReader
from mmrec.catalog.importers.mapping import ColumnMapping, ImportOptions, map_columns
from mmrec.catalog.importers.numbers import decimal_sign
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.table import SUFFIXES, Row, Table, is_table, open_table
from mmrec.catalog.item import CatalogItem
from mmrec.errors import InvalidRequestError

ITEM_NAMES: Final = ("items", "products", "catalog", "catalogue", "articles", "movies", "tracks", "news")
EVENT_NAMES: Final = ("events", "interactions", "clicks", "behaviors", "history", "log")
"""Names of files in a folder, without their ends."""


def recognizes(path: Path) -> bool:
    """Any table, and a folder with tables of one of those names."""
    return bool(_named(path, (*ITEM_NAMES, *EVENT_NAMES))) if path.is_dir() else is_table(path)


def open_plain(path: Path, options: ImportOptions) -> ImportSource:
    """A table or folder of the plain form; errors as open_table() and map_columns()."""
    if not path.is_dir():
        return table_source("plain", path, options)
    found = {"items": _named(path, ITEM_NAMES), "events": _named(path, EVENT_NAMES)}
    if not any(found.values()):
        raise InvalidRequestError(
            f"{path} holds no table of a known form; name its tables items and events, such as items.csv and "
            f"events.jsonl, or give one file"
        )
    parts = {
        kind: table_source("plain", file, _only(options, file, kind))
        for kind, file in found.items()
        if file is not None and options.kind in ("", kind)
    }
    items, events = parts.get("items"), parts.get("events")
    return ImportSource(
        form="plain",
        path=path,
        mapping=tuple(line for part in parts.values() for line in part.mapping),
        items=items.items if items else None,
        events=events.events if events else None,
    )


def table_source(form: str, path: Path, options: ImportOptions) -> ImportSource:
    """One table as a source of items or of events."""
    table = open_table(path, encoding=options.encoding)
    rows = table.samples()
    mapping = map_columns(table, rows, options)
    heading = f"{path.name}: {table.kind}, read as {mapping.kind}"
    if mapping.kind == "events":
        events, said = _events(table, rows, mapping, options)
        return ImportSource(form=form, path=path, mapping=(heading, *mapping.lines(), *said), events=events)
    items, said = _items(table, rows, mapping, options)
    return ImportSource(form=form, path=path, mapping=(heading, *mapping.lines(), *said), items=items)


def _items(
    table: Table, rows: list[Row], mapping: ColumnMapping, options: ImportOptions
) -> tuple[Part[CatalogItem], list[str]]:
    pictures = find_pictures(options.images, beside=table.path.parent)
    columns = {each.field: each.column for each in mapping.columns if each.field}
    forms = value_forms(rows, columns, options)
    reader = ItemReader(
        columns=columns,
        attributes=mapping.rest(),
        domain=options.domain,
        decimal=forms.decimal,
        clocks=forms.clocks,
        pictures=pictures,
    )
    said = [*forms.lines(), *said_of_pictures(pictures)]
    return items_of(table, reader, overflow=mapping.column("title")), said


@dataclass(frozen=True, kw_only=True)
class ValueForms:
    """How a table of items writes numbers and times."""

    decimal: str
    """What separates decimals of prices; "" where there are no prices that say so."""
    clocks: Mapping[str, Clock]
    """By field."""

    def lines(self) -> list[str]:
        """What is shown of it."""
        said = [f"decimals of prices: {self.decimal!r}"] if self.decimal else []
        return said + _said_of_times(self.clocks)


def value_forms(rows: list[Row], columns: Mapping[str, str], options: ImportOptions) -> ValueForms:
    """What the first rows say, where the caller does not.

    Args:
        columns: Column by field of an item.
    """
    price = columns.get("price", "")
    times = ("publish_time", "expire_time", "update_time")
    return ValueForms(
        decimal=(options.decimal or decimal_sign(_texts(rows, price))) if price else "",
        clocks={field: _clock(rows, columns.get(field, ""), options) for field in times},
    )


def items_of(table: Table, reader: ItemReader, *, overflow: str) -> Part[CatalogItem]:
    """The items of a table.

    Args:
        overflow: Column that cells beyond the header's belong to.
    """

    def read(reading: Reading) -> Iterator[CatalogItem]:
        for number, cells in table.rows(reading, overflow=overflow):
            item = reader.item(cells, place=f"{table.row_word} {number}", reading=reading)
            if item is not None:
                yield item

    pictures = () if reader.pictures is None else (reader.pictures.path,)
    return Part(files=(table.path, *pictures), read=read)


def said_of_pictures(pictures: ImageSource | None) -> list[str]:
    """What is shown of pictures."""
    return [] if pictures is None else [f"pictures: {pictures.num_pictures:,} of {pictures.path}"]


def _events(
    table: Table, rows: list[Row], mapping: ColumnMapping, options: ImportOptions
) -> tuple[Part[ImportedEvent], list[str]]:
    conditions = tuple(options.rules.conditions)
    for condition in conditions:
        if condition.column not in table.columns:
            raise InvalidRequestError(
                f"--behavior {condition.text!r}: {table.path.name} has no column {condition.column!r}; it has "
                f"{', '.join(table.columns)}"
            )
    if not mapping.column("behavior") and not conditions:
        rating = next((name for name in table.columns if plain_name(name) in RATING_NAMES), "")
        example = f"'{rating}>=4=like'" if rating else "'COLUMN>0=browse'"
        raise InvalidRequestError(
            f"{table.path.name} has no column of behaviors; say what its rows are with --behavior, such as --behavior "
            f"{example}, or name the column with --column behavior=COLUMN"
        )
    clock = _clock(rows, mapping.column("event_time"), options)
    reader = EventReader(
        columns={each.field: each.column for each in mapping.columns if each.field},
        context=mapping.rest(),
        rules=options.rules,
        clock=clock,
        decimal=options.decimal,
    )
    return events_of(table, reader), _said_of_times({"event_time": clock})


def events_of(table: Table, reader: EventReader) -> Part[ImportedEvent]:
    """The events of a table."""

    def read(reading: Reading) -> Iterator[ImportedEvent]:
        for number, cells in table.rows(reading):
            yield from reader.events(cells, number=number, place=f"{table.row_word} {number}", reading=reading)

    return Part(files=(table.path,), read=read)


def _clock(rows: list[Row], column: str, options: ImportOptions) -> Clock:
    values = [row.cells.get(column) for row in rows] if column else []
    return column_clock(values, unit=options.time_unit, zone=options.time_zone, column=column)


def _said_of_times(clocks: Mapping[str, Clock]) -> list[str]:
    return [f"{field}: numbers are {clock.unit} since 1970" for field, clock in clocks.items() if clock.unit]


def _texts(rows: list[Row], column: str) -> list[str]:
    return [cell_text(row.cells.get(column)) for row in rows] if column else []


def _named(path: Path, names: tuple[str, ...]) -> Path | None:
    """The first table of a folder that has one of those names."""
    tables = {each.name.partition(".")[0].lower(): each for each in sorted(path.iterdir()) if is_table(each)}
    return next((tables[name] for name in names if name in tables), None)


def _only(options: ImportOptions, file: Path, kind: str) -> ImportOptions:
    """The options as far as they are about one table of a folder."""
    columns = open_table(file, encoding=options.encoding).columns
    said = {name: column for name, column in options.columns.items() if column in columns}
    ignore = tuple(name for name in options.ignore if name in columns)
    return replace(options, columns=said, ignore=ignore, kind="events" if kind == "events" else "items")


PLAIN: Final = Importer(
    name="plain",
    about=f"one table ({', '.join(SUFFIXES)}, each also .gz or .zst), or a folder with items and events",
    recognizes=recognizes,
    open=open_plain,
)
