"""Catalogue cleaning (METHODS M13): what is dropped, what is put right, and how often, by reason; none of it silent.

    report = CleaningReport()
    policy = CleaningPolicy(rare_values=find_rare_values(items, min_count=5))
    for item in items:
        cleaned = clean_item(item, policy)
        report.add(cleaned)

An item is dropped without a title, because text is what every catalogue has. A picture that does not decode is taken
off the item, which stays: a missing modality is legal (M15).
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mmrec.catalog.item import VALUE_SEPARATOR, CatalogItem, attribute_values
from mmrec.catalog.pictures import picture_problem

OTHER = "Other"
UNKNOWN = "Unknown"
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "-", "?"})


class CleaningReason(StrEnum):
    """What was found on an item."""

    MISSING_TITLE = "missing_title"
    """The item was dropped."""
    MISSING_IMAGE = "missing_image"
    """The item has none; it stays."""
    BROKEN_IMAGE = "broken_image"
    """The picture does not decode and was taken off."""
    JUNK_ATTRIBUTE = "junk_attribute"
    """An attribute of no meaning was removed."""
    MISSING_VALUE = "missing_value"
    """An attribute without a value was removed."""
    UNKNOWN_VALUE = "unknown_value"
    """An attribute without a value was set to "Unknown"."""
    RARE_VALUE = "rare_value"
    """A value of too few items was set to "Other"."""
    BAD_PRICE = "bad_price"
    """A price below 0 or not finite was set to 0, which is unknown."""


@dataclass(frozen=True, kw_only=True)
class CleaningPolicy:
    """What cleaning does beyond what every catalogue needs."""

    junk_attributes: frozenset[str] = frozenset()
    """Attributes that are removed."""
    unknown_attributes: frozenset[str] = frozenset({"usage"})
    """Attributes for which "Unknown" is a class of its own; others without a value are left out."""
    rare_values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By attribute: values that become "Other"; see find_rare_values()."""
    picture_problem: Callable[[bytes], str] = picture_problem
    """Why a picture cannot be read, or nothing; a feed asks mmrec.content.picture_worker, which bounds the time."""


@dataclass(frozen=True, kw_only=True)
class CleanedItem:
    """What became of one item."""

    item: CatalogItem | None
    """None where the item was dropped."""
    reasons: tuple[CleaningReason, ...]
    """Everything that was found, in the order of checks; empty for a clean item."""
    image_problem: str = ""
    """What is wrong with the picture where BROKEN_IMAGE is a reason."""


class CleaningReport:
    """Counts over a catalogue."""

    def __init__(self) -> None:
        self.num_items = 0
        self.num_dropped = 0
        self._reasons: Counter[CleaningReason] = Counter()

    def add(self, cleaned: CleanedItem) -> None:
        """Count one item."""
        self.num_items += 1
        self.num_dropped += cleaned.item is None
        self._reasons.update(cleaned.reasons)

    @property
    def counts(self) -> dict[str, int]:
        """Findings by reason, most frequent first."""
        return {str(reason): count for reason, count in self._reasons.most_common()}


def clean_item(item: CatalogItem, policy: CleaningPolicy) -> CleanedItem:
    """One item, cleaned; the order of items does not matter."""
    title = clean_text(item.title)
    if title.lower() in _MISSING:
        return CleanedItem(item=None, reasons=(CleaningReason.MISSING_TITLE,))
    reasons: list[CleaningReason] = []
    image, image_problem = item.image, ""
    if image is None:
        if not item.image_uri:
            reasons.append(CleaningReason.MISSING_IMAGE)
    elif image_problem := policy.picture_problem(image):
        image = None
        reasons.append(CleaningReason.BROKEN_IMAGE)
    attributes = _clean_attributes(item.attributes, policy, reasons)
    price = item.price
    if not 0 <= price < float("inf"):
        price = 0.0
        reasons.append(CleaningReason.BAD_PRICE)
    cleaned = replace(
        item,
        title=title,
        description=clean_text(item.description),
        attributes=attributes,
        image=image,
        media_type=item.media_type if image is not None or item.image_uri else "",
        price=price,
    )
    return CleanedItem(item=cleaned, reasons=tuple(reasons), image_problem=image_problem)


def clean_text(text: str) -> str:
    """Text in one Unicode form, without control characters, with single spaces."""
    normal = unicodedata.normalize("NFKC", text)
    return " ".join("".join(" " if unicodedata.category(c).startswith("C") else c for c in normal).split())


def find_rare_values(items: Iterable[CatalogItem], *, min_count: int) -> dict[str, frozenset[str]]:
    """By attribute, the values that fewer than `min_count` items have."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for name, value in item.attributes.items():
            counts[name].update(set(attribute_values(clean_text(value))))
    return {
        name: rare
        for name, values in counts.items()
        if (rare := frozenset(value for value, count in values.items() if count < min_count))
    }


def _clean_attributes(
    attributes: Mapping[str, str], policy: CleaningPolicy, reasons: list[CleaningReason]
) -> dict[str, str]:
    cleaned: dict[str, str] = {}
    for name, text in attributes.items():
        if name in policy.junk_attributes:
            reasons.append(CleaningReason.JUNK_ATTRIBUTE)
            continue
        values = [value for value in attribute_values(clean_text(text)) if value.lower() not in _MISSING]
        if not values:
            if name in policy.unknown_attributes:
                cleaned[name] = UNKNOWN
                reasons.append(CleaningReason.UNKNOWN_VALUE)
            else:
                reasons.append(CleaningReason.MISSING_VALUE)
            continue
        rare = policy.rare_values.get(name, frozenset())
        if any(value in rare for value in values):
            reasons.append(CleaningReason.RARE_VALUE)
            values = [OTHER if value in rare else value for value in values]
        cleaned[name] = VALUE_SEPARATOR.join(dict.fromkeys(values))
    return cleaned
