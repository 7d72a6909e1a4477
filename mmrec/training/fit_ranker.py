"""Fitting the ranker: listwise (ListNet, Cao et al., ICML 2007) over what recall proposes, with a head per behavior
(METHODS M25, strong).

    L = listwise softmax of log sum_b w_b p_b, gains w_b   +   c * mean binary cross-entropy of p_b        AdamW
Early stopping (METHODS M23) on a held-out share of the lists, the latest ones.
Axes: G lists, C candidates, F features, B behaviors.
"""

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor

from mmrec.models.losses import behavior_cross_entropy, listwise_softmax, log_utility
from mmrec.models.ranker import Ranker
from mmrec.training.examples import NOT_A_LABEL
from mmrec.training.ranking_rows import RankedList
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

MIN_LISTS = 20
"""With fewer, none is held out."""


@dataclass(frozen=True, kw_only=True)
class RankerFitConfig:
    """How the ranker is fit."""

    max_epochs: AtLeastOne = 12
    patience: AtLeastOne = 5
    """Epochs without gain on the held-out lists after which fitting ends."""
    batch_lists: AtLeastOne = 64
    num_negatives: AtLeastOne = 120
    """Candidates without label kept per list, a seeded draw; the draw is even, so proportions stay."""
    learning_rate: Positive = 5e-3
    weight_decay: NotNegative = 1e-3
    behavior_weight: NotNegative = 1.0
    """c: weight of the heads' cross-entropy."""
    held_out: Annotated[float, Meta(ge=0, lt=1)] = 0.15
    seed: Count = 1

    def __post_init__(self) -> None:
        check(self, "fit_ranker")


@dataclass(frozen=True, kw_only=True, eq=False)
class ListTensors:
    """G lists, padded to C candidates."""

    features_GCF: Tensor
    labels_GCB: Tensor
    """1 where that behavior followed."""
    gains_GC: Tensor
    """Weight of the behavior that followed, 0 where none did."""
    valid_GC: Tensor
    copies_GC: Tensor
    """How many candidates of serving each stands for: above 1 where others like it were not drawn."""

    def __len__(self) -> int:
        return len(self.features_GCF)

    def take(self, rows: Tensor) -> "ListTensors":
        """Some of the lists."""
        return ListTensors(
            features_GCF=self.features_GCF[rows],
            labels_GCB=self.labels_GCB[rows],
            gains_GC=self.gains_GC[rows],
            valid_GC=self.valid_GC[rows],
            copies_GC=self.copies_GC[rows],
        )


def list_tensors(
    lists: Iterable[RankedList], *, weights_B: npt.NDArray[np.float64], config: RankerFitConfig
) -> ListTensors | None:
    """Lists with at least one proposed label and one other candidate; None where there is no such list."""
    generator = np.random.default_rng(config.seed)
    kept: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16], float]] = []
    for one in lists:
        positive = np.flatnonzero((one.labels_N != NOT_A_LABEL) & one.proposed_N)
        others = np.flatnonzero(one.labels_N == NOT_A_LABEL)
        if not len(positive) or not len(others):
            continue
        copies = max(1.0, len(others) / config.num_negatives)
        if len(others) > config.num_negatives:
            others = np.sort(generator.choice(others, config.num_negatives, replace=False))
        rows = np.concatenate([positive, others])
        kept.append((one.features_NF[rows], one.labels_N[rows], copies))
    if not kept:
        return None
    width = max(len(labels) for _, labels, _ in kept)
    num_features, num_behaviors = kept[0][0].shape[1], len(weights_B)
    features = np.zeros((len(kept), width, num_features), dtype=np.float32)
    labels_GCB = np.zeros((len(kept), width, num_behaviors), dtype=np.float32)
    gains = np.zeros((len(kept), width), dtype=np.float32)
    valid = np.zeros((len(kept), width), dtype=np.bool_)
    copies_GC = np.ones((len(kept), width), dtype=np.float32)
    for g, (rows_CF, labels_C, copies) in enumerate(kept):
        features[g, : len(rows_CF)], valid[g, : len(rows_CF)] = rows_CF, True
        copies_GC[g, : len(rows_CF)] = np.where(labels_C == NOT_A_LABEL, copies, 1.0)
        for c in np.flatnonzero(labels_C != NOT_A_LABEL).tolist():
            labels_GCB[g, c, labels_C[c]] = 1.0
            gains[g, c] = max(float(weights_B[labels_C[c]]), 1e-3)
    return ListTensors(
        features_GCF=torch.from_numpy(features),
        labels_GCB=torch.from_numpy(labels_GCB),
        gains_GC=torch.from_numpy(gains),
        valid_GC=torch.from_numpy(valid),
        copies_GC=torch.from_numpy(copies_GC),
    )


