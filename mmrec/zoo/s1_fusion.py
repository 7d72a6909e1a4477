"""Paper S1: users and items by fused content, the contrastive loss in its three forms (METHODS M16, M17, M19-M23).

    L = InfoNCE(user, item; tau)  +  pair_weight * mean over modalities m < m' of InfoNCE(v^m, v^m'; tau)
                                  +  view_weight * InfoNCE(v', v''; tau)

v^m is an item by modality m alone, v' and v'' are an item under two drawings of dropout and hidden modalities, which is
the cheapest other view of a frozen encoder's vector (M14). Fusions by name are those of mmrec.models.fusion; where one
weighs modalities, the weights of each item can be read.

Axes: I items, M modalities, N items of a batch, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import torch
from torch import Tensor

from mmrec.evaluation.interactions import Float32Array, FloatArray, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.models.losses import paired_info_nce
from mmrec.wire.declared import NotNegative, check
from mmrec.zoo.contrast_fit import Extra, fit_contrast
from mmrec.zoo.contrast_network import ContrastNetwork, Users
from mmrec.zoo.contrast_options import CONTRAST_SPACE, ContrastOptions
from mmrec.zoo.zoo_model import ZooModel

PRINTED_FUSIONS: Final = ("concat", "weighted-sum", "multiplicative", "attention")
"""What S1 compares."""


@dataclass(frozen=True, kw_only=True)
class S1Options(ContrastOptions):
    """Those of the towers, and how the other two forms of the loss count."""

    pair_weight: NotNegative = 0.1
    view_weight: NotNegative = 0.05

    def __post_init__(self) -> None:
        check(self, "s1_fusion")


class S1Fusion:
    """One domain, by fused content."""

    name = "s1_fusion"

    def __init__(self, options: S1Options) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options = self._options
        extra = other_forms(pair_weight=options.pair_weight, view_weight=options.view_weight)
        self._fitted = fit_contrast(options, data, items, extra=extra, seed=seed)

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        del users_N
        return self._fitted.score(histories, other_share=0.0)

    @property
    def learning_curve(self) -> Sequence[tuple[float, float]]:
        """(epoch, loss)."""
        return self._fitted.curve

    @property
    def temperature(self) -> float:
        """Tau as it was learned, or fixed."""
        return float(self._fitted.network.temperature().detach())

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names along M."""
        return self._fitted.network.tower.modalities

    def modality_weights(self) -> FloatArray:
        """Share of each modality in each item, shape (I, M): rows sum to 1, or are 0 for an item without content."""
        network = self._fitted.network
        with torch.inference_mode():
            weights_IM: FloatArray = network.tower.fuse(network.projected_IMP, network.present_IM).weights_NM.numpy()
        return weights_IM.astype("float64")


def other_forms(*, pair_weight: float, view_weight: float) -> Extra:
    """The two forms beside user and item, over the items of a batch, each once; 0 for one that lacks two items."""

    def extra(network: ContrastNetwork, users: Users, users_N: IntArray, positives_N: Tensor) -> Tensor:
        del users_N
        rows, loss = torch.unique(positives_N), users.vectors_NKD.new_zeros(())
        if pair_weight > 0:
            loss = loss + pair_weight * between_modalities(network, rows)
        if view_weight > 0 and len(rows) > 1:
            one, other = (network.content(network.projected_IMP[rows], network.present_IM[rows]) for _ in range(2))
            loss = loss + view_weight * paired_info_nce(one, other, temperature=network.temperature())
        return loss

    return extra


def between_modalities(network: ContrastNetwork, rows: Tensor) -> Tensor:
    """Mean over pairs of modalities of InfoNCE between them, of the items that have both; 0 where no two items do."""
    tokens_NMP, present_NM = network.projected_IMP[rows], network.present_IM[rows]
    num_modalities = present_NM.shape[1]
    losses = []
    for one, other in combinations(range(num_modalities), 2):
        both = torch.nonzero(present_NM[:, one] & present_NM[:, other]).squeeze(1)
        if len(both) < 2:
            continue
        sides = []
        for modality in (one, other):
            alone_M = torch.arange(num_modalities) == modality
            sides.append(network.content(tokens_NMP[both], present_NM[both] & alone_M))
        losses.append(paired_info_nce(*sides, temperature=network.temperature()))
    return torch.stack(losses).mean() if losses else tokens_NMP.new_zeros(())


S1_FUSION = ZooModel(
    name="s1_fusion",
    options=S1Options,
    build=S1Fusion,
    about="users and items by fused content, InfoNCE in three forms (paper S1)",
    reads_content=True,
    space={
        **CONTRAST_SPACE,
        "fusion": Choice(PRINTED_FUSIONS),
        "temperature_kind": Choice(("learned", "fixed")),
        "l1": Choice((0.0, 0.1)),
    },
)
