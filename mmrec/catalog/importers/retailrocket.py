"""The Retailrocket form: events.csv, item_properties_part1.csv, item_properties_part2.csv, category_tree.csv.

    timestamp,visitorid,event,itemid,transactionid           1433221332117,257597,view,355908,
    timestamp,itemid,property,value                          1435460400000,460429,categoryid,1338
    categoryid,parentid                                      1016,213

Properties are a log: the newest value of each counts. Their names and texts are hashed but for `categoryid` and
`available`, so items have no title of their own: they are called "Item 355908". Categories of an item are its own and
those above it. `--column NAME=PROPERTY` makes another property an attribute, `--column price=790` the price.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from mmrec.catalog.importers.cells import cell_text, joined
from mmrec.catalog.importers.event_rows import EventReader
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.instants import Clock
from mmrec.catalog.importers.item_rows import ItemReader
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.plain import events_of
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.catalog.importers.spool import Spool
from mmrec.catalog.importers.table import Table, open_table
from mmrec.catalog.item import CatalogItem
from mmrec.errors import InvalidRequestError

EVENTS: Final = "events.csv"
PROPERTIES: Final = "item_properties"
TREE: Final = "category_tree.csv"
EVENT_COLUMNS: Final = frozenset(("timestamp", "visitorid", "event", "itemid"))
BEHAVIORS: Final[Mapping[str, str]] = {"view": "browse", "addtocart": "cart", "transaction": "purchase"}
_MAX_DEPTH: Final = 20


def recognizes(path: Path) -> bool:
    """A folder with such events or properties, or the file of events."""
    if path.is_dir():
        return bool(_files(path, PROPERTIES)) or any(map(_is_events, _files(path, "events")))
    return _is_events(path)


def _files(folder: Path, name: str) -> list[Path]:
    return sorted(each for each in folder.glob(f"{name}*") if ".csv" in each.suffixes)


def _is_events(path: Path) -> bool:
    try:
        return path.name.startswith("events") and set(open_table(path).columns) >= EVENT_COLUMNS
    except (InvalidRequestError, LookupError):
        return False


def open_retailrocket(path: Path, options: ImportOptions) -> ImportSource:
    """A folder of the form, or its file of events.

    Raises:
        InvalidRequestError: there are neither events nor properties.
    """
    folder = path if path.is_dir() else path.parent
    properties = _files(folder, PROPERTIES) if path.is_dir() else []
    found = [path] if path.is_file() else [each for each in _files(folder, "events") if _is_events(each)]
    if not properties and not found:
        raise InvalidRequestError(f"{path} holds neither {EVENTS} nor {PROPERTIES}_part1.csv of the Retailrocket form")
    said: list[str] = []
    items = events = None
    if properties and options.kind != "events":
        trees = _files(folder, TREE.removesuffix(".csv"))
        items = Part(files=(*properties, *trees), read=_items(properties, trees, options))
        said += [f"{each.name}: the newest value of each property" for each in properties]
        said += ["itemid -> item_id; title is 'Item' and the id, since the form has none"]
        said += ["categoryid -> attribute category, with those above it", "available -> availability"]
        said += [f"{column} -> {name}" for name, column in options.columns.items()]
    if found and options.kind != "items":
        events = events_of(open_table(found[0]), _event_reader(options))
        said += [f"{found[0].name}: visitorid -> user_id, itemid -> item_id, event -> behavior, timestamp (ms)"]
    return ImportSource(form="retailrocket", path=path, mapping=tuple(said), items=items, events=events)


def _event_reader(options: ImportOptions) -> EventReader:
    return EventReader(
        columns={"user_id": "visitorid", "item_id": "itemid", "behavior": "event", "event_time": "timestamp"},
        context={"transactionid": "transaction"},
        rules=options.rules,
        clock=Clock(unit=options.time_unit or "ms"),
    )


def _items(files: list[Path], trees: list[Path], options: ImportOptions) -> Callable[[Reading], Iterator[CatalogItem]]:
    named = {column: name for name, column in options.columns.items()}
    fields = {"item_id": "itemid", "title": "title", "availability": "available"}
    fields |= {name: name for name in named.values() if name in ("price", "description")}
    reader = ItemReader(
        columns=fields,
        attributes={"category": "category", **{name: name for name in named.values() if name not in fields}},
        domain=options.domain,
        decimal=options.decimal,
    )

    def read(reading: Reading) -> Iterator[CatalogItem]:
        parents = _parents(trees, reading)
        with Spool() as spool:
            spool.fill(_properties([open_table(file) for file in files], {"categoryid", "available", *named}, reading))
            for item_id, values in spool.latest():
                cells = {named.get(name, name): _hashed(value) for name, value in values.items()}
                category = _with_parents(values.get("categoryid", ""), parents)
                cells |= {"itemid": item_id, "title": f"Item {item_id}", "category": category}
                item = reader.item(cells, place=f"item {item_id}", reading=reading)
                if item is not None:
                    yield item

    return read


def _properties(tables: list[Table], wanted: set[str], reading: Reading) -> Iterator[tuple[str, str, float, str]]:
    """(item, property, time, value) of the wanted properties."""
    for table in tables:
        for number, cells in table.rows(reading):
            item_id, name = cell_text(cells.get("itemid")).strip(), cell_text(cells.get("property")).strip()
            time = Clock(unit="ms").read(cells.get("timestamp"))
            if not item_id or time is None:
                reading.note(Noticed.BAD_TIME if item_id else Noticed.MISSING_ID, f"{table.path.name}, line {number}")
            elif name in wanted:
                yield item_id, name, time.time_s, cell_text(cells.get("value"))


def _hashed(value: str) -> str:
    """Numbers of this form begin with "n": "n12000.000"."""
    return value[1:] if value[:1] == "n" and value[1:2].isdigit() and " " not in value else value


def _parents(files: list[Path], reading: Reading) -> dict[str, str]:
    rows = (row.cells for file in files for row in open_table(file).rows(reading))
    return {cell_text(cells.get("categoryid")): cell_text(cells.get("parentid")) for cells in rows}


def _with_parents(category: str, parents: Mapping[str, str]) -> str:
    """A category and those above it, the highest first."""
    found: list[str] = []
    while category and category not in found and len(found) < _MAX_DEPTH:
        found.insert(0, category)
        category = parents.get(category, "")
    return joined(tuple(found))


RETAILROCKET: Final = Importer(
    name="retailrocket",
    about="Retailrocket: events.csv, item_properties_part*.csv and category_tree.csv",
    recognizes=recognizes,
    open=open_retailrocket,
    usual_behaviors=BEHAVIORS,
)
