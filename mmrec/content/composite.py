"""Several encoders of one modality as one: their vectors one after the other.

    encoder("image", "efficientnet-lite0+color-histogram")
    encoder("image", "efficientnet-lite0+0.5*color-histogram")

    x = [w_1 norm(x_1); w_2 norm(x_2); ...] / sqrt(w_1^2 + w_2^2 + ...)

So the cosine of two composite vectors is the mean of their parts' cosines, weighted by the squares of w.
Axes: N inputs, D embedding, the sum of the parts'.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mmrec.content.encoder import EncoderModel, Encodings

JOINT: Final = "+"
"""Stands between the names of the parts."""
TIMES: Final = "*"
"""Stands between the weight of a part and its name; a part without weight has 1."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One encoder of a composite, by name."""

    name: str
    weight: float = 1.0


def encoder_parts(name: str) -> tuple[Part, ...]:
    """The parts that a name names: one for a plain name, and for a folder whatever its name.

    A weight that is no number above 0 stays in the name, which no encoder then has.
    """
    if Path(name).is_dir():
        return (Part(name=name),)
    return tuple(_part(text) for text in name.split(JOINT))


def _part(text: str) -> Part:
    weight, times, name = text.partition(TIMES)
    try:
        found = float(weight) if times else 1.0
    except ValueError:
        return Part(name=text)
    return Part(name=name, weight=found) if 0 < found < math.inf and times else Part(name=text)


class CompositeEncoder:
    """Encodes by all of its parts; what one of them cannot read is broken.

    Args:
        name: As it was asked for.
        parts: Encoders of one modality, with their weights above 0.
    """

    def __init__(self, name: str, parts: Sequence[tuple[EncoderModel, float]]) -> None:
        modalities = sorted({encoder.modality for encoder, _ in parts})
        if len(modalities) != 1:
            raise ValueError(f"parts of {name!r} are of the modalities {modalities}; give parts of one")
        self.name, self.modality = name, modalities[0]
        total = math.sqrt(sum(weight**2 for _, weight in parts))
        self._parts = [(encoder, weight / total) for encoder, weight in parts]

    @property
    def embedding_dim(self) -> int:
        """D: the sum of the parts'."""
        return sum(encoder.embedding_dim for encoder, _ in self._parts)

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors; a part that is zero everywhere stays so."""
        found = [(encoder.encode(payloads), weight) for encoder, weight in self._parts]
        blocks = []
        for encodings, weight in found:
            norms_N1 = np.linalg.norm(encodings.values_ND, axis=1, keepdims=True)
            blocks.append(encodings.values_ND * (weight / np.maximum(norms_N1, np.float32(1e-12))))
        values_ND = np.concatenate(blocks, axis=1).astype(np.float32)
        reasons_N = tuple(
            next((reason for reason in reasons if reason), "")
            for reasons in zip(*(encodings.reasons_N for encodings, _ in found), strict=True)
        )
        values_ND[[bool(reason) for reason in reasons_N]] = 0.0
        return Encodings(values_ND=values_ND, reasons_N=reasons_N)
