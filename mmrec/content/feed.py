"""Records of topic `catalog-items` -> cleaned items, and content rows -> records of topic `item-embeddings`.

Nothing goes missing silently: what is refused comes out with its reason, what was put right is counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from google.protobuf import json_format

from mmrec.catalog.cleaning import CleaningPolicy, clean_item
from mmrec.catalog.item import CatalogEntry, CatalogItem
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import parse_change
from mmrec.catalog.values import SEARCHED_CHARACTERS
from mmrec.content.matrix import ContentMatrix
from mmrec.v1 import catalog_pb2

_DIGITS = 6
"""Decimals of vectors on the wire; encoders' own noise is larger."""


@dataclass(frozen=True, kw_only=True)
class RefusedChange:
    """A record that was not taken."""

    position: int
    """Of the record among those that were read."""
    refusal: ItemRefusal


@dataclass(frozen=True, kw_only=True)
class CatalogChanges:
    """What some records say: of each item the newest record that was taken."""

    items: Mapping[str, CatalogItem]
    removed: tuple[str, ...]
    """Items whose newest record has no value."""
    refused: tuple[RefusedChange, ...] = ()
    """In the order of the records. A refused state of an item changes nothing: the one before is served on."""
    mended: Mapping[str, int] = field(default_factory=dict)
    """Reason -> items that were put right and taken."""
    num_unknown_fields: int = 0
    """Fields that this version does not know; ignored."""
    broken_images: Mapping[str, str] = field(default_factory=dict)
    """Item id -> what is wrong with its picture, which was taken off."""


def read_changes(
    records: Sequence[tuple[bytes | None, bytes | None]], *, policy: CleaningPolicy | None = None
) -> CatalogChanges:
    """Changes from (key, value) records in the order of their offsets; a record's key is the item's id.

    Every record is judged, those that a later one replaces, too, so that the outcome does not depend on which records
    are read together.
    """
    policy = policy or CleaningPolicy()
    newest: dict[str, CatalogItem | None] = {}
    refused = []
    num_unknown_fields = 0
    for position, (key, value) in enumerate(records):
        change = parse_change(key, value)
        if isinstance(change, ItemRefusal):
            refused.append(RefusedChange(position=position, refusal=change))
            continue
        newest[change.item_id] = change.item
        num_unknown_fields += change.num_unknown_fields
    mended: Counter[str] = Counter()
    items: dict[str, CatalogItem] = {}
    broken_images: dict[str, str] = {}
    for item_id, item in newest.items():
        if item is None:
            continue
        cleaned = clean_item(item, policy)
        mended.update(str(reason) for reason in cleaned.reasons)
        if cleaned.image_problem:
            broken_images[item_id] = cleaned.image_problem
        assert cleaned.item is not None, f"the rules took {item_id!r} without a title"
        items[item_id] = cleaned.item
    return CatalogChanges(
        items=items,
        removed=tuple(item_id for item_id, item in newest.items() if item is None),
        refused=tuple(refused),
        mended=mended,
        num_unknown_fields=num_unknown_fields,
        broken_images=broken_images,
    )


def embedding_records(
    matrix: ContentMatrix,
    entries: Mapping[str, CatalogEntry],
    *,
    removed: Sequence[str] = (),
    descriptions: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of topic `item-embeddings`, one per row of `matrix` and one without value per removed item.

    Args:
        matrix: Content of some items.
        entries: Serving fields of the same items.
        descriptions: Description by item; what search reads of it is sent.
    """
    for item_id in removed:
        yield item_id.encode("utf-8"), None
    for row, item_id in enumerate(matrix.item_ids):
        document = _entry_document(entries[item_id])
        if description := descriptions.get(item_id, "")[:SEARCHED_CHARACTERS]:
            document["description"] = description
        document["modalities"] = [
            {
                "modality": modality,
                "encoder": matrix.encoders[modality],
                "fingerprint": matrix.fingerprints.get(modality, ""),
                "values": np.round(matrix.values[modality][row].astype(np.float64), _DIGITS).tolist(),
            }
            for modality in matrix.modalities
            if matrix.present[modality][row]
        ]
        yield item_id.encode("utf-8"), msgspec.json.encode(document)


def _entry_document(entry: CatalogEntry) -> dict[str, Any]:
    message = catalog_pb2.ItemEmbedding(
        item_id=entry.item_id,
        title=entry.title,
        domain=entry.domain,
        attributes=dict(entry.attributes),
        price=entry.price,
        currency=entry.currency,
        availability=catalog_pb2.Availability.Name(int(entry.availability)),
        inferred_attributes=dict(entry.inferred_attributes),
    )
    if entry.publish_time_s:
        message.publish_time.FromMicroseconds(round(entry.publish_time_s * 1e6))
    if entry.update_time_s:
        message.update_time.FromMicroseconds(round(entry.update_time_s * 1e6))
    if entry.expire_time_s:
        message.expire_time.FromMicroseconds(round(entry.expire_time_s * 1e6))
    document: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return document
