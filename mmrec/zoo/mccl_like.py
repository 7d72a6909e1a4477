"""A multimodal contrastive model, as S3's peer "MCCL" is described: views of one item agree (METHODS M19, M36).

    v_0  = id_i + mean over the kinds m that i has of  e_mi         e: mmrec.zoo.modal_encoders
    u, v = those of mmrec.zoo.graph_embeddings with that v_0
    loss = softmax of cos(u, v) over drawn items
         + view_weight * mean over pairs of views (a, b) of one item:  kinds, and id_i with each
             InfoNCE = -ln( exp(a_i . b_i / t) / sum over drawn j of exp(a_i . b_j / t) ), both ways

Users read content, too, since theirs are made of v_0. id is 0 for items without events, and drawn are items with
events, so that an item nobody touched is ranked by its content alone. S3 names its peer and does not say which paper
that is, so this is a form that does what the name says.

Axes: I items, M kinds, D numbers of an embedding, P pairs, S drawn items, B items whose views are compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import Float32Array, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.models.losses import paired_info_nce
from mmrec.wire.declared import AtLeastOne, NotNegative, Positive, check
from mmrec.zoo.graph_embeddings import FittedGraph, GraphEmbeddings, GraphOptions
from mmrec.zoo.graph_model import GraphModel, content_network
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.modal_encoders import ModalEncoders
from mmrec.zoo.pair_training import learn_pairs
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class MCCLLikeOptions(GraphOptions):
    """Those of embeddings over the graph, and how views are held together."""

    num_components: AtLeastOne = 64
    """Of each kind of content."""
    view_weight: NotNegative = 0.1
    view_temperature: Positive = 0.2

    def __post_init__(self) -> None:
        check(self, "mccl_like")


class _Network(nn.Module):
    """Graph and encoders."""

    def __init__(self, pairs: TouchedPairs, inputs: Mapping[str, Float32Array], options: MCCLLikeOptions) -> None:
        super().__init__()
        self._options = options
        self.graph = GraphEmbeddings(pairs.matrix(), options)
        self.encoders = ModalEncoders(inputs, embedding_dim=options.embedding_dim)
        self._is_known_I1 = torch.from_numpy(pairs.is_known_I.astype(np.float32))[:, None]

    def first_items(self) -> tuple[Tensor, list[Tensor]]:
        """v_0 of all items, and their views: id and every kind."""
        own_ID, encoded = self.graph.items.weight * self._is_known_I1, self.encoders()
        return (own_ID + self.encoders.mean(encoded), [own_ID, *encoded]) if encoded else (own_ID, [own_ID])

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Of one batch."""
        first_ID, views = self.first_items()
        users_UD, items_ID = self.graph.vectors(first_ID)
        value = self.graph.cosine_loss(users_UD, items_ID, users_P, items_P, drawn_S)
        if len(views) < 2 or not self._options.view_weight:
            return value
        rows_B = torch.from_numpy(drawn_S)
        there = [torch.ones(len(rows_B), dtype=torch.bool), *(each[rows_B] for each in self.encoders.is_there_MI)]
        units = [functional.normalize(each.index_select(0, rows_B), dim=1) for each in views]
        agreed = [
            info_nce(units[one], units[other], there[one] & there[other], temperature=self._options.view_temperature)
            for one, other in combinations(range(len(units)), 2)
        ]
        return value + self._options.view_weight * torch.stack(agreed).mean()


def info_nce(one_BD: Tensor, other_BD: Tensor, has_both_B: Tensor, *, temperature: float) -> Tensor:
    """Both ways, over the items that have both views; 0 where fewer than two have."""
    chosen_B = has_both_B.nonzero()[:, 0]
    if len(chosen_B) < 2:
        return torch.zeros(())
    return paired_info_nce(
        one_BD.index_select(0, chosen_B), other_BD.index_select(0, chosen_B), temperature=temperature
    )


def learn_mccl_like(data: Interactions, items: ItemFeatures, options: MCCLLikeOptions, seed: int) -> FittedGraph:
    """Embeddings of id and content, smoothed over who touched what."""
    pairs = TouchedPairs.of(data)
    network = content_network(_Network, pairs, items, options, seed=seed)
    known = np.flatnonzero(pairs.is_known_I)
    curve = learn_pairs(network, network.loss, pairs, options, seed=seed, among=known)
    with torch.inference_mode():
        first_ID, _ = network.first_items()
    return FittedGraph(network.graph, data, options, first_items_ID=first_ID, learning_curve=curve)


MCCL_LIKE = ZooModel(
    name="mccl_like",
    options=MCCLLikeOptions,
    build=lambda options: GraphModel("mccl_like", options, learn_mccl_like),
    about="graph embeddings of id and content whose views agree, a multimodal contrastive model",
    reads_content=True,
    space={
        **GRAPH_SPACE,
        "view_weight": Choice((0.0, 0.03, 0.1, 0.3)),
        "view_temperature": Choice((0.1, 0.2, 0.5)),
    },
)
