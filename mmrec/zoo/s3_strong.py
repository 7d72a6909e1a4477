"""S3's model as it should be: fused content and ids, what a user scored, a head per behavior (METHODS M18, M25).

    softmax:  L = - mean over events (u, i, b) of  c_b log softmax over keys of (z_ukb - log q_k)[i],  c_b = ln(1 + w_b)
              p_b(u, i) = share_b softmax over items(z_uib)            the next event is of b, and on i
    bce:      L = mean over events, keys and behaviors of the cross-entropy of sigmoid(z)
              p_b(u, i) = sigmoid(z_uib)
    score     = log sum_b  w_b p_b(u, i)

z is of mmrec.zoo.s3_strong_network. Each event is foreseen from what its user did before it. Keys of a batch are its
own items and some drawn evenly among those with events (others would only ever be pushed away, and content alone could
not rank them), q_k is how often k is expected among them (Yi et al., RecSys 2019).

Axes: N events of a batch or targets, I items, K keys, B behaviors, R items that a batch needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import (
    Float32Array,
    Histories,
    IntArray,
    Interactions,
    ItemFeatures,
    histories_of,
)
from mmrec.evaluation.search_space import Between, Choice
from mmrec.models.losses import behavior_cross_entropy, info_nce, log_weighted_sum
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, Share, check
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.s3_content import StrongContent, popular
from mmrec.zoo.s3_printed import row_shares
from mmrec.zoo.s3_scores import SCORE_SPACE, ScoreOptions, score_matrix, score_weighting
from mmrec.zoo.s3_strong_network import Towers
from mmrec.zoo.zoo_model import ZooModel

_AHEAD = 16
"""Batches whose histories are looked up at once."""
_AT_A_TIME = 2_048
LEAST_WEIGHT = 1e-6
"""A behavior that counts nothing, or less, must not make a list longer for it."""


@dataclass(frozen=True, kw_only=True)
class S3StrongOptions(ScoreOptions):
    """What users are made of, size of the towers, and how they learn."""

    recent_order_decay: Share = 0.5
    """Of the second mean of own items, in which what came last counts most."""
    max_length: AtLeastOne = 50
    """Newest events of a user that are read."""
    width: AtLeastOne = 64
    num_heads: AtLeastOne = 8
    token_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    id_shrinkage: Positive = 5.0
    """Events at which an id counts half."""
    id_share: Share = 1.0
    """Factor of ids; 0 leaves them out, so that content is all there is."""
    loss: Literal["softmax", "bce"] = "softmax"
    learning_rate: Positive = 0.003
    weight_decay: NotNegative = 0.01
    num_steps: AtLeastOne = 150
    batch_events: AtLeastOne = 256
    num_negatives: Count = 512
    """Items drawn for each batch among those with events; 0 takes all of these."""

    def __post_init__(self) -> None:
        check(self, "s3_strong")
        if self.width % self.num_heads:
            what = f"is {self.num_heads} and width {self.width}; give a divisor of it"
            raise SettingError(("s3_strong", "num_heads"), what)


@dataclass(frozen=True, kw_only=True, eq=False)
class Own:
    """What each of N users scored."""

    long_NI: Sparse
    """Shares of S."""
    recent_NI: Sparse
    """Shares of S where what came last counts most."""
    scores_NI: Sparse
    """S."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Events to foresee."""

    own: Own
    """Before the events."""
    behaviors_N: Tensor
    keys_K: IntArray
    """Items that are compared, ascending."""
    log_q_K: Tensor
    right_N: Tensor
    """Place of each event's item among the keys."""


