"""Records of topic `item-embeddings`, read: what a replica needs of a new, changed or removed item.

Fields that catalogue items have as well are read by the rules of the catalogue (mmrec.catalog.fields): anybody may
write to the topic, and an id or availability that is refused elsewhere must be refused here, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.fields import (
    DECODED,
    MAX_ATTRIBUTE_BYTES,
    MAX_DESCRIPTION_BYTES,
    MAX_NAME_BYTES,
    MAX_TITLE_BYTES,
    KnownFields,
    attributes_field,
    availability_field,
    expire_field,
    id_field,
    key_field,
    known_fields,
    list_field,
    price_field,
    text_field,
    time_field,
    wrong_type,
)
from mmrec.catalog.item import CatalogEntry
from mmrec.catalog.refusals import ItemRefusedError, ItemRejection
from mmrec.catalog.values import SEARCHED_CHARACTERS
from mmrec.errors import InvalidRequestError
from mmrec.wire.documents import DocumentError, load_document
from mmrec.wire.shown import shown

MAX_UPDATE_BYTES: Final = 8 * 1024 * 1024
"""Longest record that the topic accepts."""
MAX_MODALITIES: Final = 16
MAX_EMBEDDING_DIM: Final = 65_536
_FIELDS: Final = (
    *("item_id", "modalities", "title", "domain", "attributes", "price", "currency"),
    *("availability", "publish_time", "update_time", "expire_time", "description", "inferred_attributes"),
)
_MODALITY_FIELDS: Final = ("modality", "encoder", "values", "fingerprint")


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemUpdate:
    """One item, as one record describes it."""

    item_id: str
    entry: CatalogEntry | None
    """None: the item was removed."""
    vectors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Modality -> content embedding; absent modalities are legal."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """Modality -> encoder that made it."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Modality -> that encoder's fingerprint; "" in records that are older than fingerprints."""
    description: str = ""
    """As much of it as search reads."""


def read_item_update(key: bytes | None, value: bytes | None) -> ItemUpdate:
    """The update a record holds.

    Raises:
        InvalidRequestError: the key is no item id, the value no ItemEmbedding, a vector no row of finite numbers; it
            begins with the reason, a value of ItemRejection.
    """
    try:
        item_id = key_field(key)
        if value is None:
            return ItemUpdate(item_id=item_id, entry=None)
        fields = known_fields(load_document(value, max_bytes=MAX_UPDATE_BYTES), _FIELDS)
        id_field(fields, key=item_id)
        vectors, encoders, fingerprints = {}, {}, {}
        for number, block in enumerate(list_field(fields, "modalities", max_length=MAX_MODALITIES)):
            modality, encoder, fingerprint, vector = _modality(f"modalities[{number}]", block)
            vectors[modality], encoders[modality], fingerprints[modality] = vector, encoder, fingerprint
        return ItemUpdate(
            item_id=item_id,
            entry=_entry(item_id, fields),
            vectors=vectors,
            encoders=encoders,
            fingerprints=fingerprints,
            description=text_field(fields, "description", max_bytes=MAX_DESCRIPTION_BYTES)[:SEARCHED_CHARACTERS],
        )
    except (DocumentError, ItemRefusedError) as error:
        reason, detail = (
            (error.reason, error.detail)
            if isinstance(error, DocumentError)
            else (error.refusal.reason.value, error.refusal.detail)
        )
        raise InvalidRequestError(f"{reason}: record of item {shown(key)[1:]}: {detail}") from None


def _modality(name: str, value: Any) -> tuple[str, str, str, npt.NDArray[np.float32]]:
    """Modality, encoder, fingerprint and vector."""
    if not isinstance(value, dict):
        raise wrong_type(name, value, 'an object, such as {"modality": "text", "encoder": "minilm", "values": [0.1]}')
    fields = known_fields(value, _MODALITY_FIELDS)
    modality = text_field(fields, "modality", max_bytes=MAX_NAME_BYTES)
    if not modality:
        raise wrong_type(f"{name}.modality", modality, 'a name, such as "text"')
    values = list_field(fields, "values", max_length=MAX_EMBEDDING_DIM)
    encoder, fingerprint = (text_field(fields, field, max_bytes=MAX_NAME_BYTES) for field in ("encoder", "fingerprint"))
    return modality, encoder, fingerprint, _vector(f"{name}.values", values)


def _vector(name: str, values: Sequence[Any]) -> npt.NDArray[np.float32]:
    try:
        if all(type(each) in (float, int) for each in values):
            with np.errstate(over="ignore"):
                vector = np.asarray(values, dtype=np.float32)
                can_be_normalized = bool(np.isfinite(vector @ vector))
            if len(vector) and can_be_normalized:
                return vector
    except OverflowError:
        pass
    raise ItemRefusedError(
        ItemRejection.BAD_VECTOR, f"{name} is {shown(values[:8])}; give one row of finite numbers of 32 bits"
    )


def _inferred(fields: KnownFields, attributes: Mapping[str, str]) -> dict[str, float]:
    """Confidence by name, of attributes that are there."""
    name, right = "inferred_attributes", 'an object of confidences above 0, 1 at most, such as {"color": 0.93}'
    value = fields.values.get(name, {})
    if not isinstance(value, dict):
        raise wrong_type(name, value, right)
    for key, confidence in value.items():
        if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 < confidence <= 1:
            raise wrong_type(f"{name}.{shown(key)[1:-1]}", confidence, "a number above 0, 1 at most")
        if key not in attributes:
            raise wrong_type(f"a name of {name}", key, "names that attributes has, too")
    return {key: float(confidence) for key, confidence in value.items()}


def _entry(item_id: str, fields: KnownFields) -> CatalogEntry:
    attributes = attributes_field(fields, max_bytes=DECODED * MAX_ATTRIBUTE_BYTES)
    return CatalogEntry(
        item_id=item_id,
        title=text_field(fields, "title", max_bytes=DECODED * MAX_TITLE_BYTES),
        domain=text_field(fields, "domain", max_bytes=DECODED * MAX_NAME_BYTES),
        attributes=attributes,
        price=price_field(fields),
        currency=text_field(fields, "currency", max_bytes=MAX_NAME_BYTES),
        availability=availability_field(fields),
        publish_time_s=time_field(fields, "publish_time"),
        update_time_s=time_field(fields, "update_time"),
        inferred_attributes=_inferred(fields, attributes),
        expire_time_s=expire_field(fields),
    )
