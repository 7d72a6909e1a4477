"""The alignment as it is trained: heads on frozen image and text vectors, and a temperature (METHODS M19, M20).

    v = norm( A dropout(z) + B dropout(relu(C dropout(z) + c)) + a ),   z = P (x - mean)

P holds principal components, half-whitened as those of the item tower are (mmrec.models.towers). Dropout of z gives
another view of the same input at every call, as altered pictures and texts do for encoders that are trained along
(METHODS M14). mmrec.content.alignment is what serves, in NumPy.
Axes: N inputs, X width of an encoder, P components of it, D embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from mmrec.content.alignment import IMAGE, SIDES, TEXT, AlignmentModel, Head, Side
from mmrec.content.matrix import FloatArray
from mmrec.models.losses import Temperature, paired_multi_positive
from mmrec.models.settings import Dropped
from mmrec.models.towers import Projection
from mmrec.wire.declared import AtLeastOne, check


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """Shape of one pair of heads."""

    embedding_dim: AtLeastOne = 256
    """D."""
    projected_dim: AtLeastOne = 384
    """Principal components kept of each encoder's vectors."""
    hidden_dim: AtLeastOne = 512
    """Width of the bend between input and embedding."""
    dropout: Dropped = 0.5
    """Share of hidden numbers that training leaves out."""
    input_dropout: Dropped = 0.2
    """Share of input numbers that training leaves out: what makes two views of one vector."""

    def __post_init__(self) -> None:
        check(self, "alignment")


class AlignmentSide(nn.Module):
    """One head of one modality, on projected inputs."""

    def __init__(self, settings: AlignmentSettings, projected_dim: int) -> None:
        super().__init__()
        self.hide = nn.Dropout(settings.input_dropout)
        self.skip = nn.Linear(projected_dim, settings.embedding_dim)
        self.inner = nn.Linear(projected_dim, settings.hidden_dim)
        self.drop = nn.Dropout(settings.dropout)
        self.outer = nn.Linear(settings.hidden_dim, settings.embedding_dim, bias=False)

    def forward(self, z_NP: Tensor) -> Tensor:
        """Unit vectors, (N, D)."""
        z = self.hide(z_NP)
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
        projections: By modality, SIDES: fitted on the training inputs; shared by the aligners of one model.
        learned: Whether the temperature is learned; else it stays at `temperature`.
    """

    def __init__(
        self,
        settings: AlignmentSettings,
        projections: Mapping[str, Projection],
        *,
        temperature: float = 0.07,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.sides = nn.ModuleDict({m: AlignmentSide(settings, projections[m].components_XP.shape[1]) for m in SIDES})
        self.temperature = Temperature(temperature, low=0.01, high=1.0)
        self.temperature.log_tau.requires_grad_(learned)

    def embed(self, z: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unit vectors by modality, of projected inputs."""
        return {modality: self.sides[modality](values) for modality, values in z.items()}

    def forward(
        self, z: Mapping[str, Tensor], other: Mapping[str, Tensor], groups_N: Tensor, view_weight: float
    ) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            z: Projected inputs by modality, (N, P).
            other: Another view of the same inputs.
            groups_N: Equal numbers where items are right for each other.
            view_weight: Weight of the two-view terms; 0 leaves them out.
        """
        tau, vectors = self.temperature(), self.embed(z)
        loss = paired_multi_positive(vectors[IMAGE], vectors[TEXT], groups_N, temperature=tau)
        if view_weight > 0:
            again = self.embed(other)
            for modality in SIDES:
                views = paired_multi_positive(vectors[modality], again[modality], groups_N, temperature=tau)
                loss = loss + view_weight * views
        return loss


def exported(
    aligners: Sequence[Aligner],
    projections: Mapping[str, Projection],
    *,
    encoders: Mapping[str, str],
    fingerprints: Mapping[str, str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> AlignmentModel:
    """What serves, of one or several aligners on the same projections."""
    sides = {}
    for modality in SIDES:
        heads: list[Any] = [aligner.sides[modality] for aligner in aligners]
        sides[modality] = Side(
            mean=_array(projections[modality].mean_X),
            components=_array(projections[modality].components_XP),
            heads=tuple(head.exported() for head in heads),
        )
    return AlignmentModel(
        sides=sides, encoders=dict(encoders), fingerprints=dict(fingerprints or {}), notes=dict(notes or {})
    )


def fitted_projections(inputs: Mapping[str, FloatArray], *, projected_dim: int) -> dict[str, Projection]:
    """Projections by modality, scaled so that a projected number is about 1.

    Args:
        inputs: Training vectors by modality, SIDES.
        projected_dim: Principal components kept, as far as a modality has so many numbers.
    """
    found = {}
    for modality, values_NX in inputs.items():
        width = values_NX.shape[1]
        projection = Projection(width, min(projected_dim, width))
        projection.fit(values_NX)
        projection.components_XP.mul_(projection.components_XP.shape[1] ** 0.5)
        found[modality] = projection
    return found


def _array(tensor: Any) -> FloatArray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)
