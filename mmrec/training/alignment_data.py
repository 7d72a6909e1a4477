"""What an alignment learns from: items that have a picture and a text, in parts and groups (METHODS M19).

    pairs = alignment_pairs(content, entries, seed=1)          pairs.parts["test"], pairs.inputs["image"]

Items of one title, one text vector or one picture are a group: they stand in one part together, and are right answers
for each other. Axes: N pairs, X width of an encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogEntry
from mmrec.catalog.values import folded
from mmrec.content.alignment import IMAGE, SIDES, TEXT
from mmrec.content.matrix import ContentMatrix, FloatArray
from mmrec.errors import ConfigurationError
from mmrec.evaluation.group_split import HOLD_OUT, group_split, item_groups
from mmrec.training.same_content import vector_digests

MIN_PAIRS = 20
"""Fewer items with picture and text teach nothing that could be measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentPairs:
    """N items with picture and text. Row n of every array speaks of item_ids[n]."""

    item_ids: tuple[str, ...]
    inputs: Mapping[str, FloatArray]
    """By modality, SIDES: what its encoder made of the item, (N, X)."""
    encoders: Mapping[str, str]
    fingerprints: Mapping[str, str]
    """Modality -> fingerprint of its encoder; left out where the vectors are older than fingerprints."""
    groups_N: npt.NDArray[np.int64]
    """The lowest row that the item is tied to by equal titles, texts or pictures."""
    labels: tuple[str, ...]
    """Value of the label attribute, folded; "" where the item has none."""
    parts: Mapping[str, npt.NDArray[np.int64]]
    """"train", "validation" and "test" -> rows."""

    def __len__(self) -> int:
        return len(self.item_ids)

    def of(self, rows: npt.NDArray[np.int64]) -> dict[str, FloatArray]:
        """Inputs of some rows, by modality."""
        return {modality: values[rows] for modality, values in self.inputs.items()}


def alignment_pairs(
    content: ContentMatrix,
    entries: Mapping[str, CatalogEntry],
    *,
    label_attribute: str,
    seed: int,
    shares: Mapping[str, float] = HOLD_OUT,
) -> AlignmentPairs:
    """All items that have a picture and a text.

    Args:
        content: Embeddings of the catalogue.
        entries: Serving fields: titles say which texts are the same, attributes label items. May lack items.
        label_attribute: Whose values nearest neighbors are judged by.
        seed: Of the split.
        shares: Part -> its share of the items.

    Raises:
        ConfigurationError: image or text vectors are missing, fewer than MIN_PAIRS items have both, or too few of these
            differ.
    """
    lacking = [modality for modality in SIDES if modality not in content.values]
    if lacking:
        raise ConfigurationError(
            f"the content store has no {' and no '.join(lacking)} vectors; run `python -m jobs.encode_items` first"
        )
    rows = np.flatnonzero(content.present[IMAGE] & content.present[TEXT])
    if len(rows) < MIN_PAIRS:
        raise ConfigurationError(f"{len(rows)} items have a picture and a text; give {MIN_PAIRS} at least")
    item_ids = tuple(content.item_ids[row] for row in rows)
    inputs = {modality: np.ascontiguousarray(content.values[modality][rows]) for modality in SIDES}
    known = [entries.get(item_id) for item_id in item_ids]
    keys = [[folded(entry.title) if entry else "" for entry in known], *map(vector_digests, inputs.values())]
    groups_N, parts = item_groups(*keys), group_split(*keys, shares=shares, seed=seed)
    if min(map(len, parts.values())) < 2:
        said = ", ".join(f"{part} {len(part_rows)}" for part, part_rows in parts.items())
        raise ConfigurationError(
            f"{len(rows)} items with picture and text are {len(set(groups_N.tolist()))} different ones by title, text "
            f"and picture, and items that are alike stay together: {said}; every part needs 2 at least"
        )
    return AlignmentPairs(
        item_ids=item_ids,
        inputs=inputs,
        encoders={modality: content.encoders[modality] for modality in SIDES},
        fingerprints={modality: name for modality, name in content.fingerprints.items() if modality in SIDES},
        groups_N=groups_N,
        labels=tuple(folded(entry.attributes.get(label_attribute, "")) if entry else "" for entry in known),
        parts=parts,
    )
