"""Canonical bytes of an item, one payload per modality: what encoders read and what the cache is keyed by."""

import json
from hashlib import sha256

from mmrec.catalog.item import CatalogItem
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
    text = ". ".join(part for part in (clean(item.title), clean(item.description)) if part)
    if text:
        found[TEXT] = text.encode("utf-8")
    if item.image:
        found[IMAGE] = item.image
    attributes = {k: v for k, v in item.attributes.items() if v.strip()}
    if attributes:
        found[ATTRIBUTES] = json.dumps(attributes, sort_keys=True, ensure_ascii=False).encode("utf-8")
    return found


def digest(payload: bytes, modality: str = "") -> bytes:
    """sha256 of a payload and of the way its modality is read, 32 bytes."""
    return sha256(_READING.get(modality, b"") + payload).digest()
