"""What cleaning found in a whole catalogue: every finding counted by reason and attribute, with examples (METHODS M13).

    report = CleaningReport(rare_below=settings.catalog.report_rare_below)
    report.add(clean_item(item, policy))          every item of the catalogue, dropped ones as well
    report.merge(reading.each())                  what reading the files met, such as titles put together
    report.lines(), report.document()

    policy = replace(policy, rare_values=rare_values(items, policy, settings.catalog.rare_below))

What reading met, importers count; what cleaning met comes with the cleaned items; that items share an id, a title or
a picture, and that few have a value, is seen here. Memory: some 200 bytes per item for telling duplicates, and the
distinct values of attributes, at most MAX_VALUES each.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from mmrec.catalog.cleaning import OTHER, UNKNOWN, CleanedItem, CleaningPolicy, CleaningReason, clean_item
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import attribute_values, folded
from mmrec.wire.shown import shown

MAX_EXAMPLES: Final = 5
MAX_VALUES: Final = 20_000
"""Distinct values counted per attribute; an attribute with more of them has no classes to speak of."""
MAX_CLASSES: Final = 500
"""Rare values are named of attributes with at most so many distinct values; a brand or director is no class."""
DIGEST_BYTES: Final = 8
"""Of a hash of a title or picture: among a million items, two differing ones meet once in 30 million catalogues."""


class CatalogueReason(StrEnum):
    """What is seen only when items stand beside each other."""

    DUPLICATE_ID = "duplicate_id"
    """An item id that came before: the later state counts."""
    DUPLICATE_TITLE = "duplicate_title"
    """A title that an item before it has, case and Unicode form aside; both stay."""
    DUPLICATE_IMAGE = "duplicate_image"
    """A picture that an item before it has, byte for byte; both stay."""
    RARE_KEPT = "rare_kept"
    """A value of few items that stays as it is: [catalog] rare_below names no threshold for its attribute."""


MISSING: Final = (CleaningReason.MISSING_VALUE, CleaningReason.UNKNOWN_VALUE)
"""Both are items without a value of an attribute."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """Where something was found."""

    place: str
    """An item id, or a place in a file, such as "styles.csv line 7"."""
    detail: str = ""
    """The value that was met, shortened."""


@dataclass(kw_only=True)
class FindingCount:
    """One kind of finding."""

    reason: str
    attribute: str
    """Empty where it is none's."""
    count: int = 0
    examples: list[Example] = field(default_factory=list)
    """The first MAX_EXAMPLES."""


