"""Catalogue cleaning: what is dropped, what is put right, and how often, by reason; none of it silent (METHODS M13).

    policy = cleaning_policy(settings.catalog)
    cleaned = clean_item(item, policy)
    cleaned.item, cleaned.reasons

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


def cleaning_policy(settings: CatalogSettings) -> CleaningPolicy:
    """The policy that a configuration names."""
    missing = {name: frozenset(map(folded, values)) for name, values in settings.missing_values.items()}
    return CleaningPolicy(
        junk_attributes=frozenset(settings.junk_attributes),
        unknown_attributes=frozenset(settings.unknown_attributes),
        missing_values=missing,
        decode_entities=settings.decode_entities,
    )


@dataclass(frozen=True, kw_only=True)
class CleanedItem:
    """What became of one item."""

    item: CatalogItem | None
    """None where the item was dropped."""
    reasons: tuple[CleaningReason, ...]
    """Everything that was found, in the order of checks; empty for a clean item."""
    image_problem: str = ""
    """What is wrong with the picture where BROKEN_IMAGE is a reason."""


def clean_item(item: CatalogItem, policy: CleaningPolicy) -> CleanedItem:
    """One item, cleaned; the order of items does not matter."""
    if is_blank(item.title):
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
    texts = (item.title, item.description, item.domain, *item.attributes.values())
    if policy.decode_entities and any(map(has_entities, texts)):
        reasons.append(CleaningReason.ENTITIES)
    if any(map(has_controls, texts)):
        reasons.append(CleaningReason.CONTROL_CHARACTERS)
    cleaned = replace(
        item,
        title=_text(item.title, policy),
        description=_text(item.description, policy),
        domain=_text(item.domain, policy),
        attributes=attributes,
        image=image,
        media_type=item.media_type if image is not None or item.image_uri else "",
    )
    return CleanedItem(item=cleaned, reasons=tuple(reasons), image_problem=image_problem)


def _text(text: str, policy: CleaningPolicy) -> str:
    return shown_text(decode_entities(text) if policy.decode_entities else text)


def _clean_attributes(
    attributes: Mapping[str, str], policy: CleaningPolicy, reasons: list[CleaningReason]
) -> dict[str, str]:
    cleaned: dict[str, str] = {}
    for name, text in attributes.items():
        if name in policy.junk_attributes:
            reasons.append(CleaningReason.JUNK_ATTRIBUTE)
            continue
        shown = _text(text, policy)
        sent, missing = attribute_values(shown), policy.missing_values.get(name, frozenset())
        values = [value for value in sent if folded(value) not in missing] if missing else list(sent)
        if not values:
            if name in policy.unknown_attributes:
                cleaned[name] = UNKNOWN
                reasons.append(CleaningReason.UNKNOWN_VALUE)
            else:
                reasons.append(CleaningReason.MISSING_VALUE)
            continue
        if len(values) < len(sent):
            reasons.append(CleaningReason.MISSING_VALUE)
        rare = policy.rare_values.get(name, frozenset())
        if any(value in rare for value in values):
            reasons.append(CleaningReason.RARE_VALUE)
            values = [OTHER if value in rare else value for value in values]
        cleaned[name] = shown if values == list(sent) else VALUE_SEPARATOR.join(dict.fromkeys(values))
    return cleaned
