"""NCF: a network in the place of the product of user and item, form NeuMF (He et al., WWW 2017; METHODS M36).

    g_ui = p_u * q_i                                          product by number
    h_ui = relu(W2 relu(W1 [p'_u; q'_i] + c1) + c2)           embeddings of their own
    x_ui = w . [g_ui; h_ui],    minimize  -ln sigmoid(x_ui) - sum over drawn j of ln(1 - sigmoid(x_uj))

As printed: binary cross-entropy, `num_negatives` items drawn evenly for each pair. A user whom fitting saw no event of
is the mean user. W1 is applied to users and items apart, [p'; q'] W1 = p' W1u + q' W1i: scoring all items costs a sum.

Axes: N targets, U users, I items, D numbers of an embedding, P pairs, S items drawn for each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import UNKNOWN, Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Between, Choice
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check
from mmrec.zoo.pair_training import LearningCurve, learn_pairs
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel

_MOST_NUMBERS = 16_000_000
"""Of hidden units that are held at once while all items are scored."""


@dataclass(frozen=True, kw_only=True)
class NCFOptions:
    """Size, and how it learns."""

    embedding_dim: AtLeastOne = 32
    """Of each of the four embeddings; the layers above have as many units, and half as many."""
    learning_rate: Positive = 0.002
    l2: NotNegative = 1e-6
    num_epochs: AtLeastOne = 20
    min_steps: Count = 100
    batch_size: AtLeastOne = 2048
    num_negatives: AtLeastOne = 4
    """Items drawn for each pair."""

    def __post_init__(self) -> None:
        check(self, "ncf")


class _Network(nn.Module):
    """Embeddings and layers."""

    def __init__(self, num_users: int, num_items: int, options: NCFOptions, *, seed: int) -> None:
        super().__init__()
        size = options.embedding_dim
        self._l2, self._num_negatives = options.l2, options.num_negatives
        self._generator = np.random.default_rng([seed, 1])
        # q of users and items side by side: the first half is multiplied, the second half goes into the layers.
        self.users, self.items = nn.Embedding(num_users, 2 * size), nn.Embedding(num_items, 2 * size)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        self.of_users, self.of_items = nn.Linear(size, size), nn.Linear(size, size, bias=False)
        self.second = nn.Linear(size, max(size // 2, 1))
        self.out = nn.Linear(size + self.second.out_features, 1, bias=False)

    def score(self, users_XD: Tensor, items_XD: Tensor) -> Tensor:
        """What x is of users and items whose shapes broadcast, all but the last axis."""
        size = users_XD.shape[-1] // 2
        own, others = self.out.weight[0, :size], self.out.weight[0, size:]
        hidden_X = functional.relu(self.of_users(users_XD[..., size:]) + self.of_items(items_XD[..., size:]))
        product_X = ((users_XD[..., :size] * own) * items_XD[..., :size]).sum(dim=-1)
        found: Tensor = product_X + functional.relu(self.second(hidden_X)) @ others
        return found

    def score_all(self, users_ND: Tensor) -> Tensor:
        """What x is of some users and every item, shape (N, I)."""
        size = users_ND.shape[-1] // 2
        items_ID = self.items.weight
        found_NI = (users_ND[:, :size] * self.out.weight[0, :size]) @ items_ID[:, :size].T
        of_users_ND, of_items_ID = self.of_users(users_ND[:, size:]), self.of_items(items_ID[:, size:])
        at_a_time = max(1, _MOST_NUMBERS // max(of_items_ID.numel(), 1))
        for start in range(0, len(users_ND), at_a_time):
            hidden_NID = functional.relu(of_users_ND[start : start + at_a_time, None] + of_items_ID)
            found_NI[start : start + at_a_time] += functional.relu(self.second(hidden_NID)) @ self.out.weight[0, size:]
        return found_NI

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Cross-entropy of each pair, and of items drawn for it alone: the batch's are not asked for."""
        del drawn_S
        drawn_PS = self._generator.integers(0, self.items.num_embeddings, (len(users_P), self._num_negatives))
        users_PD = self.users.weight.index_select(0, torch.from_numpy(users_P))
        own_PD = self.items.weight.index_select(0, torch.from_numpy(items_P))
        others_PSD = self.items.weight.index_select(0, torch.from_numpy(drawn_PS.ravel())).view(*drawn_PS.shape, -1)
        own_P, others_PS = self.score(users_PD, own_PD), self.score(users_PD[:, None], others_PSD)
        others_PS = others_PS.masked_fill(torch.from_numpy(drawn_PS == items_P[:, None]), -torch.inf)
        value = functional.softplus(-own_P).mean() + functional.softplus(others_PS).sum(dim=1).mean()
        return value + self._l2 * (users_PD.square().sum() + own_PD.square().sum()) / len(users_P)


class NCF:
    """Users and items through the network."""

    name = "ncf"

    def __init__(self, options: NCFOptions) -> None:
        self._options = options
        self.learning_curve: LearningCurve = ()

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        del items
        pairs = TouchedPairs.of(data)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = _Network(data.num_users, data.num_items, self._options, seed=seed)
        self.learning_curve = learn_pairs(self._network, self._network.loss, pairs, self._options, seed=seed)
        self._is_known_U = pairs.is_known_U
        with torch.inference_mode():
            users_UD = self._network.users.weight
            known_UD = users_UD[torch.from_numpy(self._is_known_U)]
            self._mean_D = known_UD.mean(dim=0) if len(known_UD) else torch.zeros(users_UD.shape[1])

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """x_ui: nothing is read of histories."""
        del histories
        known_N = torch.from_numpy((users_N != UNKNOWN) & self._is_known_U[users_N])
        with torch.inference_mode():
            users_ND = self._network.users.weight.index_select(0, torch.from_numpy(np.maximum(users_N, 0)))
            users_ND = torch.where(known_N[:, None], users_ND, self._mean_D)
            scores_NI: Float32Array = self._network.score_all(users_ND).numpy()
        return scores_NI


NCF_MODEL = ZooModel(
    name="ncf",
    options=NCFOptions,
    build=NCF,
    about="neural collaborative filtering, form NeuMF (He et al., WWW 2017)",
    space={
        "embedding_dim": Choice((8, 16, 32, 64)),
        "learning_rate": Between(0.0005, 0.01, is_log=True),
        "l2": Choice((0.0, 1e-6, 1e-5, 1e-4)),
        "num_epochs": Choice((10, 20, 40)),
        "num_negatives": Choice((4, 8)),
    },
)
