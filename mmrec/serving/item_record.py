"""Records of topic `item-embeddings`, read: what a replica needs of a new, changed or removed item."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import json_format

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.errors import InvalidRequestError
from mmrec.v1 import catalog_pb2


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemUpdate:
    """One item as of one record."""

    item_id: str
    entry: CatalogEntry | None
    """None: the item was removed."""
    vectors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Modality -> content embedding; absent modalities are legal."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """Modality -> encoder that made it."""


def read_item_update(key: bytes | None, value: bytes | None) -> ItemUpdate:
    """The update a record holds.

    Raises:
        InvalidRequestError: no key, a value that is no ItemEmbedding, a vector that is no row of finite numbers.
    """
    item_id = (key or b"").decode("utf-8", errors="replace")
    if not item_id:
        raise InvalidRequestError("a record of item-embeddings has no key; the key is the item id")
    if value is None:
        return ItemUpdate(item_id=item_id, entry=None)
    message = catalog_pb2.ItemEmbedding()
    vectors, encoders = {}, {}
    try:
        document = json.loads(value)
        # Thousands of floats go around protobuf's JSON reader, which takes milliseconds for them.
        for block in document.pop("modalities", []):
            vectors[str(block["modality"])] = _vector(block.get("values", ()))
            encoders[str(block["modality"])] = str(block.get("encoder", ""))
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        json_format.ParseError,
    ) as error:
        raise InvalidRequestError(f"value for item {item_id!r} is no ItemEmbedding JSON: {error}") from None
    return ItemUpdate(item_id=item_id, entry=_entry(item_id, message), vectors=vectors, encoders=encoders)


def _vector(values: Any) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        vector = np.asarray(values, dtype=np.float32)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise ValueError(f"a vector has shape {vector.shape} or holds NaN; give one row of finite numbers")
    return vector


def _entry(item_id: str, message: catalog_pb2.ItemEmbedding) -> CatalogEntry:
    known = {int(value) for value in Availability}
    return CatalogEntry(
        item_id=item_id,
        title=message.title,
        domain=message.domain,
        attributes=dict(message.attributes),
        price=message.price,
        currency=message.currency,
        availability=Availability(int(message.availability) if int(message.availability) in known else 0),
        publish_time_s=message.publish_time.ToMicroseconds() / 1e6 if message.HasField("publish_time") else 0.0,
        update_time_s=message.update_time.ToMicroseconds() / 1e6 if message.HasField("update_time") else 0.0,
    )
