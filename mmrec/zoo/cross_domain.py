"""Paper S2: users and items compared by content, in each domain alone, and with users of both domains brought together.

    s2_contrastive       L = alpha * InfoNCE(user, item; tau)                                each domain by itself (M21)
    s2_cross_domain      L = alpha * InfoNCE(user, item; tau) + beta * || E_u^1 - E_u^2 ||^2    as printed (M22)
    s2_aligned_users     L = alpha * InfoNCE(user, item; tau) + beta * InfoNCE(E_u^1, E_u^2; tau)    strong, with ids

The second term is over a batch's users who did something in both domains before, each once. The last two ask a domain's
items by what was done elsewhere, too: alone for users who did nothing there. The strong one knows how much of a user's
past each domain is: as printed, whoever never bought a dress is shown as many dresses as creams. The paper makes users
of their profiles; here a user is the content of what was done, decayed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from mmrec.evaluation.catalogue_parts import DOMAIN
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.evaluation.search_space import Choice
from mmrec.models.losses import domain_distance, paired_info_nce
from mmrec.wire.declared import NotNegative, Positive, Share, check
from mmrec.zoo.contrast_fit import Extra, FittedContrast, fit_contrast
from mmrec.zoo.contrast_network import ContrastNetwork, Users
from mmrec.zoo.contrast_options import CONTRAST_SPACE, ContrastOptions
from mmrec.zoo.zoo_model import ZooModel

Alignment = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Loss of users of both domains, from either, both of shape (N, D), and of the temperature."""


@dataclass(frozen=True, kw_only=True)
class InDomainOptions(ContrastOptions):
    """Those of the towers, and how domains are known."""

    domain_attribute: str = DOMAIN
    """Attribute whose values are domains; items without it, or all where none has it, are one more domain. NAME=VALUE
    makes two domains, of items with that value and without it."""
    contrast_weight: NotNegative = 1.0
    """alpha; 0 leaves it out."""

    def __post_init__(self) -> None:
        check(self, "s2_contrastive")


@dataclass(frozen=True, kw_only=True)
class CrossDomainOptions(InDomainOptions):
    """Those of one domain by itself, and what brings domains together."""

    alignment_weight: NotNegative = 0.2
    """beta."""
    other_share: Share = 0.5
    """How the user of the other domains counts beside that of the asked item's; where there is none it stands alone,
    unless this is 0."""

    def __post_init__(self) -> None:
        check(self, "s2_cross_domain")


@dataclass(frozen=True, kw_only=True)
class AlignedUsersOptions(CrossDomainOptions):
    """Those across domains, and how likely a domain is that a user did little in."""

    domain_smoothing: Positive = 0.5
    """Events that each domain has beside what a user did in it; many make all domains as likely."""

    def __post_init__(self) -> None:
        check(self, "s2_aligned_users")


