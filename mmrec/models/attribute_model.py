"""The attribute model as it is trained: one trunk over an item's content vectors, one softmax head per attribute.

    L = sum_a c_a * mean over labelled items of r_a(y) * CE(softmax(W_a h(x)), y)              METHODS M11
    task weights: c_a fixed, or learned as exp(-s_a) with + s_a / 2 beside it (Kendall et al., CVPR 2018)
    class weights r_a(y): 1, or n_y^-1/2, or the effective number (1 - b) / (1 - b^n_y) (Cui et al., CVPR 2019)

Serving runs mmrec.content.attribute_heads on the same weights. A missing label weighs nothing.
Axes: N items, F inputs, C classes of one attribute, A attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from mmrec.content.matrix import FloatArray
from mmrec.models.settings import Dropped
from mmrec.wire.declared import AtLeastOne, Count, Positive, check

ClassWeights = Literal["none", "inverse-sqrt", "effective-number"]
TaskWeights = Literal["fixed", "learned"]
NO_LABEL = -1
"""Stands for a missing label."""
BETA = 0.999
"""b of the effective number."""


@dataclass(frozen=True, kw_only=True)
class AttributeModelSettings:
    """Shape and loss of an attribute model."""

    hidden_dim: AtLeastOne = 512
    """H, width of the trunk."""
    num_layers: Count = 2
    """Of the trunk; without any, each head is a linear probe."""
    dropout: Dropped = 0.4
    """Share of the trunk's outputs that training leaves out, after each layer."""
    input_dropout: Dropped = 0.2
    """Share of the inputs that training leaves out."""
    modality_dropout: Dropped = 0.15
    """Share of items whose one modality is hidden in training, where they have another: new items may lack any."""
    class_weights: ClassWeights = "none"
    """r: what makes up for rare values."""
    max_class_weight: Positive = 5.0
    """Largest r; the mean over items is 1 before."""
    task_weights: TaskWeights = "fixed"
    """Whether c is given or learned."""
    fixed_task_weights: Mapping[str, Positive] = field(default_factory=dict)
    """c by attribute, where it is not 1."""
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.05

    def __post_init__(self) -> None:
        check(self, "attribute_model")


