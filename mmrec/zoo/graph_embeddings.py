"""Embeddings smoothed over the graph of who touched what: what LightGCN and FREEDOM have in common (METHODS M36).

    r_ui      = 1 / sqrt(n_u n_i) where u touched i, else 0        n: number of the other kind touched
    u_(k+1)   = R v_k,   v_(k+1) = R' u_k                           (He et al., SIGIR 2020)
    u = mean of u_0 ... u_K,   v = mean of v_0 ... v_K  (+ G v_0 with a graph G of items)
    score     = cos(u, v_i)

A user's u_1 ... u_K are sums over the user's items, so they are computed anew from any history; u_0 is learned, and
0 for users whom fitting saw no event of.

Axes: U users, I items, D numbers of a vector, N targets, P pairs of user and item, S drawn items.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import UNKNOWN, Float32Array, Histories, IntArray, Interactions
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, Share
from mmrec.zoo.history_matrix import HistoryWeighting, Sparse


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

    def __init__(self, touched_UI: Sparse, options: GraphOptions, *, alike_II: Sparse | None = None) -> None:
        super().__init__()
        self._options = options
        users_U, items_I = (np.maximum(np.asarray(touched_UI.sum(axis=axis)).ravel(), 1.0) for axis in (1, 0))
        self.item_scale_I = (1.0 / np.sqrt(items_I)).astype(np.float32)
        scaled_UI = sparse.diags_array(1.0 / np.sqrt(users_U)) @ touched_UI @ sparse.diags_array(self.item_scale_I)
        matrix, transposed = with_transpose(scaled_UI.tocsr())
        self._graph, self._back = (matrix, transposed), (transposed, matrix)
        self._alike = None if alike_II is None else with_transpose(alike_II)
        self.users = nn.Embedding(touched_UI.shape[0], options.embedding_dim)
        self.items = nn.Embedding(touched_UI.shape[1], options.embedding_dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=1.0 / math.sqrt(options.embedding_dim))

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """u_0 ... u_K and v_0 ... v_K."""
        users, items = [self.users.weight], [self.items.weight]
        for _ in range(self._options.num_layers):
            users.append(multiplied(self._graph, items[-1]))
            items.append(multiplied(self._back, users[-2]))
        return users, items

    def vectors(self) -> tuple[Tensor, Tensor]:
        """What u and v are for all users and items, shapes (U, D) and (I, D)."""
        users, items = self.layers()
        items_ID = torch.stack(items).mean(dim=0)
        if self._alike is not None:
            items_ID = items_ID + multiplied(self._alike, self.items.weight)
        return torch.stack(users).mean(dim=0), items_ID

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Mean of -ln( exp(cos / temperature) of the pair / the same of the pair and of the drawn items )."""
        users_UD, items_ID = self.vectors()
        # index_select() adds gradients in order, indexing in the order of its threads: the same seed, other bits.
        user_rows_P, item_rows_P = torch.from_numpy(users_P), torch.from_numpy(items_P)
        of_P = functional.normalize(users_UD.index_select(0, user_rows_P), dim=-1)
        own_P = (of_P * functional.normalize(items_ID.index_select(0, item_rows_P), dim=-1)).sum(dim=-1)
        others_PS = of_P @ functional.normalize(items_ID.index_select(0, torch.from_numpy(drawn_S)), dim=-1).T
        others_PS = others_PS.masked_fill(torch.from_numpy(drawn_S[None, :] == items_P[:, None]), -torch.inf)
        logits = torch.cat([own_P[:, None], others_PS], dim=1) / self._options.temperature
        users_PD = self.users.weight.index_select(0, user_rows_P)
        squares = users_PD.square().sum() + self.items.weight.index_select(0, item_rows_P).square().sum()
        return (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean() + self._options.l2 * squares / len(users_P)


class FittedGraph:
    """Trained embeddings in arrays, and users computed from histories."""

    def __init__(self, network: GraphEmbeddings, data: Interactions, options: GraphOptions) -> None:
        with torch.inference_mode():
            users, items = network.layers()
            _, vectors_ID = network.vectors()
            self.items_ID = functional.normalize(vectors_ID, dim=-1).numpy()
            self._first_UD = users[0].numpy().copy()
            self._below_ID = torch.stack(items[:-1]).sum(dim=0).numpy() if len(items) > 1 else 0.0 * items[0].numpy()
        self._first_UD[np.bincount(data.users_E, minlength=data.num_users) == 0] = 0.0
        self._num_layers, self._scale_I = len(items), network.item_scale_I
        weighting = HistoryWeighting.of(data, order_decay=options.order_decay, decay_per_day=0.0, weights="equal")
        self._weighting = replace(weighting, counts_once=True)

    def users(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The u of each target, from its history; shape (N, D)."""
        own_NI = self._weighting.matrix(histories)
        own_NI = sparse.diags_array(1.0 / np.sqrt(np.maximum(own_NI.sum(axis=1), 1e-9))) @ own_NI
        sums_ND = own_NI.astype(np.float32) @ (self._scale_I[:, None] * self._below_ID)
        known_N = users_N != UNKNOWN
        sums_ND[known_N] += self._first_UD[users_N[known_N]]
        found: Float32Array = sums_ND / np.float32(self._num_layers)
        return found

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        users_ND = self.users(users_N, histories)
        users_ND /= np.maximum(np.linalg.norm(users_ND, axis=1, keepdims=True), 1e-12)
        scores_NI: Float32Array = users_ND @ self.items_ID.T
        return scores_NI


def fit_graph(data: Interactions, options: GraphOptions, *, seed: int, alike_II: Sparse | None = None) -> FittedGraph:
    """Train from the start; a pair of user and item is one pair, however often it was touched.

    Args:
        alike_II: G, a graph of items whose v_0 are added; None for none.
    """
    cells = np.unique(data.users_E * data.num_items + data.items_E)
    users_P, items_P = np.divmod(cells, max(data.num_items, 1))
    touched_UI = sparse.csr_array((np.ones(len(cells)), (users_P, items_P)), shape=(data.num_users, data.num_items))
    generator = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GraphEmbeddings(touched_UI, options, alike_II=alike_II)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    num_batches = math.ceil(len(cells) / options.batch_size)
    num_epochs = max(options.num_epochs, math.ceil(options.min_steps / num_batches)) if num_batches else 0
    num_drawn = min(options.num_negatives, data.num_items)
    for _ in range(num_epochs):
        for chosen in np.array_split(generator.permutation(len(cells)), num_batches):
            drawn_S = generator.choice(data.num_items, num_drawn, replace=False)
            optimizer.zero_grad(set_to_none=True)
            network.loss(users_P[chosen], items_P[chosen], drawn_S).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return FittedGraph(network, data, options)
