"""Scores at random: what a model has to beat, and a check of every metric, since HR@k is k / number of candidates."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class RandomOptions:
    """None."""


class RandomOrder:
    """Another order for each target, the same for the same target."""

    name = "random"

    def __init__(self, options: RandomOptions) -> None:
        del options
        self._num_items = 0
        self._seed = 0

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Take the number of items and the seed."""
        del items
        self._num_items, self._seed = data.num_items, seed

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Numbers from 0 to 1, by the target's user and instant, so that batches do not matter."""
        scores_NI = np.empty((len(users_N), self._num_items), dtype=np.float32)
        for target, (user, as_of) in enumerate(zip(users_N.tolist(), histories.as_of_N.tolist(), strict=True)):
            digest = blake2b(f"{self._seed} {user} {as_of!r}".encode(), digest_size=8).digest()
            scores_NI[target] = np.random.default_rng(int.from_bytes(digest, "big")).random(self._num_items)
        return scores_NI


RANDOM = ZooModel(name="random", options=RandomOptions, build=RandomOrder, about="every order equally likely")
