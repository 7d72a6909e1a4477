"""Items like the user's own in what they are, and nothing else: what an item without events can be found by (M27, M36).

score_nj = sum_i  c_ni * cos_ij        c: mmrec.zoo.history_matrix, cos: mmrec.zoo.item_content
"""

from dataclasses import dataclass

from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import NotNegative, Share, check
from mmrec.zoo.history_matrix import BehaviorWeights, HistoryWeighting
from mmrec.zoo.item_content import ItemContent
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class ContentLikenessOptions:
    """How a user's own items count."""

    order_decay: Share = 0.8
    decay_per_day: NotNegative = 0.01
    weights: BehaviorWeights = "equal"

    def __post_init__(self) -> None:
        check(self, "content_likeness")


class ContentLikeness:
    """Cosines with own items."""

    name = "content_likeness"

    def __init__(self, options: ContentLikenessOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Weigh labels; draws nothing and reads no event."""
        del seed
        options = self._options
        self._weighting = HistoryWeighting.asked(data, options)
        self._content = ItemContent.of(items)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """0 without content or history."""
        del users_N
        return self._content.scores(self._weighting.matrix(histories))


CONTENT_LIKENESS = ZooModel(
    name="content_likeness",
    options=ContentLikenessOptions,
    build=ContentLikeness,
    about="items like own ones in labels, text and pictures",
    reads_content=True,
    space={
        "order_decay": Choice((0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        "decay_per_day": Choice((0.0, 0.01, 0.1, 1.0)),
        "weights": Choice(("equal", "usual")),
    },
)
