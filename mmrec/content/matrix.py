"""Content embeddings of a catalogue, one block per modality; any item may lack any modality (METHODS M15).

Axes: I items, D_m the width of modality m's encoder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Encoded(Protocol):
    """Something that vectors of some encoders are in, or that was trained with them."""

    @property
    def encoders(self) -> Mapping[str, str]: ...
    @property
    def fingerprints(self) -> Mapping[str, str]: ...


def is_same_encoder(modality: str, given: Encoded, trained: Encoded) -> bool:
    """Whether the vectors of a modality that are `given` mean what a model was trained with.

    A model that is older than fingerprints goes by the encoder's name alone.
    """
    if modality not in given.encoders or given.encoders[modality] != trained.encoders.get(modality):
        return False
    return trained.fingerprints.get(modality, "") in ("", given.fingerprints.get(modality, ""))


@dataclass(frozen=True, kw_only=True, eq=False)
class ContentMatrix:
    """Frozen-encoder outputs of I items. Row i of every array speaks of `item_ids[i]`."""

    item_ids: tuple[str, ...]
    values: Mapping[str, FloatArray]
    """Modality -> float32 (I, D_m); zeros where the item lacks the modality."""
    present: Mapping[str, BoolArray]
    """Modality -> bool (I,)."""
    encoders: Mapping[str, str]
    """Modality -> name of the encoder that made its values."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of that encoder; absent where its values are older than fingerprints."""

    def __post_init__(self) -> None:
        if set(self.values) != set(self.present) or set(self.values) != set(self.encoders):
            raise ValueError(
                f"values, present and encoders name different modalities: {sorted(self.values)}, "
                f"{sorted(self.present)}, {sorted(self.encoders)}"
            )
        if not set(self.fingerprints) <= set(self.values):
            raise ValueError(
                f"fingerprints name modalities {sorted(self.fingerprints)}, values are there for {sorted(self.values)}"
            )
        for modality, values in self.values.items():
            if values.ndim != 2 or len(values) != len(self.item_ids) or self.present[modality].shape != (len(values),):
                raise ValueError(
                    f"modality {modality!r} has shape {values.shape} for {len(self.item_ids)} items; give (I, D)"
                )

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, sorted."""
        return tuple(sorted(self.values))

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Item id -> row."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def select(self, item_ids: Iterable[str]) -> "ContentMatrix":
        """The rows of `item_ids`, in that order; items that are not here come out with no modality."""
        wanted = tuple(item_ids)
        rows = np.array([self.row_of.get(item_id, -1) for item_id in wanted], dtype=np.int64)
        known = rows >= 0
        safe = np.where(known, rows, 0)
        values, present = {}, {}
        for modality, block in self.values.items():
            chosen = np.zeros((len(wanted), block.shape[1]), dtype=np.float32)
            flags = np.zeros(len(wanted), dtype=np.bool_)
            if len(block):
                flags = known & self.present[modality][safe]
                chosen[flags] = block[safe[flags]]
            values[modality], present[modality] = chosen, flags
        return replace(self, item_ids=wanted, values=values, present=present)


def content_matrix(
    item_ids: Sequence[str],
    vectors: Mapping[str, Mapping[str, FloatArray]],
    *,
    embedding_dims: Mapping[str, int],
    encoders: Mapping[str, str],
    fingerprints: Mapping[str, str] | None = None,
) -> ContentMatrix:
    """A matrix from sparse vectors: modality -> item id -> (D_m,); what is not named is missing."""
    values, present = {}, {}
    for modality, embedding_dim in embedding_dims.items():
        block = np.zeros((len(item_ids), embedding_dim), dtype=np.float32)
        flags = np.zeros(len(item_ids), dtype=np.bool_)
        found = vectors.get(modality, {})
        for row, item_id in enumerate(item_ids):
            vector = found.get(item_id)
            if vector is not None:
                block[row], flags[row] = vector, True
        values[modality], present[modality] = block, flags
    return ContentMatrix(
        item_ids=tuple(item_ids),
        values=values,
        present=present,
        encoders=dict(encoders),
        fingerprints=dict(fingerprints or {}),
    )
