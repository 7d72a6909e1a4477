"""One trained model as serving uses it: item tower, user tower, ranker; NumPy in, NumPy out.

A folder holds it: `weights.safetensors` (all tensors) and `model.json` (configuration, names, metrics).
Axes: I items, L history, D embedding, N candidates, F features, B behaviors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.content.matrix import ContentMatrix

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelBundle:
    """Towers and ranker that were trained together."""

    embedding_dim: int
    """D of item and user embeddings."""
    feature_names: tuple[str, ...]
    """Columns the ranker was trained on, in order; serving compares them with its own."""
    behavior_ids: tuple[int, ...]
    """Stable ids of the behaviors known to the user tower, ascending."""
    behavior_weights: tuple[float, ...]
    """Weights w_b of the final utility, aligned with `behavior_ids`."""
    encoders: Mapping[str, str]
    """Modality -> encoder name that the item tower was trained with."""
    metrics: Mapping[str, Any]

    def item_embeddings(self, content: ContentMatrix) -> FloatArray:
        """Unit-norm vectors of any items, known or new, shape (I, D)."""
        raise NotImplementedError

    def modality_weights(self, content: ContentMatrix) -> dict[str, FloatArray]:
        """Share of each modality in each item's fused content, modality -> (I,); 0 where missing (METHODS M17)."""
        raise NotImplementedError

    def user_embedding(
        self, history_LD: FloatArray, behavior_ids_L: npt.NDArray[np.uint8], ages_s_L: npt.NDArray[np.float64]
    ) -> FloatArray:
        """Unit-norm vector of a user, shape (D,); zeros when L = 0. History is oldest first, ages in seconds."""
        raise NotImplementedError

    def rank(self, features_NF: FloatArray) -> npt.NDArray[np.float64]:
        """Ranking scores, shape (N,), higher is better: log of the utility sum_b w_b p_b."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write weights.safetensors and model.json."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> "ModelBundle":
        """Read a saved bundle; IncompatibleStateError when this code cannot use it."""
        raise NotImplementedError
