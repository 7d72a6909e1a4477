"""A catalogue with its content vectors, as the content figures judge it: items with pictures, split by groups.

    judged = judged_content(encoded, seed=1)

Axes: I items, D numbers of a vector.
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
from mmrec.evaluation.group_split import group_split, item_groups
from mmrec.reports.encoded_catalogue import EncodedCatalogue, FloatArray

IntArray = npt.NDArray[np.int64]
CLASS_NAMES: Final = ("articleType", "category", "genres", "subCategory", "type")
"""Attributes that say what an item is; the first that a catalogue has is the one to judge by."""
COLOR_NAMES: Final = ("baseColour", "color", "colour")


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedContent:
    """Encoded items, what to judge them by, and their parts."""

    encoded: EncodedCatalogue
    class_name: str
    """The attribute that says what an item is."""
    color_name: str
    """Empty where the catalogue has no color."""
    parts: Mapping[str, IntArray]
    """"train", "validation", "test" -> rows."""

    @property
    def items(self) -> Sequence[CatalogItem]:
        """In the order of axis I."""
        return self.encoded.items

    @property
    def images(self) -> Mapping[str, FloatArray]:
        """Image encoder -> (I, D) rows of length one."""
        return self.encoded.images

    @property
    def texts_ID(self) -> FloatArray:
        """Rows of length one; zeros where an item has no text."""
        return self.encoded.texts_ID

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


def judged_content(encoded: EncodedCatalogue, *, seed: int) -> JudgedContent:
    """Choose what to judge by and split.

    Args:
        seed: Of the split.

    Raises:
        InvalidRequestError: no item has an attribute that makes classes.
    """
    items = encoded.items
    return JudgedContent(
        encoded=encoded,
        class_name=class_attribute(items),
        color_name=next((name for name in COLOR_NAMES if any(name in item.attributes for item in items)), ""),
        parts=group_split(*alike_columns(items), seed=seed),
    )


def class_attribute(items: Sequence[CatalogItem]) -> str:
    """The attribute that says what an item is: one of CLASS_NAMES that most items have, else the most frequent one."""
    present = Counter(name for item in items for name in item.attributes)
    known = next((name for name in CLASS_NAMES if present[name] > len(items) / 2), "")
    if known:
        return known
    if not present:
        raise InvalidRequestError("no item has an attribute to judge by; give a catalogue with a category")
    return present.most_common(1)[0][0]
