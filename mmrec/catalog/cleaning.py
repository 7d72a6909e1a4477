"""Catalogue cleaning: what is dropped, what is put right, and how often, by reason; none of it silent (METHODS M13).

    policy = cleaning_policy(settings.catalog)       of files: cleaning_policy(settings.catalog, form="fashion")
    cleaned = clean_item(item, policy)
    cleaned.item, cleaned.findings                   mmrec.catalog.cleaning_report counts findings

An item is dropped without a title, because text is what every catalogue has. A picture that does not decode is taken
off the item, which stays: a missing modality is legal (METHODS M15). Texts stay as they were sent, but for HTML
entities, which are decoded once, and control characters; folding for comparison and encoding (mmrec.catalog.values) is
never shown. No value is taken as missing but an empty one and those that the policy names for its attribute: NA is
Namibia.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.pictures import picture_problem
from mmrec.catalog.values import (
    VALUE_SEPARATOR,
    attribute_values,
    decode_entities,
    folded,
    has_controls,
    has_entities,
    is_blank,
    shown_text,
)
from mmrec.config import CatalogSettings

OTHER = "Other"
UNKNOWN = "Unknown"


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
    """An attribute without a value was removed, or one of its values that means none."""
    UNKNOWN_VALUE = "unknown_value"
    """An attribute without a value was set to "Unknown"."""
    RARE_VALUE = "rare_value"
    """A value of too few items was set to "Other"."""
    ENTITIES = "entities"
    """HTML entities of a text were decoded, once."""
    CONTROL_CHARACTERS = "control_characters"
    """Control characters of a text became spaces."""


@dataclass(frozen=True, kw_only=True)
class CleaningPolicy:
    """What cleaning does beyond what every catalogue needs."""

    junk_attributes: frozenset[str] = frozenset()
    """Attributes that are removed."""
    unknown_attributes: frozenset[str] = frozenset({"usage"})
    """Attributes for which "Unknown" is a class of its own; others without a value are left out."""
    missing_values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By attribute: values, folded, that mean that there is none, such as {"color": {"n/a"}}."""
    decode_entities: bool = True
    """Whether texts are HTML, as in most product feeds; False leaves "&amp;" as it was sent."""
    rare_values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By attribute: values of too few items, which become "Other"."""
    picture_problem: Callable[[bytes], str] = picture_problem
    """Why a picture cannot be read, or nothing; a feed asks mmrec.content.picture_worker, which bounds the time."""


def cleaning_policy(settings: CatalogSettings, *, form: str = "") -> CleaningPolicy:
    """The policy that a configuration names.

    Args:
        form: Form of the files that are imported: what means "no value" there is missing, too. Empty for the topic.
    """
    missing: dict[str, frozenset[str]] = {}
    for named in (settings.missing_values, settings.import_missing_values.get(form, {})):
        for name, values in named.items():
            missing[name] = missing.get(name, frozenset()) | frozenset(map(folded, values))
    return CleaningPolicy(
        junk_attributes=frozenset(settings.junk_attributes),
        unknown_attributes=frozenset(settings.unknown_attributes),
        missing_values=missing,
        decode_entities=settings.decode_entities,
    )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found on an item."""

    reason: CleaningReason
    attribute: str = ""
    """Of which attribute; empty where it is none's."""
    detail: str = ""
    """The value that was met, or what is wrong with the picture; empty for an empty value."""


@dataclass(frozen=True, kw_only=True)
class CleanedItem:
    """What became of one item."""

    item_id: str
    item: CatalogItem | None
    """None where the item was dropped."""
    findings: tuple[Finding, ...] = ()
    """Everything that was found, in the order of checks; empty for a clean item."""

    @property
    def reasons(self) -> tuple[CleaningReason, ...]:
        """Of the findings, in their order."""
        return tuple(finding.reason for finding in self.findings)

    @property
    def image_problem(self) -> str:
        """What is wrong with the picture where BROKEN_IMAGE is a reason, else empty."""
        return next((f.detail for f in self.findings if f.reason is CleaningReason.BROKEN_IMAGE), "")


def clean_item(item: CatalogItem, policy: CleaningPolicy) -> CleanedItem:
    """One item, cleaned; the order of items does not matter. A dropped item's other faults are found as well."""
    findings: list[Finding] = []
    if is_blank(item.title):
        findings.append(Finding(reason=CleaningReason.MISSING_TITLE, detail=item.title))
    image = item.image
    if image is None:
        if not item.image_uri:
            findings.append(Finding(reason=CleaningReason.MISSING_IMAGE))
    elif problem := policy.picture_problem(image):
        image = None
        findings.append(Finding(reason=CleaningReason.BROKEN_IMAGE, detail=problem))
    attributes = _clean_attributes(item.attributes, policy, findings)
    texts = (item.title, item.description, item.domain, *item.attributes.values())
    if policy.decode_entities and (found := next(filter(has_entities, texts), "")):
        findings.append(Finding(reason=CleaningReason.ENTITIES, detail=found))
    if found := next(filter(has_controls, texts), ""):
        findings.append(Finding(reason=CleaningReason.CONTROL_CHARACTERS, detail=found))
    if is_blank(item.title):
        return CleanedItem(item_id=item.item_id, item=None, findings=tuple(findings))
    cleaned = replace(
        item,
        title=_text(item.title, policy),
        description=_text(item.description, policy),
        domain=_text(item.domain, policy),
        attributes=attributes,
        image=image,
        media_type=item.media_type if image is not None or item.image_uri else "",
    )
    return CleanedItem(item_id=item.item_id, item=cleaned, findings=tuple(findings))


def _text(text: str, policy: CleaningPolicy) -> str:
    return shown_text(decode_entities(text) if policy.decode_entities else text)


def _clean_attributes(attributes: Mapping[str, str], policy: CleaningPolicy, findings: list[Finding]) -> dict[str, str]:
    cleaned: dict[str, str] = {}
    for name, text in attributes.items():

        def note(reason: CleaningReason, detail: str, *, attribute: str = name) -> None:
            findings.append(Finding(reason=reason, attribute=attribute, detail=detail))

        if name in policy.junk_attributes:
            note(CleaningReason.JUNK_ATTRIBUTE, text)
            continue
        shown = _text(text, policy)
        sent, missing = attribute_values(shown), policy.missing_values.get(name, frozenset())
        values = [value for value in sent if folded(value) not in missing] if missing else list(sent)
        if not values:
            if name in policy.unknown_attributes:
                cleaned[name] = UNKNOWN
                note(CleaningReason.UNKNOWN_VALUE, shown)
            else:
                note(CleaningReason.MISSING_VALUE, shown)
            continue
        if len(values) < len(sent):
            note(CleaningReason.MISSING_VALUE, shown)
        rare = policy.rare_values.get(name, frozenset())
        if rare_here := [value for value in values if value in rare]:
            note(CleaningReason.RARE_VALUE, VALUE_SEPARATOR.join(rare_here))
            values = [OTHER if value in rare else value for value in values]
        cleaned[name] = shown if values == list(sent) else VALUE_SEPARATOR.join(dict.fromkeys(values))
    return cleaned
