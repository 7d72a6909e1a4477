"""After MARIO (Kim et al., CIKM 2022): which kind of content counts is decided for each user and item (METHODS M36).

    a_uim = softmax over the kinds m that i has of  sharpness * (norm(Q u) . e_mi)         attention of an interaction
    x_ui  = cos(u, v_i) + sum over m of  a_uim * (norm(u) . e_mi)                          u, v: graph_embeddings
    loss  = softmax of x over drawn items  +  kept_weight * mean over kinds of (1 - cos(D_m (v_i + sum of e_mi), x_mi))

e is mmrec.zoo.modal_encoders. The second term is that of the paper's decoders, which make an item's vector keep what
its content says. It is called "like" for what differs: users and items are smoothed over the graph of who touched what,
the loss is a softmax over drawn items with events, and v of items without events is 0, so that only content ranks them.

Axes: N targets, I items, M kinds, C content, D numbers of an embedding, P pairs, S drawn items, X any rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.content_metrics import unit_rows
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, NotNegative, check
from mmrec.zoo.graph_embeddings import FittedGraph, GraphEmbeddings, GraphOptions
from mmrec.zoo.graph_model import GraphModel, content_network
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.modal_encoders import ModalEncoders
from mmrec.zoo.pair_training import LearningCurve, learn_pairs, softmax_loss
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class MarioLikeOptions(GraphOptions):
    """Those of embeddings over the graph, and what content does."""

    num_components: AtLeastOne = 64
    """Of each kind of content."""
    sharpness: NotNegative = 5.0
    """0 lets all kinds of an item count the same."""
    kept_weight: NotNegative = 0.1

    def __post_init__(self) -> None:
        check(self, "mario_like")


class _Network(nn.Module):
    """Graph, encoders, the map of attention and decoders."""

    def __init__(self, pairs: TouchedPairs, inputs: Mapping[str, Float32Array], options: MarioLikeOptions) -> None:
        super().__init__()
        self._options = options
        self.graph = GraphEmbeddings(pairs.matrix(), options)
        self.encoders = ModalEncoders(inputs, embedding_dim=options.embedding_dim)
        self.asks = nn.Linear(options.embedding_dim, options.embedding_dim, bias=False)
        self.decoders = nn.ModuleList(
            nn.Linear(options.embedding_dim, rows_IC.shape[1], bias=False) for rows_IC in inputs.values()
        )
        self._is_known_I1 = torch.from_numpy(pairs.is_known_I.astype(np.float32))[:, None]

    def items(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What u is for all users, and norm(v) and e for all items."""
        users_UD, items_ID = self.graph.vectors()
        return users_UD, functional.normalize(items_ID, dim=1) * self._is_known_I1, self.encoders()

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Of one batch."""
        options, rows_P, rows_S = self._options, torch.from_numpy(items_P), torch.from_numpy(drawn_S)
        users_UD, units_ID, encoded = self.items()
        of_PD = functional.normalize(users_UD.index_select(0, torch.from_numpy(users_P)), dim=1)
        asks_PD = functional.normalize(self.asks(of_PD), dim=1)
        own_PD, own_MP = _rows(units_ID, encoded, rows_P)
        drawn_SD, drawn_MS = _rows(units_ID, encoded, rows_S)
        paired = [((asks_PD * e_PD).sum(dim=1), (of_PD * e_PD).sum(dim=1)) for e_PD in own_MP]
        crossed = [(asks_PD @ e_SD.T, of_PD @ e_SD.T) for e_SD in drawn_MS]
        there = self.encoders.is_there_MI
        own_P = (of_PD * own_PD).sum(dim=1) + self._attended(paired, [each[rows_P] for each in there])
        others_PS = of_PD @ drawn_SD.T + self._attended(crossed, [each[rows_S][None] for each in there])
        value = softmax_loss(own_P, others_PS, items_P=items_P, drawn_S=drawn_S, temperature=options.temperature)
        value = value + self.graph.penalty(users_P, items_P)
        return value + options.kept_weight * self._lost(own_PD, own_MP, rows_P) if encoded else value

    def _attended(self, of_kinds: Sequence[tuple[Tensor, Tensor]], there: Sequence[Tensor]) -> Tensor:
        """Sum over kinds of attention times cosine.

        Args:
            of_kinds: Per kind, norm(Q u) . e and norm(u) . e.
            there: Per kind, whether the item has it; broadcasts.
        """
        if not of_kinds:
            return torch.zeros(())
        asked = torch.stack([each for each, _ in of_kinds]) * self._options.sharpness
        is_there = torch.stack([each.expand(asked.shape[1:]) for each in there])
        # Where an item has no kind at all every cosine is 0, whatever the attention.
        shares = asked.masked_fill(~is_there, -1e9).softmax(dim=0)
        return (shares * torch.stack([each for _, each in of_kinds])).sum(dim=0)

    def _lost(self, own_PD: Tensor, own_MP: Sequence[Tensor], rows_P: Tensor) -> Tensor:
        """What the decoders do not find again, mean over the kinds that there are."""
        whole_PD = torch.stack([own_PD, *own_MP]).sum(dim=0)
        losses = []
        for decoder, rows_IC, is_there_I in zip(
            self.decoders, self.encoders.inputs, self.encoders.is_there_MI, strict=True
        ):
            there_P = is_there_I[rows_P].float()
            cosines_P = functional.cosine_similarity(decoder(whole_PD), rows_IC.index_select(0, rows_P), dim=1)
            losses.append(((1.0 - cosines_P) * there_P).sum() / there_P.sum().clamp(min=1.0))
        return torch.stack(losses).mean()


def _rows(units_ID: Tensor, encoded: Sequence[Tensor], rows_X: Tensor) -> tuple[Tensor, list[Tensor]]:
    """norm(v) and e of some items."""
    return units_ID.index_select(0, rows_X), [each_ID.index_select(0, rows_X) for each_ID in encoded]


class FittedMario:
    """Users from the graph; items from the graph and from content that each user attends to."""

    def __init__(
        self, network: _Network, data: Interactions, options: MarioLikeOptions, *, learning_curve: LearningCurve
    ) -> None:
        self.learning_curve, self._sharpness = learning_curve, options.sharpness
        with torch.inference_mode():
            _, units_ID, encoded = network.items()
            self._encoded = [each.numpy() for each in encoded]
            self._asks_DD = network.asks.weight.numpy().T.copy()
        self._is_there_MI = [each.numpy() for each in network.encoders.is_there_MI]
        self._graph = FittedGraph(network.graph, data, options, items_ID=units_ID)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """x_ui; 0 where nothing is known of a user."""
        of_ND = unit_rows(self._graph.users(users_N, histories))
        scores_NI: Float32Array = of_ND @ self._graph.items_ID.T
        if not self._encoded:
            return scores_NI
        asks_ND = unit_rows(of_ND @ self._asks_DD)
        asked = [
            np.where(is_there_I, self._sharpness * (asks_ND @ encoded_ID.T), -np.inf)
            for encoded_ID, is_there_I in zip(self._encoded, self._is_there_MI, strict=True)
        ]
        most_NI = np.maximum(np.max(asked, axis=0), np.finfo(np.float32).min)  # finite where an item has no kind
        sum_NI, total_NI = np.zeros_like(scores_NI), np.zeros_like(scores_NI)
        for asked_NI, encoded_ID in zip(asked, self._encoded, strict=True):
            shares_NI = np.exp(asked_NI - most_NI)
            sum_NI += shares_NI
            total_NI += shares_NI * (of_ND @ encoded_ID.T)
        scores_NI += total_NI / np.where(sum_NI > 0, sum_NI, np.float32(1.0))
        return scores_NI


def learn_mario_like(data: Interactions, items: ItemFeatures, options: MarioLikeOptions, seed: int) -> FittedMario:
    """Train from the start."""
    pairs = TouchedPairs.of(data)
    network = content_network(_Network, pairs, items, options, seed=seed)
    known = np.flatnonzero(pairs.is_known_I)
    curve = learn_pairs(network, network.loss, pairs, options, seed=seed, among=known)
    return FittedMario(network, data, options, learning_curve=curve)


MARIO_LIKE = ZooModel(
    name="mario_like",
    options=MarioLikeOptions,
    build=lambda options: GraphModel("mario_like", options, learn_mario_like),
    about="graph embeddings, and content that each user attends to, after MARIO (Kim et al., CIKM 2022)",
    reads_content=True,
    space={**GRAPH_SPACE, "sharpness": Choice((0.0, 2.0, 5.0, 10.0)), "kept_weight": Choice((0.0, 0.1, 0.5))},
)
