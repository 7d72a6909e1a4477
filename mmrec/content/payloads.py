"""Canonical bytes of an item, one payload per modality: what encoders read and what the cache is keyed by.

What people see stays as it was sent; encoders read texts in one Unicode form and attribute values folded, so that
"10½" and "Comedy" are the same however they are written.
"""

from hashlib import sha256

from mmrec.catalog.item import CatalogItem
from mmrec.content.cleaning import text_cleaning
from mmrec.content.modalities.registry import MODALITIES


def payloads(item: CatalogItem, *, cleaning: str = "none") -> dict[str, bytes]:
    """Modality -> bytes; a modality the item lacks is left out.

    Args:
        item: Any item, however incomplete.
        cleaning: Name of the text cleaning (mmrec.content.cleaning).
    """
    clean = text_cleaning(cleaning)
    return {each.name: payload for each in MODALITIES if (payload := each.payload(item, clean))}


def digest(payload: bytes) -> bytes:
    """sha256 of a payload, 32 bytes; how it is read is part of an encoder's fingerprint."""
    return sha256(payload).digest()