class InDomain:
    """Each domain's items by what was done in it."""

    name = "s2_contrastive"

    def __init__(self, options: InDomainOptions) -> None:
        self._options = options

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options = self._options
        self._fitted = fit_contrast(
            options,
            data,
            items,
            extra=nothing_else,
            contrast_weight=options.contrast_weight,
            attribute=options.domain_attribute,
            seed=seed,
        )

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 for items of a domain in which a user did nothing."""
        del users_N
        return self._fitted.score(histories, other_share=0.0)

    @property
    def learning_curve(self) -> Sequence[tuple[float, float]]:
        """(epoch, loss)."""
        return self._fitted.curve


class CrossDomain:
    """Items of all domains by what was done in all."""

    def __init__(
        self,
        options: CrossDomainOptions,
        *,
        name: str,
        alignment: Alignment,
        use_ids: bool,
        domain_smoothing: float | None,
    ) -> None:
        self.name = name
        self._options, self._alignment = options, alignment
        self._use_ids, self._domain_smoothing = use_ids, domain_smoothing

    def fit(self, data: Interactions, items: ItemFeatures, *, seed: int) -> None:
        """Train from the start."""
        options = self._options
        self._fitted: FittedContrast = fit_contrast(
            options,
            data,
            items,
            extra=aligned(self._alignment, options.alignment_weight),
            contrast_weight=options.contrast_weight,
            attribute=options.domain_attribute,
            use_ids=self._use_ids,
            seed=seed,
        )

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """Cosines; 0 where nothing is known of a user."""
        del users_N
        options = self._options
        return self._fitted.score(histories, other_share=options.other_share, domain_smoothing=self._domain_smoothing)

    @property
    def learning_curve(self) -> Sequence[tuple[float, float]]:
        """(epoch, loss)."""
        return self._fitted.curve


def nothing_else(network: ContrastNetwork, users: Users, users_N: IntArray, positives_N: Tensor) -> Tensor:
    """The contrast alone."""
    del network, users_N, positives_N
    return users.vectors_NKD.new_zeros(())


def aligned(alignment: Alignment, weight: float) -> Extra:
    """Weight * alignment of a batch's users, summed over pairs of domains; 0 for a pair that no two of them share."""

    def extra(network: ContrastNetwork, users: Users, users_N: IntArray, positives_N: Tensor) -> Tensor:
        del positives_N
        once = torch.from_numpy(np.unique(users_N, return_index=True)[1])
        vectors_NKD, known_NK = users.vectors_NKD[once], users.known_NK[once]
        loss = vectors_NKD.new_zeros(())
        for one, other in combinations(range(network.num_domains), 2):
            both = torch.nonzero(known_NK[:, one] & known_NK[:, other]).squeeze(1)
            if len(both) > 1:
                loss = loss + alignment(vectors_NKD[both, one], vectors_NKD[both, other], network.temperature())
        return weight * loss

    return extra


def by_distance(one_ND: Tensor, other_ND: Tensor, temperature: Tensor) -> Tensor:
    """As printed."""
    del temperature
    return domain_distance(one_ND, other_ND)


def by_contrast(one_ND: Tensor, other_ND: Tensor, temperature: Tensor) -> Tensor:
    """Strong: a user from one domain finds the same user from the other among the batch's."""
    return paired_info_nce(one_ND, other_ND, temperature=temperature)


def _as_printed(options: CrossDomainOptions) -> CrossDomain:
    return CrossDomain(options, name="s2_cross_domain", alignment=by_distance, use_ids=False, domain_smoothing=None)


def _strong(options: AlignedUsersOptions) -> CrossDomain:
    return CrossDomain(
        options,
        name="s2_aligned_users",
        alignment=by_contrast,
        use_ids=True,
        domain_smoothing=options.domain_smoothing,
    )


_CROSS_SPACE = {
    **CONTRAST_SPACE,
    "alignment_weight": Choice((0.05, 0.2, 0.5, 1.0)),
    "other_share": Choice((0.2, 0.5, 1.0)),
}
S2_CONTRASTIVE = ZooModel(
    name="s2_contrastive",
    options=InDomainOptions,
    build=InDomain,
    about="users and items by content, each domain by itself (paper S2 without alignment)",
    reads_content=True,
    space=CONTRAST_SPACE,
)
S2_CROSS_DOMAIN = ZooModel(
    name="s2_cross_domain",
    options=CrossDomainOptions,
    build=_as_printed,
    about="the same with users of both domains pulled together, as paper S2 prints it",
    reads_content=True,
    space=_CROSS_SPACE,
)
S2_ALIGNED_USERS = ZooModel(
    name="s2_aligned_users",
    options=AlignedUsersOptions,
    build=_strong,
    about="the same with users of both domains told from others by contrast, ids, and visits to domains counted",
    reads_content=True,
    space={**_CROSS_SPACE, "domain_smoothing": Choice((0.1, 0.5, 2.0))},
)