def joined(*several: ListTensors | None) -> ListTensors | None:
    """Lists one after another, padded to the widest; None where there are none."""
    given = [lists for lists in several if lists is not None]
    if not given:
        return None
    width = max(lists.valid_GC.shape[1] for lists in given)

    def padded(values_GCx: Tensor) -> Tensor:
        missing = values_GCx.new_zeros(len(values_GCx), width - values_GCx.shape[1], *values_GCx.shape[2:])
        return torch.cat([values_GCx, missing], dim=1)

    return ListTensors(
        **{f.name: torch.cat([padded(getattr(lists, f.name)) for lists in given]) for f in fields(ListTensors)}
    )


def held_out_split(lists: ListTensors, share: float) -> tuple[ListTensors, ListTensors]:
    """(lists to learn from, the latest ones, to judge by); the second is empty where there are few lists."""
    num_held_out = int(len(lists) * share) if len(lists) >= MIN_LISTS else 0
    rows = torch.arange(len(lists))
    return lists.take(rows[: len(lists) - num_held_out]), lists.take(rows[len(lists) - num_held_out :])


def fit_ranker(ranker: Ranker, lists: ListTensors, *, config: RankerFitConfig) -> list[dict[str, float]]:
    """Fit in place, ending at the best epoch on the held-out lists; returns the curve.

    Args:
        ranker: Its standardization is fitted here too.
        lists: In order of time: the last `held_out` share of them decides when to stop.
    """
    train, _ = held_out_split(lists, config.held_out)
    ranker.fit_scale(train.features_GCF[train.valid_GC].numpy())
    return learn_ranking(ranker, lists, config=config)


def learn_ranking(ranker: Ranker, lists: ListTensors, *, config: RankerFitConfig) -> list[dict[str, float]]:
    """The same, from what the ranker is already: its standardization stays, since its weights go by it."""
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    train, held_out = held_out_split(lists, config.held_out)
    optimizer = torch.optim.AdamW(ranker.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    best, best_state, since = float("inf"), copy.deepcopy(ranker.state_dict()), 0
    curve = []
    for epoch in range(1, config.max_epochs + 1):
        started_s = time.monotonic()
        ranker.train()
        total, steps = 0.0, 0
        order = torch.from_numpy(generator.permutation(len(train)))
        for start in range(0, len(order), config.batch_lists):
            optimizer.zero_grad(set_to_none=True)
            loss = ranker_loss(ranker, train.take(order[start : start + config.batch_lists]), config=config)
            torch.autograd.backward(loss)
            optimizer.step()
            total, steps = total + float(loss.detach()), steps + 1
        figures = {"epoch": float(epoch), "loss": total / max(steps, 1), "seconds": time.monotonic() - started_s}
        if len(held_out):
            ranker.eval()
            with torch.inference_mode():
                figures["held_out_loss"] = float(ranker_loss(ranker, held_out, config=config))
        curve.append(figures)
        watched = figures.get("held_out_loss", figures["loss"])
        if watched < best - 1e-4:
            best, best_state, since = watched, copy.deepcopy(ranker.state_dict()), 0
        else:
            since += 1
            if since >= config.patience:
                break
    ranker.load_state_dict(best_state)
    ranker.eval()
    return curve


def ranker_loss(ranker: Ranker, lists: ListTensors, *, config: RankerFitConfig) -> Tensor:
    """Loss of some lists, a scalar."""
    logits = ranker(lists.features_GCF)
    scores = log_utility(logits, ranker.weights_B)
    # A list that led to a purchase says more than one that led to a browse, less than in proportion.
    weights_G = torch.log1p(lists.gains_GC.max(1).values)
    ranking = listwise_softmax(scores, lists.gains_GC, lists.valid_GC, weights_G)
    copies_GC = lists.valid_GC * lists.copies_GC
    return ranking + config.behavior_weight * behavior_cross_entropy(logits, lists.labels_GCB, copies_GC)
