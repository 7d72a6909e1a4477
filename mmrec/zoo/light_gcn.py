"""LightGCN (He et al., SIGIR 2020), with a softmax over drawn items in the place of one drawn item (METHODS M36).

The softmax is that of Wu et al. (On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS 2024):
cosines, one temperature, drawn items shared by a batch. It needs tens of epochs where BPR needs a thousand.
"""

from dataclasses import dataclass

from mmrec.evaluation.interactions import Interactions, ItemFeatures
from mmrec.evaluation.search_space import Between, Choice, SearchSpace
from mmrec.wire.declared import check
from mmrec.zoo.graph_embeddings import FittedGraph, GraphOptions, fit_graph
from mmrec.zoo.graph_model import GraphModel
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class LightGCNOptions(GraphOptions):
    """Those of embeddings over the graph."""

    def __post_init__(self) -> None:
        check(self, "light_gcn")


def learn_light_gcn(data: Interactions, items: ItemFeatures, options: LightGCNOptions, seed: int) -> FittedGraph:
    """Embeddings of users and items, smoothed over who touched what."""
    del items
    return fit_graph(data, options, seed=seed)


GRAPH_SPACE: SearchSpace = {
    "num_layers": Choice((1, 2, 3)),
    "temperature": Choice((0.05, 0.1, 0.15, 0.2, 0.3)),
    "learning_rate": Between(0.001, 0.02, is_log=True),
    "l2": Choice((0.0, 1e-6, 1e-5, 1e-4)),
    "num_epochs": Choice((15, 30, 60)),
    "order_decay": Choice((0.6, 0.8, 0.9, 1.0)),
}

LIGHT_GCN = ZooModel(
    name="light_gcn",
    options=LightGCNOptions,
    build=lambda options: GraphModel("light_gcn", options, learn_light_gcn),
    about="embeddings smoothed over the graph of users and items (He et al., SIGIR 2020), sampled softmax",
    space=GRAPH_SPACE,
)
