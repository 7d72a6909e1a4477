"""The alignment as it is trained: heads on frozen image and text vectors, and a temperature (METHODS M19, M20).

    v = norm( A z + B dropout(relu(C dropout(z) + c)) + a ),   z = (x - mean) / scale

Dropout of z gives another view of the same input at every call, as altered pictures and texts do for encoders that are
trained along (METHODS M14). mmrec.content.alignment is what serves, in NumPy.
Axes: N inputs, X width of an encoder, D embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.content.alignment import IMAGE, SIDES, TEXT, AlignmentModel, Head, Side
from mmrec.content.matrix import FloatArray
from mmrec.models.losses import Temperature, paired_multi_positive
from mmrec.models.settings import Dropped
from mmrec.wire.declared import AtLeastOne, check


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """Shape of one pair of heads."""

    embedding_dim: AtLeastOne = 256
    """D."""
    hidden_dim: AtLeastOne = 512
    """Width of the bend between input and embedding."""
    dropout: Dropped = 0.5
    """Share of hidden numbers that training leaves out."""
    input_dropout: Dropped = 0.2
    """Share of input numbers that training leaves out: what makes two views of one vector."""

    def __post_init__(self) -> None:
        check(self, "alignment")


class AlignmentSide(nn.Module):
    """One head of one modality."""

    mean_X: Tensor
    scale_X: Tensor

    def __init__(self, settings: AlignmentSettings, values_NX: FloatArray) -> None:
        """Centers and scales by `values_NX`, the training inputs."""
        super().__init__()
        width = values_NX.shape[1]
        mean, scale = centering(values_NX)
        self.register_buffer("mean_X", torch.from_numpy(mean))
        self.register_buffer("scale_X", torch.from_numpy(scale))
        self.hide = nn.Dropout(settings.input_dropout)
        self.skip = nn.Linear(width, settings.embedding_dim)
        self.inner = nn.Linear(width, settings.hidden_dim)
        self.drop = nn.Dropout(settings.dropout)
        self.outer = nn.Linear(settings.hidden_dim, settings.embedding_dim, bias=False)

    def forward(self, x_NX: Tensor) -> Tensor:
        """Unit vectors, (N, D)."""
        z = self.hide((x_NX - self.mean_X) / self.scale_X)
        hidden = self.drop(functional.relu(self.inner(z)))
        return functional.normalize(self.skip(z) + self.outer(hidden), dim=-1)

    def exported(self) -> Head:
        """The arrays that serve."""
        return Head(
            skip=_array(self.skip.weight.T),
            inner=_array(self.inner.weight.T),
            inner_bias=_array(self.inner.bias),
            outer=_array(self.outer.weight.T),
            bias=_array(self.skip.bias),
        )


class Aligner(nn.Module):
    """A head for each side and the temperature between them.

    Args:
        inputs: Training vectors by modality, SIDES.
        learned: Whether the temperature is learned; else it stays at `temperature`.
    """

    def __init__(
        self,
        settings: AlignmentSettings,
        inputs: Mapping[str, FloatArray],
        *,
        temperature: float = 0.07,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.sides = nn.ModuleDict({modality: AlignmentSide(settings, inputs[modality]) for modality in SIDES})
        self.temperature = Temperature(temperature, low=0.01, high=1.0)
        self.temperature.log_tau.requires_grad_(learned)

    def embed(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unit vectors by modality."""
        return {modality: self.sides[modality](values) for modality, values in x.items()}

    def forward(
        self, x: Mapping[str, Tensor], other: Mapping[str, Tensor], groups_N: Tensor, view_weight: float
    ) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            x: Inputs by modality, (N, X).
            other: Another view of the same inputs.
            groups_N: Equal numbers where items are right for each other.
            view_weight: Weight of the two-view terms; 0 leaves them out.
        """
        tau, vectors = self.temperature(), self.embed(x)
        loss = paired_multi_positive(vectors[IMAGE], vectors[TEXT], groups_N, temperature=tau)
        if view_weight > 0:
            again = self.embed(other)
            for modality in SIDES:
                views = paired_multi_positive(vectors[modality], again[modality], groups_N, temperature=tau)
                loss = loss + view_weight * views
        return loss


def exported(
    aligners: Sequence[Aligner],
    *,
    encoders: Mapping[str, str],
    fingerprints: Mapping[str, str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> AlignmentModel:
    """What serves, of one or several aligners that were fitted on the same inputs."""
    sides = {}
    for modality in SIDES:
        heads: list[Any] = [aligner.sides[modality] for aligner in aligners]
        first = heads[0]
        sides[modality] = Side(
            mean=_array(first.mean_X), scale=_array(first.scale_X), heads=tuple(head.exported() for head in heads)
        )
    return AlignmentModel(
        sides=sides, encoders=dict(encoders), fingerprints=dict(fingerprints or {}), notes=dict(notes or {})
    )


def centering(values_NX: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(mean, scale) of inputs: scale is the deviation, at least a fifth of what is usual.

    A number that hardly ever moves is mostly noise, or a rare word: dividing by its own deviation alone would shout it.
    """
    mean, deviation = values_NX.mean(axis=0), values_NX.std(axis=0)
    usual = float(np.sqrt((deviation**2).mean())) or 1.0
    return mean.astype(np.float32), np.maximum(deviation, 0.2 * usual).astype(np.float32)


def _array(tensor: Any) -> FloatArray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)
