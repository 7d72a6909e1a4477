"""The Amazon reviews form of 2014, 2018 and 2023: JSON lines of reviews, and of metadata in meta_*.

                2014, 2018                      2023
    item        asin                            parent_asin
    user        reviewerID                      user_id
    rating      overall                         rating
    time        unixReviewTime (s)              timestamp (ms)
    text        summary, reviewText             title, text
    of items    title, brand, price, category   title, store, price, categories, main_category
    picture     imUrl, imageURLHighRes          images[].hi_res or .large

Reviews are events by their rating, and the texts of an item's reviews are its modality `reviews`: the most helpful
ones, at most MAX_REVIEWS of MAX_REVIEW characters. A metadata line may be a Python literal, as in 2014.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mmrec.catalog.importers.cells import cell_text, joined, list_values
from mmrec.catalog.importers.event_rows import EventReader, ImportedEvent
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.instants import column_clock
from mmrec.catalog.importers.item_rows import ItemReader, plain_text
from mmrec.catalog.importers.lines import plain_suffix
from mmrec.catalog.importers.mapping import ImportOptions, refuse_columns
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.spool import Spool
from mmrec.catalog.importers.table import JSON, SUFFIXES, Table, open_table
from mmrec.catalog.item import CatalogItem, Media
from mmrec.errors import InvalidRequestError
from mmrec.events.behavior_rules import BehaviorRules

MAX_REVIEWS: Final = 20
"""Of one item."""
MAX_REVIEW: Final = 1_000
"""Characters of one review."""
BEHAVIORS: Final[Mapping[str, str]] = {"rating>0": "purchase", "rating>=4": "favorite"}
"""Who reviews bought; who gives four stars or five likes."""
ITEM_IDS: Final = ("parent_asin", "asin")
USER_IDS: Final = ("reviewerID", "user_id")
RATINGS: Final = ("overall", "rating")
TIMES: Final = ("unixReviewTime", "timestamp", "reviewTime")
_HELD_REVIEW: Final = "review"


def recognizes(path: Path) -> bool:
    """A folder with such metadata or reviews, or one such file."""
    return bool(_tables(path))


def _tables(path: Path, encoding: str = "") -> dict[str, Table]:
    """Tables by what they are: "items" and "events"."""
    found: dict[str, Table] = {}
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if SUFFIXES.get(plain_suffix(file)) != JSON or not file.is_file():
            continue
        try:
            table = open_table(file, encoding=encoding)
        except (InvalidRequestError, LookupError):
            continue
        names = set(table.columns)
        if not names & set(ITEM_IDS):
            continue
        if names & set(USER_IDS) and names & set(RATINGS):
            found.setdefault("events", table)
        elif "title" in names:
            found.setdefault("items", table)
    return found


def open_amazon(path: Path, options: ImportOptions) -> ImportSource:
    """A folder or file of the form.

    Raises:
        InvalidRequestError: it holds neither reviews nor metadata, or columns are named.
    """
    tables = _tables(path, options.encoding)
    if not tables:
        raise InvalidRequestError(
            f"{path} holds neither reviews (JSON lines with asin, reviewerID and overall, or parent_asin, user_id and "
            f"rating) nor metadata (asin or parent_asin, and title)"
        )
    refuse_columns("amazon", options)
    metadata, reviews = tables.get("items"), tables.get("events")
    said: list[str] = []
    items = events = None
    if metadata is not None and options.kind != "events":
        said += [f"{metadata.path.name}: {metadata.kind}, metadata"]
        said += [f"{name} -> {_said_field(name)}" for name in metadata.columns]
        said += [] if reviews is None else [f"texts of {reviews.path.name} -> modality reviews of their items"]
        items = _items(metadata, reviews, options)
    if reviews is not None and options.kind != "items":
        reader = _event_reader(reviews, options)
        said += [f"{reviews.path.name}: {reviews.kind}, reviews"]
        said += [f"{column} -> {name}" for name, column in reader.columns.items()]
        events = _events(reviews, reader)
    return ImportSource(form="amazon", path=path, mapping=tuple(said), items=items, events=events)


def _first(names: tuple[str, ...], columns: tuple[str, ...]) -> str:
    return next((name for name in names if name in columns), "")


def _event_reader(table: Table, options: ImportOptions) -> EventReader:
    columns = table.columns
    time = _first(TIMES, columns)
    clock = column_clock(
        [row.cells.get(time) for row in table.samples()], unit=options.time_unit, zone=options.time_zone, column=time
    )
    said = options.rules.conditions.items()
    conditions = {replace(each, column=_rating(each.column, columns)): behavior for each, behavior in said}
    named = {"user_id": _first(USER_IDS, columns), "item_id": _first(ITEM_IDS, columns), "event_time": time}
    return EventReader(
        columns={name: column for name, column in named.items() if column},
        context={_first(RATINGS, columns): "rating"},
        rules=BehaviorRules(options.rules.names, conditions),
        clock=clock,
    )


def with_reviews(item: CatalogItem, texts: Sequence[str]) -> CatalogItem:
    """The item with texts of reviews as media, one each."""
    media = (Media(modality="reviews", content=text.encode(), media_type="text/plain") for text in texts if text)
    return replace(item, media=(*item.media, *media))


def _rating(column: str, columns: tuple[str, ...]) -> str:
    """Conditions may say "rating" in files that call it "overall"."""
    return column if column in columns else _first(RATINGS, columns) if column == "rating" else column


def _events(table: Table, reader: EventReader) -> Part[ImportedEvent]:
    def read(reading: Reading) -> Iterator[ImportedEvent]:
        for number, cells in table.rows(reading):
            yield from reader.events(cells, number=number, place=f"line {number}", reading=reading)

    return Part(files=(table.path,), read=read)


def _items(metadata: Table, reviews: Table | None, options: ImportOptions) -> Part[CatalogItem]:
    fields = ("item_id", "title", "description", "price", "image")
    reader = ItemReader(
        columns={name: name for name in fields},
        attributes={name: name for name in ("brand", "category", "department")},
        domain=options.domain,
        decimal=options.decimal,
    )

    def read(reading: Reading) -> Iterator[CatalogItem]:
        with ExitStack() as stack:
            spool = None
            if reviews is not None:
                spool = stack.enter_context(Spool())
                spool.fill(_review_texts(reviews))
            for number, cells in metadata.rows(reading):
                item = reader.item(_standard(cells), place=f"line {number}", reading=reading)
                if item is None:
                    continue
                texts = [] if spool is None else spool.texts(item.item_id, _HELD_REVIEW, limit=MAX_REVIEWS)
                yield with_reviews(item, [plain_text(text, item.item_id, reading, column="reviews") for text in texts])

    return Part(files=(metadata.path, *(() if reviews is None else (reviews.path,))), read=read)


def _standard(cells: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metadata of any year under one set of names; empty ones are left out."""
    features = cells.get("features") or cells.get("feature") or []
    texts = (*list_values(cells.get("description")), *list_values(features))
    found = {
        "item_id": cells.get("parent_asin") or cells.get("asin"),
        "title": cells.get("title"),
        "description": list(texts),
        "price": cells.get("price"),
        "image": _picture(cells),
        "brand": cells.get("brand") or cells.get("store"),
        "category": joined(list_values(cells.get("categories") or cells.get("category"))),
        "department": cells.get("main_category") or cells.get("main_cat"),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _picture(cells: Mapping[str, Any]) -> str:
    """The address of the first picture, the largest form of it."""
    images = cells.get("images")
    if isinstance(images, Mapping):  # one list for each size
        sizes_of = {size: values for size, values in images.items() if isinstance(values, list)}
        images = [dict(zip(sizes_of, values, strict=True)) for values in zip(*sizes_of.values(), strict=False)]
    if isinstance(images, list):
        sizes = [image.get(size) for image in images if isinstance(image, Mapping) for size in ("hi_res", "large")]
        if found := next((size for size in sizes if size), None):
            return cell_text(found)
    addresses = list_values(cells.get("imageURLHighRes") or cells.get("imageURL") or cells.get("imUrl"))
    return addresses[0] if addresses else ""


def _review_texts(reviews: Table) -> Iterator[tuple[str, str, float, str]]:
    """(item, name, helpful votes, text) of reviews that say something."""
    # Faults of this file are counted once, where its events are read.
    for _, cells in reviews.rows(Reading()):
        headline = cells.get("summary") or (cells.get("title") if "text" in cells else "")
        text = " ".join(filter(None, (cell_text(headline).strip(), cell_text(_body(cells)).strip())))[:MAX_REVIEW]
        item_id = cell_text(cells.get("parent_asin") or cells.get("asin")).strip()
        if text and item_id:
            yield item_id, _HELD_REVIEW, _votes(cells), text


def _body(cells: Mapping[str, Any]) -> Any:
    return cells.get("reviewText") or cells.get("text")


def _votes(cells: Mapping[str, Any]) -> float:
    """How many found a review helpful: `helpful` is [helpful, all], `vote` a text with commas."""
    votes = cells.get("helpful_vote") or cells.get("vote") or cells.get("helpful") or 0
    if isinstance(votes, list):
        votes = votes[0] if votes else 0
    text = cell_text(votes).replace(",", "")
    return float(text) if text.isdigit() else 0.0


def _said_field(name: str) -> str:
    fields = {
        **dict.fromkeys(ITEM_IDS, "item_id"),
        **dict.fromkeys(("title", "price"), name),
        **dict.fromkeys(("description", "feature", "features"), "description"),
        **dict.fromkeys(("brand", "store"), "attribute brand"),
        **dict.fromkeys(("category", "categories"), "attribute category"),
        **dict.fromkeys(("main_category", "main_cat"), "attribute department"),
        **dict.fromkeys(("images", "imageURL", "imageURLHighRes", "imUrl"), "image"),
    }
    return fields.get(name, "not read")


AMAZON: Final = Importer(
    name="amazon",
    about="Amazon reviews (2014, 2018, 2023): JSON lines of reviews, and of metadata in meta_*",
    recognizes=recognizes,
    open=open_amazon,
    usual_behaviors=BEHAVIORS,
)
