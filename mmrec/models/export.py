"""User tower and ranker in NumPy, for one request on one thread: a framework's call overhead is most of its time there.

The networks of towers.py and ranker.py are the reference; tests/unit/test_models.py holds both equal.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mmrec.models.ranker import CLIP, Ranker
from mmrec.models.towers import UserTower, age_bins, behavior_rows

FloatArray = npt.NDArray[np.float32]
_SQRT_HALF = np.float32(0.7071067811865476)


def _array(tensor: Any) -> FloatArray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)


def _layers(sequence: Any) -> list[tuple[FloatArray, FloatArray]]:
    """(weights transposed, bias) of the linear layers of a Sequential."""
    return [(_array(layer.weight.T), _array(layer.bias)) for layer in sequence if isinstance(layer, nn.Linear)]


def gelu(x: FloatArray) -> FloatArray:
    """X * Phi(x), with erf by Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) * _SQRT_HALF
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1.0 - series * np.exp(-z * z))
    return cast("FloatArray", (0.5 * x * (1.0 + erf)).astype(np.float32))


class NumpyUserTower:
    """UserTower for one history."""

    def __init__(self, tower: UserTower, behavior_ids: tuple[int, ...]) -> None:
        self._tower, self._behavior_ids = tower, behavior_ids
        self._behaviors, self._ages = _array(tower.behaviors.weight), _array(tower.ages.weight)
        self._orders = _array(tower.orders.weight)
        first, second = tower.look[0], tower.look[2]
        self._look = [(_array(layer.weight.T), _array(layer.bias)) for layer in (first, second)]  # type: ignore[union-attr,operator]
        self._deep = _layers(tower.deep)

    def __call__(
        self, history_LD: FloatArray, behavior_ids_L: npt.NDArray[np.uint8], ages_s_L: npt.NDArray[np.float64]
    ) -> FloatArray:
        """Unit vector, shape (D,); L >= 1, oldest first."""
        kept = slice(-self._tower.max_history, None)
        items = np.ascontiguousarray(history_LD[kept], dtype=np.float32)
        rows = behavior_rows(behavior_ids_L[kept], self._behavior_ids)
        bins = age_bins(ages_s_L[kept])
        if self._tower.blocks is not None:
            return self._through_torch(items, rows, bins)
        length = len(items)
        tokens = items + self._behaviors[rows] + self._ages[bins] + self._orders[length - 1 :: -1][:length]
        (w1, b1), (w2, b2) = self._look
        scores_LH = np.tanh(tokens @ w1 + b1) @ w2 + b2
        weights_LH = np.exp(scores_LH - scores_LH.max(axis=0))
        weights_LH /= weights_LH.sum(axis=0)
        pooled = (weights_LH.T @ tokens).ravel()
        plain = weights_LH.mean(axis=1) @ items
        (w3, b3), (w4, b4) = self._deep
        vector = plain + (gelu(pooled @ w3 + b3) @ w4 + b4)
        return cast("FloatArray", (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32))

    def _through_torch(self, items: FloatArray, rows: Any, bins: Any) -> FloatArray:
        with torch.inference_mode():
            valid = torch.ones(1, len(items), dtype=torch.bool)
            vector = self._tower(
                torch.from_numpy(items)[None], torch.from_numpy(rows)[None], torch.from_numpy(bins)[None], valid
            )
        return cast("FloatArray", vector[0].numpy())


class NumpyRanker:
    """Ranker for the candidates of one request."""

    def __init__(self, ranker: Ranker) -> None:
        self._mean, self._deviation = _array(ranker.mean_F), _array(ranker.deviation_F)
        self._skip = (_array(ranker.skip.weight.T), _array(ranker.skip.bias))
        self._deep = _layers(ranker.deep)
        self._log_weights = np.log(_array(ranker.weights_B)).astype(np.float64)

    def __call__(self, rows_NF: FloatArray) -> npt.NDArray[np.float64]:
        """Log sum_b w_b sigmoid(z_b), shape (N,)."""
        x = (np.asarray(rows_NF, dtype=np.float32) - self._mean) / self._deviation
        x = np.clip(np.nan_to_num(x, nan=0.0, posinf=CLIP, neginf=-CLIP), -CLIP, CLIP)
        hidden = x
        for weights, bias in self._deep[:-1]:
            hidden = gelu(hidden @ weights + bias)
        last_weights, last_bias = self._deep[-1]
        logits = (hidden @ last_weights + last_bias + x @ self._skip[0] + self._skip[1]).astype(np.float64)
        # log sigmoid(z) = -log(1 + exp(-z)); logaddexp keeps both ends.
        parts = self._log_weights - np.logaddexp(0.0, -logits)
        return cast("npt.NDArray[np.float64]", np.logaddexp.reduce(parts, axis=1))
