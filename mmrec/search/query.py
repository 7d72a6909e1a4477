"""What is looked for: weighted parts, each of words, vectors, or an item whose like is wanted.

"this, but red, without stripes":

    (QueryPart(item_id="i7"), QueryPart(words="red", vectors=(...,)), QueryPart(words="stripes", weight=-1.0))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
LEXICAL: Final = "lexical"
"""Name of the evidence of words; that of vectors is named by vectors_of()."""


def vectors_of(modality: str) -> str:
    """Name of the evidence that an item's vectors of a modality give, such as "image vectors"."""
    return f"{modality} vectors"


@dataclass(frozen=True, kw_only=True, eq=False)
class MeantVector:
    """A vector, and what it may be compared with.

    Vectors of one meaning were made by one model with one set of weights and code; those of different meanings are
    never compared.
    """

    meaning: str
    values_D: Float32Array


def own_meaning(modality: str, encoder: str, fingerprint: str) -> str:
    """Meaning of what an encoder makes of its own modality."""
    return f"{modality}/{encoder}/{fingerprint}"


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryPart:
    """One thing that is wanted, or with a negative weight, not wanted."""

    weight: float = 1.0
    words: str = ""
    """A text, whose words items should have."""
    vectors: tuple[MeantVector, ...] = ()
    """Of a text or photo; compared with items' vectors of the same meaning, whatever modality they are of."""
    item_id: str = ""
    """An item, whose own vectors are taken; the other fields are then empty."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Modality -> weight of items' vectors of it, >= 0. Empty: all alike."""
