"""After FREEDOM (Zhou and Shen, MM 2023): LightGCN, and a graph of items alike in content that stays as it is (M36).

    G = D^-1/2 S D^-1/2,   S_ij = 1 where j is among the `num_alike` items most like i in content, else 0
    v = mean of v_0 ... v_K  +  G v_0

As there, the graph of content is made once, from raw features, and not learned. Differences: likeness is the sum of the
cosines of mmrec.zoo.item_content over labels and modalities, not a weighted graph per modality; no edges of users are
dropped in training; the loss is that of mmrec.zoo.light_gcn.
"""

from dataclasses import dataclass

from mmrec.evaluation.interactions import Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, check
from mmrec.zoo.content_graph import content_graph
from mmrec.zoo.graph_embeddings import FittedGraph, GraphOptions, fit_graph
from mmrec.zoo.graph_model import GraphModel
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class FreedomOptions(GraphOptions):
    """Those of embeddings over the graph, and the size of the graph of content."""

    num_alike: AtLeastOne = 10

    def __post_init__(self) -> None:
        check(self, "freedom")


def learn_freedom(data: Interactions, items: ItemFeatures, options: FreedomOptions, seed: int) -> FittedGraph:
    """Embeddings smoothed over who touched what, and over what is alike."""
    return fit_graph(data, options, seed=seed, alike_II=content_graph(items, num_alike=options.num_alike))


FREEDOM = ZooModel(
    name="freedom",
    options=FreedomOptions,
    build=lambda options: GraphModel("freedom", options, learn_freedom),
    about="LightGCN and a frozen graph of items alike in content, after FREEDOM (Zhou and Shen, MM 2023)",
    reads_content=True,
    space={**GRAPH_SPACE, "num_alike": Choice((5, 10, 20))},
)
