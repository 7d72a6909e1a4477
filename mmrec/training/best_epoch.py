"""The weights of a training's best epoch by its score on the validation part (METHODS M23)."""

import copy
from collections.abc import Mapping
from typing import Any


class BestEpoch:
    """Keeps a copy of the best weights so far; of equal scores the first epoch's."""

    def __init__(self) -> None:
        self.epoch = 0
        """1-based; 0 before the first."""
        self._score = float("-inf")
        self._weights: Mapping[str, Any] = {}

    def take(self, epoch: int, score: float, weights: Mapping[str, Any]) -> None:
        """Look at an epoch.

        Args:
            score: Greater is better.
            weights: Tensors, in dictionaries of any depth; copied where they are kept.
        """
        if not self.epoch or score > self._score:
            self.epoch, self._score, self._weights = epoch, score, copy.deepcopy(dict(weights))

    @property
    def weights(self) -> Mapping[str, Any]:
        """Those of the best epoch.

        Raises:
            ValueError: no epoch was run.
        """
        if not self.epoch:
            raise ValueError("no epoch was run; run_epoch() until is_over")
        return self._weights

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"epoch": self.epoch, "score": self._score, "weights": self._weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state() was taken."""
        self.epoch, self._score, self._weights = int(state["epoch"]), float(state["score"]), state["weights"]
