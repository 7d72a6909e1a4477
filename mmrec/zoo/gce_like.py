"""A cross-domain graph, as S2's peer "GCE" is described: shared users bridge domains (METHODS M22, M36).

    u_d,0      learned per user and domain;  v_0 learned
    u_d,(k+1)  = T R_d v_k,   v_(k+1) = R_d' u_d,k  for items of domain d        R: mmrec.zoo.graph_embeddings
    (T u)_d    = (1 - bridge_share) u_d + bridge_share * mean of u's other domains      where u touched d and others
               = mean of u's domains                                                    where u did not touch d
    score_i    = cos(u_d, v_i) with the domain d of i

So what a user did in one domain ranks items of another one, and what is learned of shared users flows both ways, as in
the bi-directional transfer of Liu et al. (CIKM 2020). A domain is an attribute of items, named in the options; items
without it share one domain, as do those of rare domains. With one domain this is LightGCN.

Axes: M domains, U users, I items, N targets, D numbers of an embedding, P pairs, S drawn items; X users or targets.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.catalogue_parts import DOMAIN, parts_by
from mmrec.evaluation.content_metrics import unit_rows
from mmrec.evaluation.interactions import (
    UNKNOWN,
    BoolArray,
    Float32Array,
    Histories,
    IntArray,
    Interactions,
    ItemFeatures,
)
from mmrec.evaluation.search_space import Choice
from mmrec.wire.declared import AtLeastOne, Name, Share, check
from mmrec.zoo.graph_embeddings import FittedGraph, GraphEmbeddings, GraphOptions
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.light_gcn import GRAPH_SPACE
from mmrec.zoo.pair_training import LearningCurve, learn_pairs, softmax_loss
from mmrec.zoo.touched_pairs import TouchedPairs
from mmrec.zoo.zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class GCELikeOptions(GraphOptions):
    """Those of embeddings over the graph, what a domain is, and how much passes from one to another."""

    domain_attribute: Name = DOMAIN
    """What says which domain an item is of: name or name=value, as mmrec.evaluation.catalogue_parts has it."""
    max_domains: AtLeastOne = 8
    """The largest ones; items of others are one more domain together."""
    bridge_share: Share = 0.3

    def __post_init__(self) -> None:
        check(self, "gce_like")


def domains_of(items: ItemFeatures, attribute: str, *, max_domains: int) -> IntArray:
    """Domain of each item, from 0 on without gaps, shape (I,): its part of the catalogue, rare ones together."""
    part_I = parts_by(items, attribute).part_I
    sizes_P = np.bincount(part_I)
    kept = np.argsort(-sizes_P, kind="stable")[:max_domains]
    joined_I = np.where(np.isin(part_I, kept), part_I, len(sizes_P))
    return np.unique(joined_I, return_inverse=True)[1].astype(np.int64)


def bridge_weights(is_active_MX: BoolArray, *, share: float) -> Float32Array:
    """T of each user: what passes from the second domain to the first one, shape (M, M, X).

    Args:
        is_active_MX: Whether a user touched a domain; one who touched none gets nothing.
    """
    num_X = is_active_MX.sum(axis=0)
    own_X = np.where(num_X > 1, 1.0 - share, 1.0)
    other_X = share / np.maximum(num_X - 1, 1)
    is_own_MM = np.eye(len(is_active_MX), dtype=np.bool_)[:, :, None]
    found = np.where(is_active_MX[:, None], np.where(is_own_MM, own_X, other_X), 1.0 / np.maximum(num_X, 1))
    return (found * is_active_MX[None]).astype(np.float32)


class _Network(nn.Module):
    """The graph whose users are users in a domain: row d * U + u."""

    def __init__(self, pairs: TouchedPairs, domain_I: IntArray, num_domains: int, options: GCELikeOptions) -> None:
        """Of pairs of users in a domain and items."""
        super().__init__()
        self._options, self._domain_I = options, domain_I
        self._num_users = pairs.num_users // num_domains
        weights_MMU = bridge_weights(pairs.is_known_U.reshape(num_domains, -1), share=options.bridge_share)
        mix_UU: Sparse = sparse.block_array(
            [[sparse.diags_array(each_U) for each_U in weights_MU] for weights_MU in weights_MMU], format="csr"
        )
        self.graph = GraphEmbeddings(pairs.matrix(), options, mix_UU=mix_UU)

    def loss(self, users_P: IntArray, items_P: IntArray, drawn_S: IntArray) -> Tensor:
        """Softmax of scores: a drawn item is scored with the user of its own domain."""
        drawn_S = drawn_S[np.argsort(self._domain_I[drawn_S], kind="stable")]
        users_UD, items_ID = (functional.normalize(each, dim=1) for each in self.graph.vectors())
        own_PD = users_UD.index_select(0, torch.from_numpy(users_P))
        own_P = (own_PD * items_ID.index_select(0, torch.from_numpy(items_P))).sum(dim=1)
        people_P, parts = users_P % self._num_users, []
        for domain in np.unique(self._domain_I[drawn_S]).tolist():
            of_PD = users_UD.index_select(0, torch.from_numpy(domain * self._num_users + people_P))
            rows = torch.from_numpy(drawn_S[self._domain_I[drawn_S] == domain])
            parts.append(of_PD @ items_ID.index_select(0, rows).T)
        value = softmax_loss(
            own_P,
            torch.cat(parts, dim=1),
            items_P=items_P,
            drawn_S=drawn_S,
            temperature=self._options.temperature,
        )
        return value + self.graph.penalty(users_P, items_P)


class GCELike:
    """A user per domain, each with what the others bring."""

    name = "gce_like"

    def __init__(self, options: GCELikeOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options, pairs = self._options, TouchedPairs.of(data)
        self._domain_I = domains_of(items, options.domain_attribute, max_domains=options.max_domains)
        self._num_domains = int(self._domain_I.max(initial=0)) + 1
        in_domains = TouchedPairs(
            num_users=data.num_users * self._num_domains,
            num_items=data.num_items,
            users_P=self._domain_I[pairs.items_P] * data.num_users + pairs.users_P,
            items_P=pairs.items_P,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network(in_domains, self._domain_I, self._num_domains, options)
        curve = learn_pairs(network, network.loss, in_domains, options, seed=seed)
        self._fitted = FittedGraph(network.graph, data, options, learning_curve=curve)

    def users(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """What u is for each target in each domain, from its history, shape (M, N, D)."""
        own_NI = self._fitted.weighting.matrix(histories)
        owns = [own_NI @ sparse.diags_array((self._domain_I == d).astype(np.float64)) for d in range(self._num_domains)]
        is_active_MN = np.stack([np.asarray(each.sum(axis=1)).ravel() > 0 for each in owns])
        weights_MMN = bridge_weights(is_active_MN, share=self._options.bridge_share)
        sums_MND = np.stack([self._fitted.sums(each) for each in owns])
        found_MND = np.einsum("abn,bnd->and", weights_MMN, sums_MND)
        first_MUD = self._fitted.first_UD.reshape(self._num_domains, -1, found_MND.shape[-1])
        known_N = users_N != UNKNOWN
        found_MND[:, known_N] += first_MUD[:, users_N[known_N]]
        users_MND: Float32Array = (found_MND / self._fitted.num_layers).astype(np.float32)
        return users_MND

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        scores_NI = np.zeros((len(users_N), len(self._domain_I)), dtype=np.float32)
        for domain, users_ND in enumerate(self.users(users_N, histories)):
            columns = np.flatnonzero(self._domain_I == domain)
            scores_NI[:, columns] = unit_rows(users_ND) @ self._fitted.items_ID[columns].T
        return scores_NI

    @property
    def learning_curve(self) -> LearningCurve:
        """Mean loss by epoch of the last fit."""
        return self._fitted.learning_curve


GCE_LIKE = ZooModel(
    name="gce_like",
    options=GCELikeOptions,
    build=GCELike,
    about="a graph of each domain, bridged by shared users, as S2's peer GCE is described",
    space={**GRAPH_SPACE, "bridge_share": Choice((0.0, 0.15, 0.3, 0.5))},
)
