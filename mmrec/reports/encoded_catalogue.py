"""Items with a picture and their vectors by several encoders: what figures are taken of and trainings learn from.

    encoded = encode_catalogue(catalogue.items, encoders, store=store, tell=log.info)
    encoded.images["color-histogram"], encoded.matrix

Axes: I items, D numbers of a vector.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogItem
from mmrec.content.composite import JOINT
from mmrec.content.encode import encode_items
from mmrec.content.encoder import Encoder
from mmrec.content.matrix import ContentMatrix
from mmrec.content.store import ContentStore
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.content_metrics import unit_rows
from mmrec.reports.spooled_items import items_of
from mmrec.wire.portions import portions

FloatArray = npt.NDArray[np.float32]
PORTION: Final = 512
"""Items encoded between two lines of the log."""
MIN_ITEMS: Final = 20
"""Fewer items with pictures say nothing."""
Tell = Callable[..., None]
"""tell(event, **figures) says what happened."""


@dataclass(frozen=True, kw_only=True)
class ReportEncoders:
    """What reads pictures and texts."""

    images: Sequence[Encoder]
    """The first makes lists and retrieval; the others stand beside it."""
    text: Encoder


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedCatalogue:
    """I items that every image encoder could read, in the order of all arrays."""

    items: Sequence[CatalogItem]
    images: Mapping[str, FloatArray]
    """Image encoder -> (I, D) rows of length one, as asked for: the first is the one that lists are made with."""
    text_encoder: str
    texts_ID: FloatArray
    """Rows of length one; zeros where an item has no text."""

    @property
    def matrix(self) -> ContentMatrix:
        """For trainings: the image encoders' vectors as of a composite encoder of equal parts, and the texts'."""
        joined = np.hstack(list(self.images.values())) / np.float32(np.sqrt(len(self.images)))
        with_text: npt.NDArray[np.bool_] = np.any(self.texts_ID != 0, axis=1)
        return ContentMatrix(
            item_ids=tuple(item.item_id for item in self.items),
            values={"image": joined, "text": self.texts_ID},
            present={"image": np.ones(len(self.items), dtype=np.bool_), "text": with_text},
            encoders={"image": JOINT.join(self.images), "text": self.text_encoder},
        )


def encode_catalogue(
    items: Sequence[CatalogItem], encoders: ReportEncoders, *, store: ContentStore, tell: Tell, cleaning: str = "none"
) -> EncodedCatalogue:
    """Vectors of every item with a picture; what the cache has is not encoded again.

    Args:
        cleaning: Name of the text cleaning, as the catalogue is encoded with.

    Raises:
        InvalidRequestError: fewer than MIN_ITEMS items have a picture that can be read.
    """
    pictured = items_of(items, [row for row, item in enumerate(items) if item.image is not None])
    found = {each.name: _vectors(pictured, "image", each, store=store, tell=tell) for each in encoders.images}
    read = [row for row, item in enumerate(pictured) if all(item.item_id in vectors for vectors in found.values())]
    kept = items_of(pictured, read)
    if len(kept) < MIN_ITEMS:
        raise InvalidRequestError(f"{len(kept)} items have a picture that can be read; figures need {MIN_ITEMS}")
    texts = _vectors(kept, "text", encoders.text, store=store, tell=tell, cleaning=cleaning)
    return EncodedCatalogue(
        items=kept,
        images={name: _rows(kept, vectors) for name, vectors in found.items()},
        text_encoder=encoders.text.name,
        texts_ID=_rows(kept, texts),
    )


def _vectors(
    items: Sequence[CatalogItem],
    modality: str,
    encoder: Encoder,
    *,
    store: ContentStore,
    tell: Tell,
    cleaning: str = "none",
) -> dict[str, FloatArray]:
    """Item id -> vector, where the item has one."""
    found: dict[str, FloatArray] = {}
    seen, new = 0, 0
    for portion in portions(items, PORTION):
        encoded = encode_items(portion, {modality: encoder}, store, cleaning=cleaning)
        seen, new = seen + len(portion), new + encoded.num_encoded.get(modality, 0)
        if modality in encoded.matrix.values:
            values, present = encoded.matrix.values[modality], encoded.matrix.present[modality]
            found |= {item_id: values[row] for row, item_id in enumerate(encoded.matrix.item_ids) if present[row]}
        tell("encoded", modality=modality, encoder=encoder.name, items=seen, new=new)
    return found


def _rows(items: Sequence[CatalogItem], vectors: Mapping[str, FloatArray]) -> FloatArray:
    nothing = np.zeros_like(next(iter(vectors.values()), np.zeros(1, dtype=np.float32)))
    return unit_rows(np.stack([vectors.get(item.item_id, nothing) for item in items])).astype(np.float32)
