"""How the models of S1 and S2 learn: AdamW over foreseen events, early stopping on held ones (METHODS M23).

    fitted = fit_contrast(options, data, items, extra=..., attribute="domain", seed=1)
    fitted.score(histories, other_share=0.3)

Axes: N events or targets, K domains, I items, S drawn items, D embedding.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmrec.evaluation.catalogue_parts import parts_by
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray, Interactions, ItemFeatures
from mmrec.training.fit_alignment import mean_size
from mmrec.training.stalling import has_stalled
from mmrec.zoo.content_values import content_values
from mmrec.zoo.contrast_network import ContrastNetwork, Users
from mmrec.zoo.contrast_options import ContrastOptions
from mmrec.zoo.foreseen_events import ForeseenEvents, by_part, foreseen_events
from mmrec.zoo.history_matrix import HistoryWeighting

MAX_DOMAINS: Final = 8
Extra = Callable[[ContrastNetwork, Users, IntArray, Tensor], Tensor]
"""What stands beside the contrast: of the network, a batch's users by domain and by row, and its positives."""


class FittedContrast:
    """A network that has learned, and what it needs to be asked."""

    def __init__(
        self, network: ContrastNetwork, weighting: HistoryWeighting, curve: Sequence[tuple[float, float]]
    ) -> None:
        self.network, self._weighting, self.curve = network, weighting, curve
        network.eval()
        with torch.inference_mode():
            self.items_ID = network.items(torch.arange(len(network.domain_I)))

    def score(self, histories: Histories, *, other_share: float, domain_smoothing: float | None = None) -> Float32Array:
        """Cosines; 0 where nothing is known of a user.

            u^d     = norm( E^d + other_share * sum over domains d' != d of E^d' )
            score_i = u^d . v_i  +  tau * ln( p_d / max over d' of p_d' ),    p_d ~ a_ud + domain_smoothing

        a_ud is what the user did in d, weighed as in E. The loss makes u . v / tau a logit within a domain, so tau ln p
        is what makes it one over all domains.

        Args:
            other_share: 0 asks each domain's items by what was done in that domain alone.
            domain_smoothing: Above 0; None takes all domains for as likely.
        """
        network = self.network
        own = by_part(self._weighting.matrix(histories), network.domain_I.numpy(), network.num_domains)
        scores_NI = np.zeros((len(histories), len(self.items_ID)), dtype=np.float32)
        with torch.inference_mode():
            vectors_NKD = network.users(own).vectors_NKD
            others_NKD = vectors_NKD.sum(dim=1, keepdim=True) - vectors_NKD
            users_NKD = functional.normalize(vectors_NKD + other_share * others_NKD, dim=-1)
            for domain in range(network.num_domains):
                chosen = torch.nonzero(network.domain_I == domain).squeeze(1)
                scores_NI[:, chosen.numpy()] = (users_NKD[:, domain] @ self.items_ID[chosen].T).numpy()
        if domain_smoothing is not None:
            likely_NK = np.stack([np.asarray(each.sum(axis=1)).ravel() for each in own], axis=1) + domain_smoothing
            shift_NK = float(network.temperature().detach()) * np.log(likely_NK / likely_NK.max(axis=1, keepdims=True))
            scores_NI += shift_NK.astype(np.float32)[:, network.domain_I.numpy()]
        return scores_NI


