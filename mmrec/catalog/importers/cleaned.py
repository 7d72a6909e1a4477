"""Items of a source on their way to the topic: cleaned, judged by the topic's own rules, and counted.

    findings = ItemFindings(report=CleaningReport(), reading=Reading())
    for key, value in cleaned_records(source.items.read(findings.reading), policy, findings): ...
    findings.whole_report().lines()

Cleaning here knows the form, so that what means "no value" in it is gone before the item is sent. Entities stay as they
are: the topic's reader decodes them, and twice would be once too often.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from mmrec.catalog.cleaning import CleaningPolicy, CleaningReason, clean_item
from mmrec.catalog.cleaning_report import CleaningReport
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.events.event_files import Record

MAX_SHOWN: Final = 3
"""First items that are kept to be shown."""
MAX_SAMPLES: Final = 5
"""Refused items that are kept to be shown."""


@dataclass(kw_only=True)
class ItemFindings:
    """What one pass over the items of a source met."""

    report: CleaningReport
    reading: Reading
    num_records: int = 0
    """Items that are sent, refused ones among them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Items that the topic refuses, by reason."""
    samples: list[str] = field(default_factory=list)
    """The first of them, with what would be right."""
    first: list[CatalogItem] = field(default_factory=list)

    @property
    def num_refused(self) -> int:
        """Items that the topic refuses."""
        return self.refused.total()

    @property
    def is_in_vain(self) -> bool:
        """Whether there were items and none would be taken."""
        return bool(self.reading.num_rows or self.report.num_items) and self.num_records == self.num_refused

    def whole_report(self) -> CleaningReport:
        """The cleaning report with what the reader noticed. Called once, at the end of the pass."""
        self.report.merge(self.reading.each())
        return self.report


def cleaned_records(items: Iterable[CatalogItem], policy: CleaningPolicy, findings: ItemFindings) -> Iterator[Record]:
    """Records of `catalog-items`, in the order of the items; those that cleaning drops are counted and not among them.

    Args:
        policy: As cleaning_policy() says of the form.
        findings: Counts, added to while records are drawn.
    """
    as_sent = replace(policy, decode_entities=False, picture_problem=lambda content: "")
    for item in items:
        cleaned = clean_item(item, policy)
        findings.report.add(cleaned)
        if cleaned.item is None:
            continue
        sent = cleaned.item
        if any(finding.reason == CleaningReason.ENTITIES for finding in cleaned.findings):
            sent = clean_item(replace(item, image=sent.image, media_type=sent.media_type), as_sent).item or sent
        key, value = sent.item_id.encode("utf-8", errors="replace"), to_json_value(sent)
        judged = parse_change(key, value)
        if isinstance(judged, ItemRefusal):
            findings.refused[judged.reason.value] += 1
            if len(findings.samples) < MAX_SAMPLES:
                findings.samples.append(f"{sent.item_id}: {judged.reason.value}: {judged.detail}")
        elif len(findings.first) < MAX_SHOWN:
            findings.first.append(sent)
        findings.num_records += 1
        yield key, value
