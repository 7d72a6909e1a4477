"""Records of topic `catalog-items` -> cleaned items, and content rows -> records of topic `item-embeddings`.

Nothing goes missing silently: what cannot be read or kept is counted by reason, what was put right as well.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf import json_format

from mmrec.catalog.cleaning import CleaningPolicy, clean_item
from mmrec.catalog.item import CatalogEntry, CatalogItem, from_json_value
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import InvalidRequestError
from mmrec.v1 import catalog_pb2

UNREADABLE, KEY_MISMATCH = "unreadable", "key_mismatch"
_DIGITS = 6
"""Decimals of vectors on the wire; encoders' own noise is larger."""


@dataclass(frozen=True, kw_only=True)
class CatalogChanges:
    """What some records say, the newest record of an item alone."""

    items: Mapping[str, CatalogItem]
    removed: tuple[str, ...]
    """Items whose newest record has no value."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason -> records that were not taken."""
    mended: Mapping[str, int] = field(default_factory=dict)
    """Reason -> items that were put right and taken."""
    broken_images: Mapping[str, str] = field(default_factory=dict)
    """Item id -> what is wrong with its picture, which was taken off."""


def read_changes(
    records: Sequence[tuple[bytes | None, bytes | None]], *, policy: CleaningPolicy | None = None
) -> CatalogChanges:
    """Changes from (key, value) records in the order of their offsets; a record's key is the item's id."""
    policy = policy or CleaningPolicy()
    newest = {key: value for key, value in records if key}
    rejected: Counter[str] = Counter({UNREADABLE: sum(1 for key, _ in records if not key)})
    mended: Counter[str] = Counter()
    items: dict[str, CatalogItem] = {}
    broken_images: dict[str, str] = {}
    removed = []
    for key, value in newest.items():
        item_id = key.decode("utf-8", errors="replace")
        if value is None:
            removed.append(item_id)
            continue
        try:
            item = from_json_value(value)
        except InvalidRequestError:
            rejected[UNREADABLE] += 1
            continue
        if item.item_id != item_id:
            rejected[KEY_MISMATCH] += 1
            continue
        cleaned = clean_item(item, policy)
        counted = rejected if cleaned.item is None else mended
        counted.update(str(reason) for reason in cleaned.reasons)
        if cleaned.image_problem:
            broken_images[item_id] = cleaned.image_problem
        if cleaned.item is not None:
            items[item_id] = cleaned.item
    return CatalogChanges(
        items=items, removed=tuple(removed), rejected=+rejected, mended=+mended, broken_images=broken_images
    )


def embedding_records(
    matrix: ContentMatrix, entries: Mapping[str, CatalogEntry], *, removed: Sequence[str] = ()
) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of topic `item-embeddings`, one per row of `matrix` and one without value per removed item.

    Args:
        matrix: Content of some items.
        entries: Serving fields of the same items.
    """
    for item_id in removed:
        yield item_id.encode("utf-8"), None
    for row, item_id in enumerate(matrix.item_ids):
        document = _entry_document(entries[item_id])
        document["modalities"] = [
            {
                "modality": modality,
                "encoder": matrix.encoders[modality],
                "values": np.round(matrix.values[modality][row].astype(np.float64), _DIGITS).tolist(),
            }
            for modality in matrix.modalities
            if matrix.present[modality][row]
        ]
        yield item_id.encode("utf-8"), json.dumps(document, ensure_ascii=False).encode("utf-8")


def _entry_document(entry: CatalogEntry) -> dict[str, Any]:
    message = catalog_pb2.ItemEmbedding(
        item_id=entry.item_id,
        title=entry.title,
        domain=entry.domain,
        attributes=dict(entry.attributes),
        price=entry.price,
        currency=entry.currency,
        availability=catalog_pb2.Availability.Name(int(entry.availability)),
    )
    if entry.publish_time_s:
        message.publish_time.FromMicroseconds(round(entry.publish_time_s * 1e6))
    if entry.update_time_s:
        message.update_time.FromMicroseconds(round(entry.update_time_s * 1e6))
    document: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return document