def fit_contrast(
    options: ContrastOptions,
    data: Interactions,
    items: ItemFeatures,
    *,
    extra: Extra,
    contrast_weight: float = 1.0,
    attribute: str = "",
    use_ids: bool = False,
    seed: int,
) -> FittedContrast:
    """Learn from the start.

    Args:
        extra: What is added to contrast_weight * InfoNCE(user, item).
        attribute: That says which domain an item is of; empty makes one domain of all.

    Raises:
        ValueError: the catalogue has more than MAX_DOMAINS domains.
    """
    domain_I = parts_by(items, attribute).part_I if attribute else np.zeros(items.num_items, dtype=np.int64)
    if (num_domains := int(domain_I.max(initial=0)) + 1) > MAX_DOMAINS:
        raise ValueError(f"{num_domains} domains by {attribute!r}; name an attribute of {MAX_DOMAINS} values at most")
    weighting = HistoryWeighting.asked(data, options)
    events = foreseen_events(data, weighting, max_labels=options.max_labels, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ContrastNetwork(
            options,
            content_values(items, options.modalities),
            domain_I=domain_I,
            counts_I=events.counts_I,
            use_ids=use_ids,
            seed=seed,
        )
        touched = np.flatnonzero(np.bincount(data.items_E, minlength=data.num_items))
        learner = _Learner(
            network, events, options, among=touched, extra=extra, contrast_weight=contrast_weight, seed=seed
        )
        curve = learner.run() if len(events) else []
    return FittedContrast(network, weighting, curve)


class _Learner:
    """The steps of one fit.

    Args:
        among: Items that are drawn, those with events: others would only ever be pushed away.
    """

    def __init__(
        self,
        network: ContrastNetwork,
        events: ForeseenEvents,
        options: ContrastOptions,
        *,
        among: IntArray,
        extra: Extra,
        contrast_weight: float,
        seed: int,
    ) -> None:
        self._network, self._events, self._options, self._among = network, events, options, among
        self._extra, self._contrast_weight = extra, contrast_weight
        self._generator = np.random.default_rng(seed)
        self._own = by_part(events.own_NI, network.domain_I.numpy(), network.num_domains)
        self._num_drawn = min(options.num_negatives, len(among))
        self._held_drawn_S = self._draw()
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [each for each in learned if each.ndim == 2], "weight_decay": options.l2},
                {"params": [each for each in learned if each.ndim != 2], "weight_decay": 0.0},
            ],
            lr=options.learning_rate,
        )

    def run(self) -> list[tuple[float, float]]:
        """(epoch, mean loss) of all epochs; the network is that of the best one."""
        options, held = self._options, np.flatnonzero(self._events.is_held_N)
        learned_from = np.flatnonzero(~self._events.is_held_N)
        curve: list[tuple[float, float]] = []
        scores: list[float] = []
        best: dict[str, Any] = {}
        for epoch in range(1, options.max_epochs + 1):
            self._network.train()
            order = self._generator.permutation(learned_from)
            batches = np.array_split(order, max(1, -(-len(order) // options.batch_size)))
            losses = [self._step(batch) for batch in batches if len(batch)]
            curve.append((float(epoch), float(np.mean(losses)) if losses else 0.0))
            if not len(held):
                continue
            scores.append(-self._held_loss(held))
            if scores[-1] >= max(scores):
                best = {name: each.detach().clone() for name, each in self._network.state_dict().items()}
            if has_stalled(scores, options.patience):
                break
        if best:
            self._network.load_state_dict(best)
        return curve

    def _step(self, rows: IntArray) -> float:
        users, positives_N = self._asked(rows)
        loss = self._contrast_weight * self._network.contrast(users, positives_N, self._draw())
        loss = loss + self._extra(self._network, users, self._events.users_N[rows], positives_N)
        if self._options.l1 > 0:
            loss = loss + self._options.l1 * mean_size(self._network)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        return float(loss.detach())

    def _held_loss(self, held: IntArray) -> float:
        """Of the contrast alone, among the same drawn items after every epoch."""
        self._network.eval()
        with torch.inference_mode():
            users, positives_N = self._asked(held)
            return float(self._network.contrast(users, positives_N, self._held_drawn_S))

    def _asked(self, rows: IntArray) -> tuple[Users, Tensor]:
        users = self._network.users([own_NI[rows] for own_NI in self._own])
        return users, torch.from_numpy(self._events.items_N[rows])

    def _draw(self) -> Tensor:
        return torch.from_numpy(self._generator.choice(self._among, self._num_drawn, replace=False))
