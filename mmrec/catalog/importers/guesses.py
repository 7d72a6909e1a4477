"""Fields of columns whose names say nothing, by what stands in them."""

import re
from collections.abc import Sequence
from typing import Any, Final

from mmrec.catalog.importers.cells import cell_text
from mmrec.catalog.importers.instants import column_clock
from mmrec.catalog.importers.numbers import parse_price
from mmrec.catalog.importers.table import Row
from mmrec.errors import InvalidRequestError

_MOST: Final = 0.9
"""Share of the values that have to look alike."""
_IMAGE: Final = re.compile(r"\S+\.(?:jpe?g|png|webp|gif|avif|bmp|tiff?)(?:\?\S*)?|data:image/\S+", re.IGNORECASE)
_ID: Final = re.compile(r"[\w.:-]{1,64}")
_WORDS: Final = re.compile(r"\S+\s+\S+")


def guessed_by_contents(
    rows: Sequence[Row], columns: Sequence[str], *, kind: str, known: frozenset[str]
) -> dict[str, str]:
    """Columns by field, for fields that are not known yet.

    Args:
        rows: The first rows of the table.
        columns: Those that are no field yet.
        kind: "items" or "events".
    """
    values = {column: _texts(rows, column) for column in columns}
    values = {column: texts for column, texts in values.items() if texts}
    found: dict[str, str] = {}

    def take(field: str, candidates: list[str]) -> None:
        left = [column for column in candidates if column not in found.values()]
        if field not in known and left:
            found[field] = left[0]

    if kind == "events":
        take("event_time", [column for column, texts in values.items() if _are_times(texts)])
        return found
    take("image", [column for column, texts in values.items() if _share(texts, _IMAGE) >= _MOST])
    take("item_id", [column for column, texts in values.items() if _are_ids(texts)])
    texts_only = {column: texts for column, texts in values.items() if _share(texts, _WORDS) >= 0.5}
    by_variety = sorted(texts_only, key=lambda column: -len(set(texts_only[column])))
    take("title", [column for column in by_variety if _length(texts_only[column]) <= 150])
    take("description", [column for column in by_variety if _length(texts_only[column]) > 150])
    take("price", [column for column, texts in values.items() if _are_prices(texts)])
    return found


def _texts(rows: Sequence[Row], column: str) -> list[str]:
    found = (cell_text(row.cells.get(column)).strip() for row in rows)
    return [text for text in found if text]


def _share(texts: Sequence[str], pattern: re.Pattern[str]) -> float:
    """Of texts that begin like the pattern for words, and that match it as a whole for the others."""
    matches = pattern.search if pattern is _WORDS else pattern.fullmatch
    return sum(matches(text) is not None for text in texts) / len(texts)


def _length(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / len(texts)


def _are_ids(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts) and _share(texts, _ID) == 1


def _are_prices(texts: Sequence[str]) -> bool:
    """Whether most are numbers with a currency; numbers alone may be anything."""
    prices = [parse_price(text) for text in texts]
    return sum(price is not None and bool(price.currency) for price in prices) / len(texts) >= _MOST


def _are_times(texts: Sequence[Any]) -> bool:
    try:
        clock = column_clock(texts)
    except InvalidRequestError:
        return False
    return sum(clock.read(text) is not None for text in texts) / len(texts) >= _MOST