class S3Strong:
    """Towers and heads."""

    name = "s3_strong"

    def __init__(self, options: S3StrongOptions) -> None:
        self._options = options
        self.learning_curve: Sequence[tuple[float, float]] = ()
        """(step, loss)."""

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options = self._options
        self._weighting = score_weighting(data, options)
        self._recent = replace(self._weighting, order_decay=options.recent_order_decay)
        self._events_I = np.bincount(data.items_E, minlength=data.num_items)
        self._content = StrongContent.of(
            items, events_I=self._events_I, id_shrinkage=options.id_shrinkage, id_share=options.id_share
        )
        scores_I = np.asarray(score_matrix(data, self._weighting).sum(axis=0), dtype=np.float64).ravel()
        self._popular_I = torch.from_numpy(popular(scores_I))
        counts_B = np.bincount(data.behaviors_E, minlength=len(data.behavior_names)) + 1.0
        self._log_shares_B = torch.from_numpy(np.log(counts_B / counts_B.sum()).astype(np.float32))
        self._weights_B = torch.from_numpy(self._weighting.weights_B.astype(np.float32)).clamp(min=LEAST_WEIGHT)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._towers = Towers(
                input_dims=self._content.input_dims,
                num_labels=self._content.num_labels,
                num_items=data.num_items,
                num_behaviors=len(data.behavior_names),
                width=options.width,
                num_heads=options.num_heads,
                token_dropout=options.token_dropout,
            )
            self.learning_curve = self._train(data, np.random.default_rng(seed)) if len(data) else []
        self._towers.eval()
        with torch.inference_mode():
            parts = np.array_split(np.arange(data.num_items), max(data.num_items // _AT_A_TIME, 1))
            self._items_ID = torch.cat([self._towers.items(self._content.rows(rows)) for rows in parts])

    def _train(self, data: Interactions, generator: np.random.Generator) -> list[tuple[float, float]]:
        options, towers, curve = self._options, self._towers, list[tuple[float, float]]()
        # A single number has far to go: how much popularity and own scores count is found in a few dozen steps.
        numbers = [*towers.temperature.parameters(), towers.gate, towers.popular_B, towers.own_B, towers.bias_B]
        others = [each for each in towers.parameters() if not any(each is number for number in numbers)]
        optimizer = torch.optim.AdamW(
            [
                {"params": others, "weight_decay": options.weight_decay},
                {"params": numbers, "weight_decay": 0.0, "lr": 10.0 * options.learning_rate},
            ],
            lr=options.learning_rate,
        )
        towers.train()
        for step, (events, histories) in enumerate(_batches(data, options, generator), start=1):
            batch = self._batch(data, events, histories, generator)
            optimizer.zero_grad(set_to_none=True)
            loss = self._loss(batch)
            torch.autograd.backward(loss)
            optimizer.step()
            curve.append((float(step), float(loss.detach())))
        return curve

    def _batch(
        self, data: Interactions, events: IntArray, histories: Histories, generator: np.random.Generator
    ) -> Batch:
        items_N, touched, num_drawn = data.items_E[events], np.flatnonzero(self._events_I), self._options.num_negatives
        if 0 < num_drawn < len(touched):
            keys_K = np.union1d(items_N, generator.choice(touched, num_drawn, replace=False))
            expected_I = len(items_N) * self._events_I / len(data) + num_drawn / len(touched)
        else:
            keys_K, expected_I = touched, np.ones(data.num_items)
        return Batch(
            own=self._own(histories),
            behaviors_N=torch.from_numpy(data.behaviors_E[events]),
            keys_K=keys_K,
            log_q_K=torch.from_numpy(np.log(expected_I[keys_K]).astype(np.float32)),
            right_N=torch.from_numpy(np.searchsorted(keys_K, items_N)),
        )

    def _own(self, histories: Histories) -> Own:
        newest = histories.newest(self._options.max_length)
        scores_NI = self._weighting.matrix(newest)
        return Own(
            long_NI=row_shares(scores_NI)[0],
            recent_NI=row_shares(self._recent.matrix(newest))[0],
            scores_NI=scores_NI,
        )

    def _loss(self, batch: Batch) -> Tensor:
        towers, own = self._towers, batch.own
        needed_R = np.union1d(np.unique(own.scores_NI.indices), batch.keys_K)
        vectors_RD = towers.items(self._content.rows(needed_R))
        means = [_dense(each, needed_R) @ vectors_RD for each in (own.long_NI, own.recent_NI)]
        users_ND = towers.users(means[0], means[1])
        keys_KD = vectors_RD.index_select(0, torch.from_numpy(np.searchsorted(needed_R, batch.keys_K)))
        popular_K, own_NK = self._popular_I[torch.from_numpy(batch.keys_K)], _dense(own.scores_NI, batch.keys_K).log1p()
        added = [towers.added(popular_K, own_NK, behavior) for behavior in range(len(self._weights_B))]
        return (self._softmax if self._options.loss == "softmax" else self._bce)(batch, users_ND, keys_KD, added)

    def _softmax(self, batch: Batch, users_ND: Tensor, keys_KD: Tensor, added: Sequence[Tensor]) -> Tensor:
        total, whole, weights_B = torch.zeros(()), 0.0, self._weights_B.log1p().tolist()
        for behavior, added_NK in enumerate(added):
            rows = torch.nonzero(batch.behaviors_N == behavior).squeeze(-1)
            if len(rows):
                loss = info_nce(
                    self._towers.queries(users_ND.index_select(0, rows), behavior),
                    keys_KD,
                    batch.right_N[rows],
                    temperature=self._towers.temperature(),
                    log_q_K=batch.log_q_K - added_NK.index_select(0, rows),
                )
                total = total + weights_B[behavior] * len(rows) * loss
                whole += weights_B[behavior] * len(rows)
        return total / whole

    def _bce(self, batch: Batch, users_ND: Tensor, keys_KD: Tensor, added: Sequence[Tensor]) -> Tensor:
        heads = [self._towers.logits(users_ND, keys_KD, each, behavior) for behavior, each in enumerate(added)]
        logits_NKB = torch.stack(heads, dim=-1)
        labels_NKB = torch.zeros_like(logits_NKB)
        labels_NKB[torch.arange(len(batch.right_N)), batch.right_N, batch.behaviors_N] = 1.0
        return behavior_cross_entropy(logits_NKB, labels_NKB, torch.ones(logits_NKB.shape[:2]))

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """The log of a utility: what matters is the order."""
        del users_N
        own, towers, vectors_ID = self._own(histories), self._towers, self._items_ID
        with torch.inference_mode():
            means = [each.astype(np.float32) @ vectors_ID.numpy() for each in (own.long_NI, own.recent_NI)]
            users_ND = towers.users(*map(torch.from_numpy, means))
            own_NI = torch.from_numpy(own.scores_NI.astype(np.float32).toarray()).log1p()
            log_p = []
            for behavior, log_share in enumerate(self._log_shares_B):
                added_NI = towers.added(self._popular_I, own_NI, behavior)
                log_p.append(self._log_p(towers.logits(users_ND, vectors_ID, added_NI, behavior), log_share))
            scores_NI: Float32Array = log_weighted_sum(torch.stack(log_p, dim=-1), self._weights_B).numpy()
        return scores_NI

    def _log_p(self, logits_NI: Tensor, log_share: Tensor) -> Tensor:
        """Of one behavior."""
        if self._options.loss == "bce":
            return functional.logsigmoid(logits_NI)
        return functional.log_softmax(logits_NI, dim=1) + log_share


def _batches(
    data: Interactions, options: S3StrongOptions, generator: np.random.Generator
) -> Iterator[tuple[IntArray, Histories]]:
    """Events drawn evenly, and what their users did before them."""
    for start in range(0, options.num_steps, _AHEAD):
        num_steps = min(_AHEAD, options.num_steps - start)
        events = generator.integers(0, len(data), num_steps * options.batch_events)
        histories = histories_of(data, users_N=data.users_E[events], as_of_N=data.times_E[events])
        for first in range(0, len(events), options.batch_events):
            last = first + options.batch_events
            yield events[first:last], histories.part(first, last)


def _dense(values_NI: Sparse, columns: IntArray) -> Tensor:
    """Some columns, as a tensor."""
    return torch.from_numpy(values_NI[:, columns].astype(np.float32).toarray())


S3_STRONG = ZooModel(
    name="s3_strong",
    options=S3StrongOptions,
    build=S3Strong,
    about="S3 as it should be: a token per kind of content, ids by what is known, own scores, a head per behavior",
    reads_content=True,
    space={
        **SCORE_SPACE,
        "num_steps": Choice((150, 400)),
        "learning_rate": Between(0.001, 0.006, is_log=True),
        "token_dropout": Choice((0.0, 0.2, 0.4)),
        "recent_order_decay": Choice((0.3, 0.5, 0.8)),
        "loss": Choice(("softmax", "bce")),
    },
)
