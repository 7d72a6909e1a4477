"""A linear probe: what a linear classifier reads from frozen vectors, the yardstick for trained heads.

    probed_labels(train_ND, train_labels, test_MD)

Multinomial logistic regression with L2, W = argmin mean_n -log softmax(W x_n + b)_{y_n} + l2/2 |W|^2, by Nesterov's
accelerated gradient on standardized numbers, with the step 1/L of the largest eigenvalue and a fixed number of steps:
deterministic, and close enough to the optimum for a yardstick (Alain, Bengio, ICLR workshop 2017).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
L2: Final = 0.03
NUM_STEPS: Final = 120
_EPSILON: Final = 1e-6


def probed_labels(
    train_ND: FloatArray,
    train_labels: Sequence[Any] | npt.NDArray[Any],
    test_MD: FloatArray,
    *,
    num_steps: int = NUM_STEPS,
    l2: float = L2,
) -> npt.NDArray[Any]:
    """Labels that the probe gives to the rows of `test_MD`; shape (M,).

    Raises:
        ValueError: no training item, or labels of another number of items.
    """
    if not len(train_labels) or len(train_labels) != len(train_ND):
        raise ValueError(f"{len(train_labels)} labels of {len(train_ND)} items; give one per item, at least one")
    names, label_N = np.unique(np.asarray(train_labels), return_inverse=True)
    mean, spread = train_ND.mean(axis=0), train_ND.std(axis=0) + _EPSILON
    x_ND = ((train_ND - mean) / spread).astype(np.float32)
    weights_DC, bias_C = _fitted(x_ND, label_N, len(names), num_steps=num_steps, l2=l2)
    scores_MC = ((test_MD - mean) / spread).astype(np.float32) @ weights_DC + bias_C
    found: npt.NDArray[Any] = names[scores_MC.argmax(axis=1)]
    return found


def _fitted(
    x_ND: FloatArray, label_N: npt.NDArray[np.int64], num_classes: int, *, num_steps: int, l2: float
) -> tuple[FloatArray, FloatArray]:
    num_items, embedding_dim = x_ND.shape
    target_NC = np.zeros((num_items, num_classes), dtype=np.float32)
    target_NC[np.arange(num_items), label_N] = 1.0
    # The Hessian of softmax is at most X'X / 2N.
    step = 1.0 / (_largest_eigenvalue(x_ND) / (2.0 * num_items) + l2 + 0.5)
    weights, bias = np.zeros((embedding_dim, num_classes), np.float32), np.zeros(num_classes, np.float32)
    ahead, ahead_bias = weights.copy(), bias.copy()
    for number in range(num_steps):
        scores_NC = x_ND @ ahead + ahead_bias
        scores_NC -= scores_NC.max(axis=1, keepdims=True)
        chances_NC = np.exp(scores_NC)
        chances_NC /= chances_NC.sum(axis=1, keepdims=True)
        chances_NC -= target_NC
        new = ahead - step * (x_ND.T @ chances_NC / num_items + l2 * ahead)
        new_bias = ahead_bias - step * chances_NC.mean(axis=0)
        momentum = number / (number + 3.0)
        ahead, ahead_bias = new + momentum * (new - weights), new_bias + momentum * (new_bias - bias)
        weights, bias = new, new_bias
    return weights, bias


def _largest_eigenvalue(x_ND: FloatArray) -> float:
    """Of X'X, by power iteration from a fixed start, a little above."""
    vector = np.ones(x_ND.shape[1], dtype=np.float32) + np.linspace(0.0, 1.0, x_ND.shape[1], dtype=np.float32)
    value = 0.0
    for _ in range(20):
        vector = x_ND.T @ (x_ND @ vector)
        value = float(np.linalg.norm(vector))
        if value == 0.0:
            return 0.0
        vector /= np.float32(value)
    return 1.1 * value
