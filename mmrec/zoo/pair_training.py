"""How networks of the zoo learn from pairs: Adam over all of them, with drawn items that a batch shares (METHODS M36).

    curve = learn_pairs(network, network.loss, pairs, options, seed=1)

    softmax_loss = mean over pairs of  -ln( exp(x_ui / t) / (exp(x_ui / t) + sum over drawn j != i of exp(x_uj / t)) )

Axes: P pairs of a batch, S drawn items.
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mmrec.evaluation.interactions import IntArray
from mmrec.zoo.touched_pairs import TouchedPairs

PairLoss = Callable[[IntArray, IntArray, IntArray], Tensor]
"""loss(users_P, items_P, drawn_S): of one batch."""
LearningCurve = tuple[tuple[float, float], ...]
"""(epoch, mean loss of its batches), in order."""


class LearnsPairs(Protocol):
    """Options of a model that learns from pairs."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def num_epochs(self) -> int: ...
    @property
    def min_steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def num_negatives(self) -> int: ...


def _nothing() -> None:
    """What happens before an epoch, unless a model has something to do."""


def learn_pairs(
    network: nn.Module,
    loss: PairLoss,
    pairs: TouchedPairs,
    options: LearnsPairs,
    *,
    seed: int,
    among: IntArray | None = None,
    before_epoch: Callable[[], None] = _nothing,
) -> LearningCurve:
    """Change the network's parameters; without pairs they stay.

    Args:
        seed: Of the order of pairs and of drawn items.
        among: Items that are drawn; None draws all. A model that reads content draws those with events: others would
            only ever be pushed away.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    generator = np.random.default_rng(seed)
    num_batches = math.ceil(len(pairs) / options.batch_size)
    num_epochs = max(options.num_epochs, math.ceil(options.min_steps / num_batches)) if num_batches else 0
    items_I = np.arange(pairs.num_items) if among is None else among
    num_drawn = min(options.num_negatives, len(items_I))
    curve = []
    for epoch in range(1, num_epochs + 1):
        before_epoch()
        losses = []
        for chosen in np.array_split(generator.permutation(len(pairs)), num_batches):
            drawn_S = generator.choice(items_I, num_drawn, replace=False)
            optimizer.zero_grad(set_to_none=True)
            value = loss(pairs.users_P[chosen], pairs.items_P[chosen], drawn_S)
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(value.detach()))
        curve.append((float(epoch), float(np.mean(losses))))
    return tuple(curve)


def softmax_loss(
    own_P: Tensor, others_PS: Tensor, *, items_P: IntArray, drawn_S: IntArray, temperature: float
) -> Tensor:
    """Softmax over each pair's item and the drawn ones; a drawn item that is the own one does not stand against itself.

    Args:
        own_P: x of each pair, shape (P,).
        others_PS: x of each pair's user with the drawn items, shape (P, S).
    """
    is_own_PS = torch.from_numpy(drawn_S[None, :] == items_P[:, None])
    logits = torch.cat([own_P[:, None], others_PS.masked_fill(is_own_PS, -torch.inf)], dim=1) / temperature
    return (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean()
