"""A catalogue with its content vectors, as the content figures judge it: items with pictures, split by groups.

    judged = judged_content(items, {"efficientnet-lite0": matrix, ...}, text="minilm", ...)

Axes: I items, D_m numbers of an encoder's vector.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.cleaning import OTHER, UNKNOWN
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import attribute_values, folded
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.content_metrics import unit_rows
from mmrec.evaluation.group_split import group_split, item_groups

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
CLASS_NAMES: Final = ("articleType", "category", "genres", "subCategory", "type")
"""Attributes that say what an item is; the first that a catalogue has is the one to judge by."""
COLOR_NAMES: Final = ("baseColour", "color", "colour")
MIN_ITEMS: Final = 20
"""Fewer items with pictures say nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedContent:
    """I items that have a picture, in the order of all arrays."""

    items: Sequence[CatalogItem]
    images: Mapping[str, FloatArray]
    """Name of an image encoder -> (I, D) rows of length one."""
    text_encoder: str
    texts_ID: FloatArray
    """Rows of length one; zeros where an item has no text."""
    class_name: str
    """The attribute that says what an item is."""
    color_name: str
    """Empty where the catalogue has no color."""
    parts: Mapping[str, IntArray]
    """"train", "validation", "test" -> rows."""

    @cached_property
    def fit(self) -> IntArray:
        """Rows that nothing is judged on: train and validation."""
        return np.sort(np.concatenate([self.parts["train"], self.parts["validation"]]))

    @property
    def test(self) -> IntArray:
        """Rows held out."""
        return self.parts["test"]

    @cached_property
    def groups(self) -> IntArray:
        """Items of one title or picture share a number."""
        return item_groups(*alike_columns(self.items))

    def labels(self, attribute: str) -> npt.NDArray[np.str_]:
        """The first value of each item; empty where it has none, or one that stands for none."""
        values = [attribute_values(item.attributes.get(attribute, ""))[:1] for item in self.items]
        return np.array([v[0] if v and v[0] not in {UNKNOWN, OTHER} else "" for v in values], dtype=np.str_)

    @property
    def best_image(self) -> str:
        """The image encoder that is named first."""
        return next(iter(self.images))


def alike_columns(items: Sequence[CatalogItem]) -> tuple[list[str], list[str]]:
    """Folded titles and digests of pictures, empty where there is none: what group_split() keeps together."""
    digests = ["" if item.image is None else hashlib.blake2b(item.image, digest_size=16).hexdigest() for item in items]
    return [folded(item.title) for item in items], digests


def judged_content(
    items: Sequence[CatalogItem],
    images: Mapping[str, FloatArray],
    texts_ID: FloatArray,
    *,
    text_encoder: str,
    seed: int,
) -> JudgedContent:
    """Choose what to judge by and split.

    Args:
        items: Items that have a vector of every image encoder.
        images: Image encoder -> vectors, aligned with items; the first is the one that lists are made with.
        texts_ID: Vectors of the texts, aligned.
        seed: Of the split.

    Raises:
        InvalidRequestError: there are too few items, or none has an attribute that makes classes.
    """
    if len(items) < MIN_ITEMS:
        raise InvalidRequestError(f"{len(items)} items have a picture; the figures need {MIN_ITEMS} or more")
    return JudgedContent(
        items=items,
        images={name: unit_rows(values).astype(np.float32) for name, values in images.items()},
        text_encoder=text_encoder,
        texts_ID=unit_rows(texts_ID).astype(np.float32),
        class_name=_class_name(items),
        color_name=next((name for name in COLOR_NAMES if any(name in item.attributes for item in items)), ""),
        parts=group_split(*alike_columns(items), seed=seed),
    )


def _class_name(items: Sequence[CatalogItem]) -> str:
    present = Counter(name for item in items for name in item.attributes)
    known = next((name for name in CLASS_NAMES if present[name] > len(items) / 2), "")
    if known:
        return known
    if not present:
        raise InvalidRequestError("no item has an attribute to judge by; give a catalogue with a category")
    return present.most_common(1)[0][0]
