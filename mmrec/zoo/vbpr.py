"""VBPR: factors of users and items beside what users like in content (He and McAuley, AAAI 2016; METHODS M36).

    x_ui     = b_i + p_u . v_i + t_u . (E f_i) + h . f_i           f_i: content of the item
    minimize   mean over pairs and drawn j of  -ln sigmoid(x_ui - x_uj)  +  l2 * |those of the batch|^2

f is mmrec.zoo.content_inputs of labels and every modality, where the paper has one picture. Differences: each pair
stands against all items that are drawn for its batch, not against one; these are items with events, and v and b begin
at 0, so that an item nobody touched is ranked by its content alone. Users whom fitting saw no event of are the mean of
[v; E f] over their own items.

Axes: N targets, U users, I items, D numbers of a factor, C of content, P pairs, S drawn items.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import UNKNOWN, Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Between, Choice
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check
from mmrec.zoo.content_inputs import content_inputs
from mmrec.zoo.history_matrix import HistoryWeighting
from mmrec.zoo.pair_training import LearningCurve, learn_pairs
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class VBPROptions:
    """Size, and how it learns."""

    embedding_dim: AtLeastOne = 32
    """Of p and v, and of t and E f."""
    num_components: AtLeastOne = 64
    """Of each kind of content."""
    learning_rate: Positive = 0.005
    l2: NotNegative = 1e-4
    num_epochs: AtLeastOne = 30
    min_steps: Count = 60
    batch_size: AtLeastOne = 4096
    num_negatives: AtLeastOne = 256
    """Items drawn for each batch, which all its pairs share."""

    def __post_init__(self) -> None:
        check(self, "vbpr")


class _Network(nn.Module):
    """p, v, t, E, b and h."""

    def __init__(self, content_IC: Float32Array, num_users: int, options: VBPROptions) -> None:
        super().__init__()
        self._l2 = options.l2
        self.content_IC = torch.from_numpy(content_IC)
        size, std = options.embedding_dim, 1.0 / math.sqrt(options.embedding_dim)
        self.users = nn.Parameter(torch.randn(num_users, 2 * size) * std)
        self.items = nn.Parameter(torch.zeros(len(content_IC), size))
        self.seen = nn.Parameter(torch.randn(content_IC.shape[1], size) * std)
        self.biases = nn.Parameter(torch.zeros(len(content_IC)))
        self.liked = nn.Parameter(torch.zeros(content_IC.shape[1]))

    def rows(self, items_X: Tensor) -> tuple[Tensor, Tensor]:
        """[v; E f] and b + h . f of some items, shapes (X, 2 D) and (X,)."""
        content_XC = self.content_IC.index_select(0, items_X)
        vectors_XD = torch.cat([self.items.index_select(0, items_X), content_XC @ self.seen], dim=1)
        return vectors_XD, self.biases.index_select(0, items_X) + content_XC @ self.liked

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """BPR of each pair against every drawn item that is not its own."""
        users_PD = self.users.index_select(0, torch.from_numpy(users_P))
        own_PD, own_biases_P = self.rows(torch.from_numpy(items_P))
        drawn_SD, drawn_biases_S = self.rows(torch.from_numpy(drawn_S))
        own_P = (users_PD * own_PD).sum(dim=1) + own_biases_P
        gaps_PS = own_P[:, None] - users_PD @ drawn_SD.T - drawn_biases_S
        stands_PS = torch.from_numpy(drawn_S[None, :] != items_P[:, None])
        value = (functional.softplus(-gaps_PS) * stands_PS).sum() / stands_PS.sum().clamp(min=1)
        squares = users_PD.square().sum() + own_PD.square().sum() + own_biases_P.square().sum()
        return value + self._l2 * squares / len(users_P)


class VBPR:
    """Users and items as arrays, the bias in the last column."""

    name = "vbpr"

    def __init__(self, options: VBPROptions) -> None:
        self._options = options
        self.learning_curve: LearningCurve = ()

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options, pairs = self._options, TouchedPairs.of(data)
        kinds = content_inputs(items, num_components=options.num_components).values()
        nothing = np.zeros((data.num_items, 1), dtype=np.float32)  # so that there is a number where nothing is known
        content_IC = np.concatenate([nothing, *kinds], axis=1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network(content_IC, data.num_users, options)
        known = np.flatnonzero(pairs.is_known_I)
        self.learning_curve = learn_pairs(network, network.loss, pairs, options, seed=seed, among=known)
        with torch.inference_mode():
            vectors_ID, biases_I = network.rows(torch.arange(data.num_items))
            self._items_ID = torch.cat([vectors_ID, biases_I[:, None]], dim=1).numpy()
            self._users_UD = network.users.numpy().copy()
        self._is_known_U = pairs.is_known_U
        self._weighting = HistoryWeighting.of(data, order_decay=1.0, decay_per_day=0.0, weights="equal")

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """x_ui."""
        own_NI = self._weighting.matrix(histories).astype(np.float32)
        own_NI = sparse.diags_array(1.0 / np.maximum(own_NI.sum(axis=1), 1.0)) @ own_NI
        users_ND = np.asarray(own_NI @ self._items_ID, dtype=np.float32)
        users_ND[:, -1] = 1.0  # the factor of the bias
        known_N = (users_N != UNKNOWN) & self._is_known_U[users_N]
        users_ND[known_N, :-1] = self._users_UD[users_N[known_N]]
        scores_NI: Float32Array = users_ND @ self._items_ID.T
        return scores_NI


VBPR_MODEL = ZooModel(
    name="vbpr",
    options=VBPROptions,
    build=VBPR,
    about="Bayesian personalized ranking that reads content (He and McAuley, AAAI 2016)",
    reads_content=True,
    space={
        "embedding_dim": Choice((16, 32, 64)),
        "num_components": Choice((32, 64, 128)),
        "learning_rate": Between(0.001, 0.02, is_log=True),
        "l2": Choice((1e-5, 1e-4, 1e-3, 1e-2)),
        "num_epochs": Choice((15, 30, 60)),
        "num_negatives": Choice((64, 256, 1024)),
    },
)
