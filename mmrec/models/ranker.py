"""The ranking network: feature rows -> one logit per behavior; the score is the log utility (METHODS M25, strong).

    p_b = sigmoid(z_b),  z = W_skip x + MLP(x),  x = clip((row - mean) / deviation, +-CLIP);  score = log sum_b w_b p_b
Axes: N rows, F features, B behaviors.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmrec.models.settings import RankerSettings

CLIP = 8.0
"""Standardized features are cut here, so that a value never seen in training cannot run away with a list."""


class Ranker(nn.Module):
    """A linear model with a small network on top; standardization is part of it."""

    mean_F: Tensor
    deviation_F: Tensor
    weights_B: Tensor

    def __init__(self, settings: RankerSettings, *, num_features: int, behavior_weights: tuple[float, ...]) -> None:
        super().__init__()
        num_behaviors = len(behavior_weights)
        self.register_buffer("mean_F", torch.zeros(num_features))
        self.register_buffer("deviation_F", torch.ones(num_features))
        # Behaviors that take something back must not make a list longer for it.
        self.register_buffer("weights_B", torch.tensor(behavior_weights, dtype=torch.float32).clamp(min=1e-6))
        self.skip = nn.Linear(num_features, num_behaviors)
        layers: list[nn.Module] = []
        for before, after in pairwise((num_features, *settings.hidden_dims)):
            layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(settings.dropout)]
        self.deep = nn.Sequential(*layers, nn.Linear(settings.hidden_dims[-1], num_behaviors))
        # Starts linear, and rare: nearly every candidate is not touched next.
        nn.init.zeros_(self.deep[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.deep[-1].bias)  # type: ignore[arg-type]
        nn.init.constant_(self.skip.bias, -4.0)

    def fit_scale(self, rows_NF: npt.NDArray[np.float32]) -> None:
        """Mean and standard deviation of each feature; constant ones are only centered."""
        mean = np.nanmean(rows_NF, axis=0, dtype=np.float64)
        deviation = np.nanstd(rows_NF, axis=0, dtype=np.float64)
        self.mean_F.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.deviation_F.copy_(torch.from_numpy(np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)))

    def standardized(self, rows_xF: Tensor) -> Tensor:
        """Rows as the network sees them; NaN is the mean."""
        scaled = (rows_xF - self.mean_F) / self.deviation_F
        return torch.nan_to_num(scaled, nan=0.0, posinf=CLIP, neginf=-CLIP).clamp(-CLIP, CLIP)

    def forward(self, rows_xF: Tensor) -> Tensor:
        """Logits, (..., B)."""
        x = self.standardized(rows_xF)
        logits: Tensor = self.skip(x) + self.deep(x)
        return logits
