"""Embeddings smoothed over the graph of who touched what: what LightGCN and FREEDOM have in common (METHODS M36).

    r_ui      = 1 / sqrt(n_u n_i) where u touched i, else 0        n: number of the other kind touched
    u_(k+1)   = R v_k,   v_(k+1) = R' u_k                           (He et al., SIGIR 2020)
    u = mean of u_0 ... u_K,   v = mean of v_0 ... v_K  (+ G v_0 with a graph G of items)
    score     = cos(u, v_i)

A user's u_1 ... u_K are sums over the user's items, so they are computed anew from any history; u_0 is learned, and
0 for users whom fitting saw no event of. Models that read content give v_0 themselves, or another v.

Axes: U users, I items, D numbers of a vector, N targets, P pairs of user and item, S drawn items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.content_metrics import unit_rows
from mmrec.evaluation.interactions import UNKNOWN, Float32Array, Histories, IntArray, Interactions
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, Share
from mmrec.zoo.history_matrix import HistoryWeighting, Sparse
from mmrec.zoo.pair_training import LearningCurve, learn_pairs, softmax_loss
from mmrec.zoo.touched_pairs import TouchedPairs


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """Size of the embeddings, and how they learn."""

    embedding_dim: AtLeastOne = 64
    num_layers: Count = 2
    temperature: Positive = 0.15
    learning_rate: Positive = 0.005
    l2: NotNegative = 1e-5
    """On u_0 and v_0 of a batch's pairs."""
    num_epochs: AtLeastOne = 30
    min_steps: Count = 60
    """Steps at least, for data of few pairs: epochs are added until there are as many."""
    batch_size: AtLeastOne = 8192
    num_negatives: AtLeastOne = 1024
    """Items drawn evenly for each batch, which all its pairs share."""
    order_decay: Share = 0.9
    """How a history's older items count when a user is asked about; 1 as printed."""


class _Multiply(torch.autograd.Function):
    """A sparse matrix times a dense one by SciPy: torch warns that its own sparse rows are unfinished."""

    @staticmethod
    def forward(context: Any, matrix: Sparse, transposed: Sparse, values: Tensor) -> Tensor:
        context.transposed = transposed
        return torch.from_numpy(matrix @ values.detach().numpy())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, torch.from_numpy(context.transposed @ gradients[0].numpy())


def multiplied(matrix: tuple[Sparse, Sparse], values: Tensor) -> Tensor:
    """A matrix, given with its transpose, times values."""
    found: Tensor = _Multiply.apply(*matrix, values)  # type: ignore[no-untyped-call]
    return found


def with_transpose(matrix: Sparse) -> tuple[Sparse, Sparse]:
    """Both in rows of float32."""
    return matrix.tocsr().astype(np.float32), matrix.T.tocsr().astype(np.float32)


