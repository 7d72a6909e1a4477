"""ItemKNN beside likeness of content: both added, so that an item nobody touched is found, too (METHODS M28, M36).

    score_nj = sum_i  a_ni * w_ij  +  content_share * sum_i  c_ni * cos_ij

a_ni and w_ij are those of mmrec.zoo.item_knn, cos_ij that of mmrec.zoo.item_content, and c_ni is a_ni with an order
decay of its own: what somebody likes in kind changes less from one item to the next than what goes with what.
"""

from dataclasses import dataclass, replace

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import NotNegative, Share, check
from mmrec.zoo.history_matrix import HistoryWeighting, dense
from mmrec.zoo.item_content import ItemContent
from mmrec.zoo.item_knn import KNN_SPACE, ItemKNNOptions, neighbor_matrix, neighbor_settings
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class ItemKNNContentOptions(ItemKNNOptions):
    """Those of ItemKNN, and how much content counts."""

    user_discount: NotNegative = 0.0
    content_share: NotNegative = 0.06
    """Weight of a cosine of 1 beside neighbor weights, which are a few hundredths mostly."""
    content_order_decay: Share = 0.8

    def __post_init__(self) -> None:
        check(self, "item_knn_content")


class ItemKNNContent:
    """Neighbors and likeness of own items."""

    name = "item_knn_content"

    def __init__(self, options: ItemKNNContentOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Count pairs and labels; draws nothing."""
        del seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        self._content_weighting = replace(self._weighting, order_decay=options.content_order_decay)
        self._neighbors_II = neighbor_matrix(data, settings=neighbor_settings(options), weights=options.weights)
        self._content = ItemContent.of(items)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 for items that share neither a user nor content with an own one."""
        del users_N
        together_NI = dense(self._weighting.matrix(histories) @ self._neighbors_II)
        alike_NI = self._content.scores(self._content_weighting.matrix(histories))
        together_NI += self._options.content_share * alike_NI
        return together_NI


ITEM_KNN_CONTENT = ZooModel(
    name="item_knn_content",
    options=ItemKNNContentOptions,
    build=ItemKNNContent,
    about="neighbors of own items, and items like them in labels, text and pictures",
    reads_content=True,
    space={
        **KNN_SPACE,
        "content_share": Choice((0.003, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2)),
        "content_order_decay": Choice((0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
    },
)
