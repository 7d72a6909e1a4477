"""A row of a table as an item.

    reader = ItemReader(mapping, options, decimal=".", pictures=None)
    item = reader.item(row, place="line 7", reading=reading)          None where the row has no id

Texts stay as the file has them, but for tags, which are taken out, and entities, which cleaning decodes. An empty value
stays as an empty attribute, so that cleaning leaves it out or makes it "Unknown".
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mmrec.catalog.importers.cells import cell_text, has_tags, is_list, joined, list_values, without_tags
from mmrec.catalog.importers.image_source import SUFFIXES, URL, ImageSource
from mmrec.catalog.importers.instants import Clock
from mmrec.catalog.importers.numbers import is_ambiguous, parse_price
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.catalog.item import Availability, CatalogItem
from mmrec.catalog.values import folded

_AVAILABLE: Final = frozenset(
    ("available", "in stock", "instock", "in_stock", "instockonline", "true", "yes", "y", "1", "active", "published")
)
_OUT: Final = frozenset(
    ("out of stock", "outofstock", "out_of_stock", "sold out", "soldout", "false", "no", "n", "0", "unavailable")
)
_HIDDEN: Final = frozenset(("hidden", "discontinued", "draft", "archived", "deleted", "inactive", "unpublished"))


@dataclass(frozen=True, kw_only=True)
class ItemReader:
    """How rows of one table become items."""

    columns: Mapping[str, str]
    """Column by field of an item; `item_id` and `title` at least."""
    attributes: Mapping[str, str]
    """Name of the attribute by column."""
    domain: str = ""
    """Of rows that do not say theirs."""
    decimal: str = ""
    """What separates decimals of prices; "" takes each number for itself."""
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    """By field, for publish_time, expire_time and update_time."""
    pictures: ImageSource | None = None
    expects_picture: bool = False
    """Whether a row without a picture is a fault of the source."""
    id_prefix: str = ""
    """Before every item id, where ids of several kinds would meet."""

    def item(self, cells: Mapping[str, Any], *, place: str, reading: Reading) -> CatalogItem | None:
        """The item of a row; None where it has no id, which is noted."""
        item_id = self._cell(cells, "item_id")
        if not item_id:
            reading.note(Noticed.MISSING_ID, place, column="item_id")
            return None
        price, currency = self._price(cells, place, reading)
        image, uri, media_type = self._image(cells, item_id, place, reading)
        reading.num_items += 1
        return CatalogItem(
            item_id=self.id_prefix + item_id,
            title=self.text(cells, "title", place, reading),
            description=self.text(cells, "description", place, reading),
            domain=self._cell(cells, "domain") or self.domain,
            attributes=self._attributes(cells, place, reading),
            image=image,
            image_uri=uri,
            media_type=media_type,
            price=price,
            currency=currency,
            availability=self._availability(cells, place, reading),
            publish_time_s=self._time(cells, "publish_time", place, reading),
            expire_time_s=self._time(cells, "expire_time", place, reading),
            update_time_s=self._time(cells, "update_time", place, reading),
        )

    def text(self, cells: Mapping[str, Any], field: str, place: str, reading: Reading) -> str:
        """A title or description: tags out, a list as sentences one after the other."""
        column = self.columns.get(field, "")
        value = cells.get(column) if column else None
        text = " ".join(list_values(value)) if isinstance(value, list | tuple) else cell_text(value)
        return plain_text(text, place, reading, column=column)

    def _cell(self, cells: Mapping[str, Any], field: str) -> str:
        """The text of a field without white space around it; "" where absent."""
        column = self.columns.get(field)
        return cell_text(cells.get(column)).strip() if column else ""

    def _attributes(self, cells: Mapping[str, Any], place: str, reading: Reading) -> dict[str, str]:
        found: dict[str, str] = {}
        for column, name in self.attributes.items():
            value = cells.get(column)
            if isinstance(value, Mapping):
                found |= {str(key): self._value(each, column, place, reading) for key, each in value.items()}
                continue
            found[name] = self._value(value, column, place, reading)
        return found

    def _value(self, value: Any, column: str, place: str, reading: Reading) -> str:
        if is_list(value):
            values = list_values(value)
            if isinstance(value, str):
                reading.note(Noticed.LIST, place, value, column=column)
            if any("|" in each for each in values):
                reading.note(Noticed.SEPARATOR_IN_VALUE, place, value, column=column)
            text = joined(values)
        else:
            text = cell_text(value).strip()
        return plain_text(text, place, reading, column=column)

    def _price(self, cells: Mapping[str, Any], place: str, reading: Reading) -> tuple[float, str]:
        column, currency = self.columns.get("price", ""), self._cell(cells, "currency")
        value = cells.get(column)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max:
            return float(value), currency
        text = self._cell(cells, "price")
        if not text:
            return 0.0, currency
        price = parse_price(text, decimal=self.decimal)
        if price is None or not 0 <= price.amount < float("inf"):
            reading.note(Noticed.BAD_PRICE, place, text, column=column)
            return 0.0, currency
        if price.is_range:
            reading.note(Noticed.PRICE_RANGE, place, text, column=column)
        if not self.decimal and is_ambiguous(text):
            reading.note(Noticed.AMBIGUOUS_NUMBER, place, text, column=column)
        return price.amount, currency or price.currency

    def _availability(self, cells: Mapping[str, Any], place: str, reading: Reading) -> Availability:
        text = folded(self._cell(cells, "availability")).removeprefix("https://schema.org/")
        if not text:
            return Availability.UNSPECIFIED
        for meant, names in (
            (Availability.AVAILABLE, _AVAILABLE),
            (Availability.OUT_OF_STOCK, _OUT),
            (Availability.HIDDEN, _HIDDEN),
        ):
            if text in names:
                return meant
        reading.note(Noticed.UNKNOWN_AVAILABILITY, place, text, column=self.columns["availability"])
        return Availability.HIDDEN

    def _time(self, cells: Mapping[str, Any], field: str, place: str, reading: Reading) -> float:
        column = self.columns.get(field)
        value = cells.get(column) if column else None
        if value is None or (isinstance(value, str) and not self._cell(cells, field)):
            return 0.0
        found = self.clocks.get(field, Clock()).read(value)
        if found is None:
            reading.note(Noticed.BAD_TIME, place, value, column=column or "")
            return 0.0
        if found.is_day:
            reading.note(Noticed.DAY_ONLY, place, value, column=column or "")
        return found.time_s

    def _image(
        self, cells: Mapping[str, Any], item_id: str, place: str, reading: Reading
    ) -> tuple[bytes | None, str, str]:
        """(content, URI, media type)."""
        column = self.columns.get("image", "")
        names = list_values(cells.get(column)) if column else ()
        if names and URL.fullmatch(names[0]):
            return None, names[0], ""
        found = None
        if self.pictures is not None:
            found = next((image for name in (*names, item_id) if (image := self.pictures.of(name)) is not None), None)
        if found is not None and found.content:
            return found.content, "", found.media_type
        if found is not None:
            reading.note(Noticed.LARGE_FILE, place, found.name)
        elif names or self.expects_picture:
            reading.note(Noticed.MISSING_FILE, place, names[0] if names else f"{item_id}{next(iter(SUFFIXES))}")
        return None, "", ""


def plain_text(text: str, place: str, reading: Reading, *, column: str) -> str:
    """A text without tags, which is noted."""
    if not has_tags(text):
        return text
    reading.note(Noticed.HTML, place, text, column=column)
    return without_tags(text)