class GraphEmbeddings(nn.Module):
    """u_0 and v_0, and what the graph makes of them."""

    def __init__(
        self,
        touched_UI: Sparse,
        options: GraphOptions,
        *,
        alike_II: Sparse | None = None,
        mix_UU: Sparse | None = None,
    ) -> None:
        """Embeddings drawn by torch's generator.

        Args:
            touched_UI: 1 where a user touched an item.
            alike_II: G, a graph of items whose v_0 are added; None for none.
            mix_UU: What every u_k is multiplied by before anything reads it; None leaves it as it is.
        """
        super().__init__()
        self._options = options
        users_U, items_I = (np.maximum(np.asarray(touched_UI.sum(axis=axis)).ravel(), 1.0) for axis in (1, 0))
        self.item_scale_I = (1.0 / np.sqrt(items_I)).astype(np.float32)
        scaled_UI = sparse.diags_array(1.0 / np.sqrt(users_U)) @ touched_UI @ sparse.diags_array(self.item_scale_I)
        matrix, transposed = with_transpose(scaled_UI.tocsr())
        self._graph, self._back = (matrix, transposed), (transposed, matrix)
        self._alike = None if alike_II is None else with_transpose(alike_II)
        self._mix = None if mix_UU is None else with_transpose(mix_UU)
        self._is_known_U = torch.from_numpy((np.diff(matrix.indptr) > 0).astype(np.float32))[:, None]
        self.users = nn.Embedding(touched_UI.shape[0], options.embedding_dim)
        self.items = nn.Embedding(touched_UI.shape[1], options.embedding_dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=1.0 / math.sqrt(options.embedding_dim))

    def layers(self, first_items_ID: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """u_0 ... u_K and v_0 ... v_K.

        Args:
            first_items_ID: v_0; None takes the learned ones.
        """
        users = [self._mixed(self.users.weight * self._is_known_U)]
        items = [self.items.weight if first_items_ID is None else first_items_ID]
        for _ in range(self._options.num_layers):
            users.append(self._mixed(multiplied(self._graph, items[-1])))
            items.append(multiplied(self._back, users[-2]))
        return users, items

    def vectors(self, first_items_ID: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What u and v are for all users and items, shapes (U, D) and (I, D)."""
        users, items = self.layers(first_items_ID)
        items_ID = torch.stack(items).mean(dim=0)
        if self._alike is not None:
            items_ID = items_ID + multiplied(self._alike, items[0])
        return torch.stack(users).mean(dim=0), items_ID

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Mean of -ln( exp(cos / temperature) of the pair / the same of the pair and of the drawn items )."""
        users_UD, items_ID = self.vectors()
        return self.cosine_loss(users_UD, items_ID, users_P, items_P, drawn_S)

    def cosine_loss(
        self, users_UD: Tensor, items_ID: Tensor, users_P: IntArray, items_P: IntArray, drawn_S: IntArray
    ) -> Tensor:
        """The loss of such vectors, with the penalty of the batch's own u_0 and v_0."""
        # index_select() adds gradients in order, indexing in the order of its threads: the same seed, other bits.
        of_P = functional.normalize(users_UD.index_select(0, torch.from_numpy(users_P)), dim=-1)
        own_P = (of_P * functional.normalize(items_ID.index_select(0, torch.from_numpy(items_P)), dim=-1)).sum(dim=-1)
        others_PS = of_P @ functional.normalize(items_ID.index_select(0, torch.from_numpy(drawn_S)), dim=-1).T
        temperature = self._options.temperature
        value = softmax_loss(own_P, others_PS, items_P=items_P, drawn_S=drawn_S, temperature=temperature)
        return value + self.penalty(users_P, items_P)

    def penalty(self, users_P: IntArray, items_P: IntArray) -> Tensor:
        """l2 times the mean of |u_0|^2 + |v_0|^2 of a batch's pairs."""
        users_PD = self.users.weight.index_select(0, torch.from_numpy(users_P))
        squares = users_PD.square().sum()
        squares = squares + self.items.weight.index_select(0, torch.from_numpy(items_P)).square().sum()
        return self._options.l2 * squares / len(users_P)

    def _mixed(self, users_UD: Tensor) -> Tensor:
        return users_UD if self._mix is None else multiplied(self._mix, users_UD)


class FittedGraph:
    """Trained embeddings in arrays, and users computed from histories."""

    def __init__(
        self,
        network: GraphEmbeddings,
        data: Interactions,
        options: GraphOptions,
        *,
        first_items_ID: Tensor | None = None,
        items_ID: Tensor | None = None,
        learning_curve: LearningCurve = (),
    ) -> None:
        """Of a trained network.

        Args:
            first_items_ID: v_0, where the model gives it itself.
            items_ID: v, where the model makes it otherwise.
        """
        self.learning_curve = learning_curve
        with torch.inference_mode():
            users, items = network.layers(first_items_ID)
            vectors_ID = network.vectors(first_items_ID)[1] if items_ID is None else items_ID
            self.items_ID = functional.normalize(vectors_ID, dim=-1).numpy()
            self.first_UD = users[0].numpy().copy()
            self._below_ID = _sum_of(items[:-1], like=items[0])
        self.num_layers, self._scale_I = len(items), network.item_scale_I
        weighting = HistoryWeighting.of(data, order_decay=options.order_decay, decay_per_day=0.0, weights="equal")
        self.weighting = replace(weighting, counts_once=True)

    def users(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The u of each target, from its history; shape (N, D)."""
        sums_ND = self.sums(self.weighting.matrix(histories))
        known_N = users_N != UNKNOWN
        sums_ND[known_N] += self.first_UD[users_N[known_N]]
        found: Float32Array = sums_ND / np.float32(self.num_layers)
        return found

    def sums(self, own_NI: Sparse) -> Float32Array:
        """u_1 + ... + u_K of users with such own items, shape (N, D)."""
        own_NI = sparse.diags_array(1.0 / np.sqrt(np.maximum(own_NI.sum(axis=1), 1e-9))) @ own_NI
        found: Float32Array = own_NI.astype(np.float32) @ (self._scale_I[:, None] * self._below_ID)
        return found

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        scores_NI: Float32Array = unit_rows(self.users(users_N, histories)) @ self.items_ID.T
        return scores_NI


def _sum_of(layers: Sequence[Tensor], *, like: Tensor) -> Float32Array:
    found: Float32Array = (torch.stack(list(layers)).sum(dim=0) if layers else torch.zeros_like(like)).numpy()
    return found


def fit_graph(data: Interactions, options: GraphOptions, *, seed: int, alike_II: Sparse | None = None) -> FittedGraph:
    """Train from the start; a pair of user and item is one pair, however often it was touched.

    Args:
        alike_II: G, a graph of items whose v_0 are added; None for none.
    """
    pairs = TouchedPairs.of(data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GraphEmbeddings(pairs.matrix(), options, alike_II=alike_II)
    curve = learn_pairs(network, network.loss, pairs, options, seed=seed)
    return FittedGraph(network, data, options, learning_curve=curve)