class AttributeNetwork(nn.Module):
    """The network; inputs as mmrec.content.attribute_heads lays them out."""

    def __init__(
        self, settings: AttributeModelSettings, input_dims: Sequence[int], num_classes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.settings, self.input_dims, self.attributes = settings, tuple(input_dims), tuple(num_classes)
        width, hidden = sum(input_dims), settings.hidden_dim
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("deviation_F", torch.ones(width))
        sizes = [width + len(input_dims), *[hidden] * settings.num_layers]
        self.trunk = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        # Attributes may have any name: a ModuleDict refuses dots.
        self.heads = nn.ModuleList(nn.Linear(sizes[-1], number) for number in num_classes.values())

    def fit_scale(self, values_NF: FloatArray, present_NF: npt.NDArray[np.bool_]) -> None:
        """Take mean and deviation of the training items' inputs, where they are present."""
        num_F = np.maximum(present_NF.sum(axis=0), 1)
        mean_F = np.where(present_NF, values_NF, 0.0).sum(axis=0) / num_F
        square_F = np.where(present_NF, np.square(values_NF - mean_F), 0.0).sum(axis=0) / num_F
        self.mean_F = torch.from_numpy(mean_F.astype(np.float32))
        # Inputs that never change say nothing; dividing by their rounding errors would make them shout.
        self.deviation_F = torch.from_numpy(np.sqrt(np.maximum(square_F, 1e-8)).astype(np.float32))

    def standard(self, values_NF: Tensor, present_NM: Tensor) -> Tensor:
        """Inputs of the trunk."""
        spread = torch.repeat_interleave(present_NM, torch.tensor(self.input_dims), dim=1)
        scaled = (values_NF - self.mean_F) / self.deviation_F
        return torch.cat([scaled * spread, present_NM.to(scaled.dtype)], dim=1)

    def embed(self, inputs: Tensor) -> Tensor:
        """The trunk, from standard() to shape (N, H)."""
        dropped = self.settings.dropout
        hidden = functional.dropout(inputs, self.settings.input_dropout, self.training)
        for layer, linear in enumerate(self.trunk):
            after = functional.dropout(functional.relu(linear(hidden)), dropped, self.training)
            hidden = after if layer == 0 else hidden + after
        return hidden

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Logits of each attribute, shape (N, C) each, in the order of `attributes`."""
        hidden = self.embed(inputs)
        return [head(hidden) for head in self.heads]

    def arrays(self) -> dict[str, FloatArray]:
        """The weights as AttributeHeads reads them."""
        found: dict[str, Any] = {"mean_F": self.mean_F, "deviation_F": self.deviation_F}
        for layer, linear in enumerate(self.trunk):
            found |= {f"trunk.{layer}.weight": linear.weight, f"trunk.{layer}.bias": linear.bias}
        for name, head in zip(self.attributes, self.heads, strict=True):
            found |= {f"heads.{name}.weight": head.weight, f"heads.{name}.bias": head.bias}
        return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in found.items()}


class AttributeLoss(nn.Module):
    """The weighted sum over attributes; learned task weights are its parameters.

    Args:
        class_weights: r by attribute, each of shape (C,), in the network's order.
    """

    def __init__(self, settings: AttributeModelSettings, class_weights: Mapping[str, FloatArray]) -> None:
        super().__init__()
        self._settings = settings
        self._class_weights = [torch.from_numpy(weights) for weights in class_weights.values()]
        self._fixed = [settings.fixed_task_weights.get(name, 1.0) for name in class_weights]
        learned = settings.task_weights == "learned"
        self.log_variances = nn.Parameter(torch.zeros(len(class_weights) if learned else 0))

    def forward(self, logits: Sequence[Tensor], labels_NA: Tensor) -> tuple[Tensor, list[float]]:
        """The loss, and each attribute's own part of it before task weights (0 where nothing is labelled)."""
        parts = [
            masked_cross_entropy(each, labels_NA[:, a], self._class_weights[a], self._settings.label_smoothing)
            for a, each in enumerate(logits)
        ]
        if len(self.log_variances):
            total = sum(
                (torch.exp(-s) * part + s / 2 for part, s in zip(parts, self.log_variances, strict=True)),
                start=torch.zeros(()),
            )
        else:
            total = sum((c * part for part, c in zip(parts, self._fixed, strict=True)), start=torch.zeros(()))
        return total, [float(part.detach()) for part in parts]


def masked_cross_entropy(logits_NC: Tensor, labels_N: Tensor, weights_C: Tensor, smoothing: float) -> Tensor:
    """Mean over labelled items of r(y) * cross-entropy against y smoothed by `smoothing`; 0 where none is labelled.

    Rows without a label are left out before anything is computed: nothing of them reaches a gradient.
    """
    labelled = labels_N != NO_LABEL
    if not bool(labelled.any()):
        return logits_NC.sum() * 0.0
    labels = labels_N[labelled]
    losses = functional.cross_entropy(logits_NC[labelled], labels, reduction="none", label_smoothing=smoothing)
    weights = weights_C[labels]
    return (weights * losses).sum() / weights.sum()


def class_weights(counts_C: npt.NDArray[np.int64], kind: ClassWeights, *, most: float) -> FloatArray:
    """Weight r of each class: 1 on average over the items, then at most `most`.

    Args:
        counts_C: Training items of each class; a class without any weighs as one with a single item.
    """
    counts = np.maximum(counts_C.astype(np.float64), 1.0)
    match kind:
        case "none":
            raw = np.ones_like(counts)
        case "inverse-sqrt":
            raw = counts**-0.5
        case "effective-number":
            raw = (1.0 - BETA) / (1.0 - BETA**counts)
    mean = (raw * counts).sum() / counts.sum()
    weights: FloatArray = np.minimum(raw / mean, most).astype(np.float32)
    return weights
