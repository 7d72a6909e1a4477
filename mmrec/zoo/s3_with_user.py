"""S3's model as its text describes it (METHODS M25): the printed network, and what the user scored beside the item.

    s_ui = w . relu(A f_i + G f_u + b) + c        f_u: f of the mean content of u's items, weighed by S

The content of a user goes through the same heads and attention as that of an item. Without history nothing is known of
a user, and items are in the order that suits nobody in particular.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmrec.evaluation.interactions import Float32Array, FloatArray, Histories, IntArray, Interactions, ItemFeatures
from mmrec.wire.declared import check
from mmrec.zoo.s3_item_only import PRINTED_SPACE
from mmrec.zoo.s3_printed import Pairs, PrintedNetwork, PrintedOptions, Slots, in_parts, row_shares, train
from mmrec.zoo.s3_scores import score_matrix, score_weighting
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class S3WithUserOptions(PrintedOptions):
    """Those of both printed forms."""

    def __post_init__(self) -> None:
        check(self, "s3_with_user")
        self.check_heads("s3_with_user")


class S3WithUser:
    """One score per user and item."""

    name = "s3_with_user"

    def __init__(self, options: S3WithUserOptions) -> None:
        self._options = options
        self.learning_curve: Sequence[tuple[float, float]] = ()
        """(step, mean squared error)."""

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options, slots = self._options, Slots.of(items)
        network = PrintedNetwork.drawn(slots, options, with_user=True, seed=seed)
        self._network, self._slots, self._weighting = network, slots, score_weighting(data, options)
        scores_UI = score_matrix(data, self._weighting)
        shares_UI, totals_U = row_shares(scores_UI)
        sums = slots.sums(shares_UI)

        def of_pairs(pairs: Pairs) -> Tensor:
            users_NH = network.of_users(without_own(sums, totals_U, slots, pairs))
            scores: Tensor = network(network.of_items(slots.take(pairs.items_N)), users_NH)
            return scores

        self.learning_curve = train(network, of_pairs, scores_UI, options, seed=seed)
        with torch.inference_mode():
            self._items_IH = in_parts(network.of_items, slots)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Of the history as it is."""
        del users_N
        shares_NI, _ = row_shares(self._weighting.matrix(histories))
        scores_NI = np.empty((len(histories), len(self._items_IH)), dtype=np.float32)
        with torch.inference_mode():
            users_NH = self._network.of_users(Slots.means(*self._slots.sums(shares_NI)))
            for n, user_H in enumerate(users_NH):
                scores_NI[n] = self._network(self._items_IH, user_H).numpy()
        return scores_NI


def without_own(
    sums: tuple[Float32Array, Float32Array, FloatArray], totals_U: FloatArray, slots: Slots, pairs: Pairs
) -> Slots:
    """Mean content of each pair's user, the pair's item left out.

    Args:
        sums: Of all users by share, as Slots.sums() has them.
        totals_U: What shares are of.
    """
    texts_UX, images_UX, shares_U2 = sums
    own, users = slots.take(pairs.items_N), pairs.users_N
    own_N = (pairs.scores_N / totals_U[users])[:, None]
    return Slots.means(
        (texts_UX[users] - own_N * own.text_NX).astype(np.float32),
        (images_UX[users] - own_N * own.image_NX).astype(np.float32),
        shares_U2[users] - own_N * own.present_N2,
    )


S3_WITH_USER = ZooModel(
    name="s3_with_user",
    options=S3WithUserOptions,
    build=S3WithUser,
    about="S3's network with the mean content of the user's items beside the item's, mean squared error",
    reads_content=True,
    space=PRINTED_SPACE,
)
