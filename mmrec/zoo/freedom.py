"""After FREEDOM (Zhou and Shen, MM 2023): LightGCN, and a graph of items alike in content that stays as it is (M36).

    G = D^-1/2 S D^-1/2,   S_ij = 1 where j is among the `num_alike` items most like i in content, else 0
    v = mean of v_0 ... v_K  +  G v_0

As there, the graph of content is made once, from raw features, and not learned. Differences: likeness is the sum of the
cosines of mmrec.zoo.item_content over labels and modalities, not a weighted graph per modality; no edges of users are
dropped in training; the loss is that of mmrec.zoo.light_gcn.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import BoolArray, Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, check
from mmrec.zoo.graph_embeddings import GraphOptions, fit_graph
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.item_content import ItemContent
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.zoo_model import ZooModel

_BLOCK = 1_000
"""Items whose likeness to all others is looked at at once."""


@dataclass(frozen=True, kw_only=True)
class FreedomOptions(GraphOptions):
    """Those of embeddings over the graph, and the size of the graph of content."""

    num_alike: AtLeastOne = 10

    def __post_init__(self) -> None:
        check(self, "freedom")


class Freedom:
    """Embeddings smoothed over who touched what, and over what is alike."""

    name = "freedom"

    def __init__(self, options: FreedomOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        alike_II = content_graph(items, num_alike=self._options.num_alike)
        self._fitted = fit_graph(data, self._options, seed=seed, alike_II=alike_II)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        return self._fitted.score(users_N, histories)


def content_graph(items: ItemFeatures, *, num_alike: int) -> Sparse:
    """G, shape (I, I); items without content, or like no other, have an empty row. Ties go to the lower row."""
    content, num_items = ItemContent.of(items), items.num_items
    firsts, others = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    num_kept = min(num_alike, num_items)
    everything = sparse.eye_array(num_items, format="csr")
    for start in range(0, num_items, _BLOCK):
        cosines = content.scores(everything[start : start + _BLOCK])
        rows, near = np.nonzero(highest(cosines, num_kept) & (cosines > 1e-6))
        firsts.append(start + rows)
        others.append(near)
    first, other = np.concatenate(firsts), np.concatenate(others)
    edges_II = sparse.csr_array((np.ones(len(first)), (first, other)), shape=(num_items, num_items))
    scale_I = 1.0 / np.sqrt(np.maximum(np.asarray(edges_II.sum(axis=1)).ravel(), 1.0))
    graph: Sparse = (sparse.diags_array(scale_I) @ edges_II @ sparse.diags_array(scale_I)).tocsr()
    return graph


def highest(scores_NI: Float32Array, num_kept: int) -> BoolArray:
    """Which are the `num_kept` highest of each row, shape (N, I); of equal ones those in front."""
    num_items = scores_NI.shape[1]
    last_N = np.partition(scores_NI, num_items - num_kept, axis=1)[:, num_items - num_kept, None]
    above_NI, tied_NI = scores_NI > last_N, scores_NI == last_N
    room_N = num_kept - above_NI.sum(axis=1, keepdims=True)
    found: BoolArray = above_NI | (tied_NI & (tied_NI.cumsum(axis=1) <= room_N))
    return found


FREEDOM = ZooModel(
    name="freedom",
    options=FreedomOptions,
    build=Freedom,
    about="LightGCN and a frozen graph of items alike in content, after FREEDOM (Zhou and Shen, MM 2023)",
    space={**GRAPH_SPACE, "num_alike": Choice((5, 10, 20))},
)
