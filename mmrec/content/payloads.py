"""Canonical bytes of an item, one payload per modality: what encoders read and what the cache is keyed by.

What people see stays as it was sent; encoders read texts in one Unicode form and attribute values folded, so that
"10½" and "Comedy" are the same however they are written.
"""

import json
from hashlib import sha256

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import VALUE_SEPARATOR, attribute_values, folded, normal_text
from mmrec.content.cleaning import text_cleaning

TEXT, IMAGE, ATTRIBUTES = "text", "image", "attributes"
IMAGE_READING = "fetched, turned, scaled to their range"
"""How pictures are read. It is part of what the cache and the feed's mark go by: another way makes other vectors."""
_READING = {IMAGE: IMAGE_READING.encode()}


def payloads(item: CatalogItem, *, cleaning: str = "none") -> dict[str, bytes]:
    """Modality -> bytes; a modality the item lacks is left out.

    Args:
        item: Any item, however incomplete.
        cleaning: Name of the text cleaning (mmrec.content.cleaning).
    """
    clean = text_cleaning(cleaning)
    found: dict[str, bytes] = {}
    text = ". ".join(part for part in (clean(normal_text(item.title)), clean(normal_text(item.description))) if part)
    if text:
        found[TEXT] = text.encode("utf-8")
    if item.image:
        found[IMAGE] = item.image
    attributes = {
        # Folding may bring forth the separator, of a fullwidth one: that parts no values.
        name: VALUE_SEPARATOR.join(dict.fromkeys(folded(each).replace(VALUE_SEPARATOR, " ") for each in values))
        for name, value in item.attributes.items()
        if (values := attribute_values(value))
    }
    if attributes:
        found[ATTRIBUTES] = json.dumps(attributes, sort_keys=True, ensure_ascii=False).encode("utf-8")
    return found


def digest(payload: bytes, modality: str = "") -> bytes:
    """sha256 of a payload and of the way its modality is read, 32 bytes."""
    return sha256(_READING.get(modality, b"") + payload).digest()
