"""After LATTICE (Zhang et al., MM 2021): a graph of items that is learned from their content (METHODS M36).

    z_mi   = norm(W_m x_mi)                                     x: mmrec.zoo.content_inputs of kind m
    s_mij  = max(cos, 0) where j is among the `num_alike` items most like i, else 0,  over sqrt(d_i d_j)
    A      = sum over m of  softmax(a)_m * ( first * S_m(x) + (1 - first) * S_m(z) )
    v      = mean of v_0 ... v_K  +  norm(A v_0)                the first part: mmrec.zoo.graph_embeddings

As there, the graph of raw content stays in the sum, weights of edges have gradients, and the edges themselves are found
anew now and then: here every `epochs_per_graph` epochs, there in each. The loss is that of mmrec.zoo.light_gcn. Without
content this is LightGCN.

Axes: I items, K neighbors, C content, D numbers of an embedding, P pairs, S drawn items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import Float32Array, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, Share, check
from mmrec.zoo.graph_embeddings import FittedGraph, GraphEmbeddings, GraphOptions
from mmrec.zoo.graph_model import GraphModel, content_network
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.pair_training import learn_pairs
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel

_BLOCK = 1_000
"""Items whose likeness to all others is looked at at once."""


@dataclass(frozen=True, kw_only=True)
class LatticeOptions(GraphOptions):
    """Those of embeddings over the graph, and how the graph of items is learned."""

    num_alike: AtLeastOne = 10
    num_components: AtLeastOne = 64
    """Of each kind of content."""
    first_share: Share = 0.7
    """How much the graph of raw content counts beside the learned one."""
    epochs_per_graph: AtLeastOne = 5

    def __post_init__(self) -> None:
        check(self, "lattice")


class _Network(nn.Module):
    """Embeddings over who touched what, and a graph of items by each kind of content."""

    def __init__(self, pairs: TouchedPairs, inputs: Mapping[str, Float32Array], options: LatticeOptions) -> None:
        super().__init__()
        self._options = options
        self.graph = GraphEmbeddings(pairs.matrix(), options)
        self._inputs = [functional.normalize(torch.from_numpy(rows_IC), dim=1) for rows_IC in inputs.values()]
        self.maps = nn.ModuleList(nn.Linear(each.shape[1], options.embedding_dim, bias=False) for each in self._inputs)
        self.shares = nn.Parameter(torch.zeros(len(self._inputs)))
        self._near = [neighbors(each, num_alike=options.num_alike) for each in self._inputs]
        self._first = [(near, edge_weights(each, near)) for each, near in zip(self._inputs, self._near, strict=True)]
        self._epochs = count()

    def before_epoch(self) -> None:
        """Find the edges of the learned graph anew, where it is time."""
        if next(self._epochs) % self._options.epochs_per_graph == 0:
            with torch.no_grad():
                self._near = [neighbors(each, num_alike=self._options.num_alike) for each in self._learned()]

    def item_vectors(self, items_ID: Tensor) -> Tensor:
        """v, of the mean of v_0 ... v_K."""
        if not self._inputs:
            return items_ID
        first, shares, own_ID = self._options.first_share, self.shares.softmax(dim=0), self.graph.items.weight
        found_ID = torch.zeros_like(own_ID)
        for number, learned_ID in enumerate(self._learned()):
            near_IK, weights_IK = self._first[number]
            learned = mixed(own_ID, self._near[number], edge_weights(learned_ID, self._near[number]))
            found_ID = found_ID + shares[number] * (first * mixed(own_ID, near_IK, weights_IK) + (1 - first) * learned)
        return items_ID + functional.normalize(found_ID, dim=1)

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """As of LightGCN."""
        users_UD, items_ID = self.graph.vectors()
        return self.graph.cosine_loss(users_UD, self.item_vectors(items_ID), users_P, items_P, drawn_S)

    def _learned(self) -> list[Tensor]:
        return [
            functional.normalize(each(rows_IC), dim=1) for each, rows_IC in zip(self.maps, self._inputs, strict=True)
        ]


def neighbors(units_ID: Tensor, *, num_alike: int) -> Tensor:
    """The items most like each one by cosine, itself left out, shape (I, K).

    Args:
        units_ID: Rows of length 1; rows of zeros are like none, whatever edges they get: their weight is 0.
    """
    num_items = len(units_ID)
    num_kept = min(num_alike, max(num_items - 1, 0))
    found = []
    for start in range(0, num_items, _BLOCK):
        cosines = units_ID[start : start + _BLOCK] @ units_ID.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -torch.inf
        found.append(cosines.topk(num_kept, dim=1).indices)
    return torch.cat(found) if found else torch.zeros((0, 0), dtype=torch.int64)


def edge_weights(units_ID: Tensor, near_IK: Tensor) -> Tensor:
    """Weight s of each edge, shape (I, K)."""
    near_IKD = units_ID.index_select(0, near_IK.flatten()).view(*near_IK.shape, -1)
    cosines_IK = (units_ID[:, None] * near_IKD).sum(dim=-1).clamp(min=0.0)
    scales_I = cosines_IK.sum(dim=1).clamp(min=1e-6).rsqrt()
    return cosines_IK * scales_I[:, None] * scales_I.index_select(0, near_IK.flatten()).view(near_IK.shape)


def mixed(values_ID: Tensor, near_IK: Tensor, weights_IK: Tensor) -> Tensor:
    """Sum over each item's edges of weight times the neighbor's row, shape (I, D)."""
    near_IKD = values_ID.index_select(0, near_IK.flatten()).view(*near_IK.shape, -1)
    return (weights_IK[:, :, None] * near_IKD).sum(dim=1)


def learn_lattice(data: Interactions, items: ItemFeatures, options: LatticeOptions, seed: int) -> FittedGraph:
    """Embeddings smoothed over who touched what, and over a learned likeness."""
    pairs = TouchedPairs.of(data)
    network = content_network(_Network, pairs, items, options, seed=seed)
    curve = learn_pairs(network, network.loss, pairs, options, seed=seed, before_epoch=network.before_epoch)
    with torch.inference_mode():
        items_ID = network.item_vectors(network.graph.vectors()[1])
    return FittedGraph(network.graph, data, options, items_ID=items_ID, learning_curve=curve)


LATTICE = ZooModel(
    name="lattice",
    options=LatticeOptions,
    build=lambda options: GraphModel("lattice", options, learn_lattice),
    about="LightGCN and a graph of items learned from their content, after LATTICE (Zhang et al., MM 2021)",
    reads_content=True,
    space={**GRAPH_SPACE, "num_alike": Choice((5, 10, 20)), "first_share": Choice((0.5, 0.7, 0.9))},
)
