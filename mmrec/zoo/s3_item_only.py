"""S3's model as printed (METHODS M25): the score of an item from its content alone, fitted to S[u,i].

    s_i = w . relu(A f_i + b) + c        f: fused text and image (mmrec.models.printed_ranker)

No user goes in, so everybody gets the same list: at best it is the mean score of items of such content.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Between, Choice
from mmrec.wire.declared import check
from mmrec.zoo.s3_printed import PrintedNetwork, PrintedOptions, Slots, in_parts, train
from mmrec.zoo.s3_scores import SCORE_SPACE, score_matrix, score_weighting
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class S3ItemOnlyOptions(PrintedOptions):
    """Those of both printed forms."""

    def __post_init__(self) -> None:
        check(self, "s3_item_only")
        self.check_heads("s3_item_only")


class S3ItemOnly:
    """One score per item."""

    name = "s3_item_only"

    def __init__(self, options: S3ItemOnlyOptions) -> None:
        self._options = options
        self.learning_curve: Sequence[tuple[float, float]] = ()
        """(step, mean squared error)."""

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options, slots = self._options, Slots.of(items)
        network = PrintedNetwork.drawn(slots, options, with_user=False, seed=seed)

        def of_rows(rows: Slots) -> Tensor:
            scores: Tensor = network(network.of_items(rows))
            return scores

        scores_UI = score_matrix(data, score_weighting(data, options))
        self.learning_curve = train(
            network, lambda pairs: of_rows(slots.take(pairs.items_N)), scores_UI, options, seed=seed
        )
        with torch.inference_mode():
            self._scores_I = in_parts(of_rows, slots).numpy()

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The same for everybody."""
        del histories
        return np.tile(self._scores_I, (len(users_N), 1))


PRINTED_SPACE = {
    **SCORE_SPACE,
    "learning_rate": Between(0.0003, 0.003, is_log=True),
    "zeros_per_pair": Choice((0, 1, 4)),
}
S3_ITEM_ONLY = ZooModel(
    name="s3_item_only",
    options=S3ItemOnlyOptions,
    build=S3ItemOnly,
    about="S3's network as printed: content of the item alone, mean squared error; the same list for everybody",
    reads_content=True,
    space=PRINTED_SPACE,
)