class CleaningReport:
    """Adds up what was found; nothing is found twice for one item and attribute by one reason."""

    def __init__(self, *, rare_below: int = 10) -> None:
        """An empty report.

        Args:
            rare_below: Values of attributes with classes that fewer items have are named as rare.
        """
        self.num_items = 0
        self.num_dropped = 0
        self._rare_below = rare_below
        self._found: dict[tuple[str, str], FindingCount] = {}
        self._values: dict[str, Counter[str]] = {}
        self._with: Counter[str] = Counter()
        self._overfull: set[str] = set()
        self._ids: set[bytes] = set()
        self._titles: set[bytes] = set()
        self._pictures: set[bytes] = set()

    def note(self, reason: str, *, place: str, attribute: str = "", detail: str = "", count: int = 1) -> None:
        """Count something that was met; the first of them are kept as examples."""
        found = self._found.setdefault((reason, attribute), FindingCount(reason=reason, attribute=attribute))
        found.count += count
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append(Example(place=place, detail=shown(detail) if detail else ""))

    def merge(self, read: Iterable[tuple[str, str, int, Sequence[str]]]) -> None:
        """Add what reading met: (reason, column, count, examples), examples being places fit to be printed."""
        for reason, column, count, places in read:
            found = self._found.setdefault((reason, column), FindingCount(reason=reason, attribute=column))
            found.count += count
            found.examples = [*found.examples, *(Example(place=place) for place in places)][:MAX_EXAMPLES]

    def add(self, cleaned: CleanedItem) -> None:
        """Count one item and everything that was found on it."""
        self.num_items += 1
        for finding in cleaned.findings:
            self.note(finding.reason, place=cleaned.item_id, attribute=finding.attribute, detail=finding.detail)
        if _seen(self._ids, cleaned.item_id.encode("utf-8")):
            self.note(CatalogueReason.DUPLICATE_ID, place=cleaned.item_id)
        item = cleaned.item
        if item is None:
            self.num_dropped += 1
            return
        if _seen(self._titles, folded(item.title).encode("utf-8")):
            self.note(CatalogueReason.DUPLICATE_TITLE, place=item.item_id, detail=item.title)
        if item.image is not None and _seen(self._pictures, item.image):
            self.note(CatalogueReason.DUPLICATE_IMAGE, place=item.item_id, detail=item.title)
        count_values(item, self._values, self._with, self._overfull)

    @property
    def findings(self) -> list[FindingCount]:
        """All kinds of findings, rare values that stay among them, by reason and attribute."""
        found = sorted(self._found.values(), key=lambda each: (each.reason, each.attribute))
        for name in self._values:
            if rare := self.rare(name):
                examples = [Example(place=value, detail=f"{count} items") for value, count in rare[:MAX_EXAMPLES]]
                kept = FindingCount(
                    reason=CatalogueReason.RARE_KEPT, attribute=name, count=len(rare), examples=examples
                )
                found.append(kept)
        return found

    def count(self, *reasons: str, attribute: str | None = None) -> int:
        """How often something was found for one of these reasons, of one attribute or of any."""
        return sum(
            each.count for each in self.findings if each.reason in reasons and attribute in {None, each.attribute}
        )

    def missing(self) -> dict[str, int]:
        """Attribute -> items without a value of it, whether it was left out or set to "Unknown"; most first."""
        missing: Counter[str] = Counter()
        for each in self._found.values():
            if each.reason in MISSING:
                missing[each.attribute] += each.count
        return dict(missing.most_common())

    def values(self) -> dict[str, Counter[str]]:
        """Attribute -> cleaned value -> items, for attributes with at most MAX_VALUES values."""
        return {name: counts for name, counts in self._values.items() if name not in self._overfull}

    def rare(self, attribute: str) -> list[tuple[str, int]]:
        """(value, items) of an attribute with classes that fewer than rare_below items have, rarest first."""
        counts = self._values.get(attribute, Counter())
        if attribute in self._overfull or len(counts) > MAX_CLASSES:
            return []
        rare = [(v, n) for v, n in counts.items() if n < self._rare_below and v not in {OTHER, UNKNOWN}]
        return sorted(rare, key=lambda each: (each[1], each[0]))

    def lines(self) -> list[str]:
        """The report for a terminal."""
        kept = self.num_items - self.num_dropped
        lines = [f"{self.num_items:,} items read, {kept:,} kept, {self.num_dropped:,} dropped", ""]
        findings = self.findings
        width = max([len(f"{each.reason} {each.attribute}") for each in findings], default=0)
        for each in findings:
            name = f"{each.reason} {each.attribute}".strip()
            shown_examples = "; ".join(f"{e.place} {e.detail}".strip() for e in each.examples)
            lines.append(f"{name:<{width}}  {each.count:>8,}  {shown_examples}")
        if not findings:
            lines.append("nothing was found")
        lines += ["", f"{'attribute':<24}  {'items':>9}  {'missing':>8}  {'values':>7}  rare (< {self._rare_below})"]
        for name, row in self._attributes().items():
            values = f"{row['num_values']:,}" if row["num_values"] is not None else f"> {MAX_VALUES:,}"
            lines.append(
                f"{name:<24}  {row['num_items']:>9,}  {row['num_missing']:>8,}  {values:>7}  {len(row['rare']):,}"
            )
        return lines

    def document(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "num_items": self.num_items,
            "num_dropped": self.num_dropped,
            "findings": [
                {
                    "reason": str(each.reason),
                    "attribute": each.attribute,
                    "count": each.count,
                    "examples": [{"place": e.place, "detail": e.detail} for e in each.examples],
                }
                for each in self.findings
            ],
            "rare_below": self._rare_below,
            "attributes": self._attributes(),
        }

    def _attributes(self) -> dict[str, dict[str, Any]]:
        missing = self.missing()
        return {
            name: {
                "num_items": self._with[name],
                "num_missing": missing.get(name, 0),
                "num_values": None if name in self._overfull else len(self._values.get(name, ())),
                "rare": [{"value": value, "num_items": count} for value, count in self.rare(name)],
            }
            for name in sorted({*self._values, *missing})
        }


def rare_values(
    items: Iterable[CatalogItem], policy: CleaningPolicy, rare_below: Mapping[str, int]
) -> dict[str, frozenset[str]]:
    """Attribute -> values that fewer items than its threshold have after cleaning: the first of two passes.

    Args:
        items: The whole catalogue; pictures are not looked at.
        rare_below: Attribute -> items a value needs to stay; others' values all stay.
    """
    if not rare_below:
        return {}
    values: dict[str, Counter[str]] = {name: Counter() for name in rare_below}
    for item in items:
        named = {name: value for name, value in item.attributes.items() if name in rare_below}
        cleaned = clean_item(replace(item, attributes=named, image=None, image_uri="-"), policy).item
        if cleaned is not None:
            count_values(cleaned, values, Counter(), set())
    return {
        name: frozenset(v for v, n in counts.items() if n < rare_below[name] and v not in {OTHER, UNKNOWN})
        for name, counts in values.items()
    }


def count_values(item: CatalogItem, values: dict[str, Counter[str]], present: Counter[str], overfull: set[str]) -> None:
    """Count an item under each value of its attributes, once; attributes of too many values are marked and left."""
    for name, text in item.attributes.items():
        present[name] += 1
        counts = values.get(name)
        if counts is None:
            counts = values[name] = Counter()
        if name in overfull:
            continue
        for value in set(attribute_values(text)):
            counts[value] += 1
        if len(counts) > MAX_VALUES:
            overfull.add(name)
            counts.clear()


def _seen(known: set[bytes], content: bytes) -> bool:
    digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
    before = len(known)
    known.add(digest)
    return len(known) == before
