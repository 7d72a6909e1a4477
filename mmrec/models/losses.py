"""Losses, each with its equation. Axes: N queries, K keys, B behaviors."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Temperature(nn.Module):
    """A learned temperature within bounds (as in CLIP, Radford et al., ICML 2021; METHODS M20).

    Kept as log(tau). The clamp is on the value, with the gradient let through, so that a temperature at a bound can
    come back.
    """

    def __init__(self, initial: float = 0.1, *, low: float = 0.02, high: float = 1.0) -> None:
        super().__init__()
        if not 0 < low <= initial <= high:
            raise ValueError(f"temperature {initial} is not within [{low}, {high}], or low is not above 0")
        self.log_tau = nn.Parameter(torch.tensor(math.log(initial)))
        self.low, self.high = low, high

    def forward(self) -> Tensor:
        """Tau, a scalar within [low, high]."""
        tau = self.log_tau.exp()
        return tau + (tau.clamp(self.low, self.high) - tau).detach()


def info_nce(
    queries_ND: Tensor,
    keys_KD: Tensor,
    positive_N: Tensor,
    *,
    temperature: Tensor | float,
    log_q_K: Tensor | None = None,
    ignored_NK: Tensor | None = None,
    weights_N: Tensor | None = None,
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018; METHODS M19), with the sampling correction of Yi et al. (RecSys 2019).

        L = - mean_n  log( exp(l_np) / sum_k exp(l_nk) ),   l_nk = s_nk / tau - log q_k,   s = cosine

    Args:
        queries_ND: Unit-norm queries.
        keys_KD: Unit-norm keys: the whole catalogue, a sample, or the batch.
        positive_N: Row of each query's positive among the keys.
        log_q_K: log of how often each key is expected in the sample; None where keys are the whole catalogue.
            It is taken off the negatives and off the positive's copy among the keys alike. Shape (K,), or (N, K) where
            it holds what else each query knows of a key, with the sign turned.
        ignored_NK: True where a key must not count as a negative (another positive of the same query).
        weights_N: Weight of each query; None weighs all alike.

    Returns:
        A scalar. Equal embeddings give log K.
    """
    # The logits are by far the largest here: they are changed where they lie.
    logits = (queries_ND / temperature) @ keys_KD.T
    if log_q_K is not None:
        logits.sub_(log_q_K)
    if ignored_NK is not None:
        logits.masked_fill_(ignored_NK.scatter(1, positive_N.unsqueeze(1), False), -1e9)
    losses = functional.cross_entropy(logits, positive_N, reduction="none")
    return _mean(losses, weights_N)


def sampled_softmax(
    queries_ND: Tensor,
    positives_ND: Tensor,
    keys_KD: Tensor,
    *,
    temperature: Tensor | float,
    log_expected_K: Tensor,
    ignored_NK: Tensor,
    weights_N: Tensor | None = None,
) -> Tensor:
    """InfoNCE over a catalogue of which some items are drawn, with replacement (Bengio and Senecal, IEEE TNN 2008).

        L = - mean_n  log( exp(l_n) / (exp(l_n) + sum_k exp(l_nk) / E_k) ),   l = s / tau,   s = cosine

    What is drawn often stands for little: in the mean over draws the sum is that over all items not ignored.

    Args:
        queries_ND: Unit-norm queries.
        positives_ND: Unit-norm item of each query.
        keys_KD: Unit-norm drawn items, the same for all queries.
        temperature: tau.
        log_expected_K: log of E_k, how many copies of each one are expected among the K.
        ignored_NK: True where a drawn item must not count as a negative, such as the query's own.
        weights_N: Weight of each query; None weighs all alike.

    Returns:
        A scalar.
    """
    queries_ND = queries_ND / temperature
    logits_NK = queries_ND @ keys_KD.T
    logits_NK = logits_NK.sub_(log_expected_K).masked_fill_(ignored_NK, -1e9)
    own_N = (queries_ND * positives_ND).sum(-1)
    return _mean(functional.softplus(torch.logsumexp(logits_NK, dim=1) - own_N), weights_N)


def paired_info_nce(left_ND: Tensor, right_ND: Tensor, *, temperature: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of pairs in a batch: image and text of one item, or two views of one input."""
    rows = torch.arange(len(left_ND), device=left_ND.device)
    forth = info_nce(left_ND, right_ND, rows, temperature=temperature)
    return (forth + info_nce(right_ND, left_ND, rows, temperature=temperature)) / 2


def multi_positive_info_nce(
    queries_ND: Tensor, keys_KD: Tensor, positive_NK: Tensor, *, temperature: Tensor | float
) -> Tensor:
    """InfoNCE with several right keys (supervised contrastive loss "out", Khosla et al., NeurIPS 2020; METHODS M19).

        L = - mean_n  mean_{p in P(n)}  log( exp(l_np) / sum_{k not in P(n) or k = p} exp(l_nk) ),   l_nk = s_nk / tau

    A right key is no negative of another right key: two items of one title cannot be told apart by it.

    Args:
        queries_ND: Unit-norm queries.
        keys_KD: Unit-norm keys.
        positive_NK: True where a key is right; at least one per query.
        temperature: tau.

    Returns:
        A scalar; with one right key per query it is info_nce().
    """
    logits_NK = queries_ND @ keys_KD.T / temperature
    wrong_N1 = torch.logsumexp(logits_NK.masked_fill(positive_NK, -1e9), dim=1, keepdim=True)
    losses_NK = torch.logaddexp(logits_NK, wrong_N1) - logits_NK
    losses_N = (losses_NK * positive_NK).sum(1) / positive_NK.sum(1).clamp(min=1)
    return losses_N.mean()


def paired_multi_positive(
    left_ND: Tensor, right_ND: Tensor, groups_N: Tensor, *, temperature: Tensor | float
) -> Tensor:
    """Symmetric multi_positive_info_nce() of pairs in a batch; items of one group are right for each other.

    Args:
        groups_N: A number per pair; equal where pictures or texts are the same.
    """
    alike_NN = groups_N[:, None] == groups_N[None, :]
    forth = multi_positive_info_nce(left_ND, right_ND, alike_NN, temperature=temperature)
    return (forth + multi_positive_info_nce(right_ND, left_ND, alike_NN, temperature=temperature)) / 2


def domain_distance(one_ND: Tensor, other_ND: Tensor) -> Tensor:
    """Cross-domain alignment as S2 prints it (METHODS M22): users of two domains, from either domain alone.

        L = mean_n  || E_n^1 - E_n^2 ||^2

    With E of length 1 it is 2 - 2 cos, at most 4. It only pulls: one point for all users is a minimum of it, so it
    stands beside a loss that pushes apart. The strong form, which pushes by itself, is paired_info_nce() of the same
    rows: one point for all users loses log N there.

    Args:
        one_ND: Users who are active in both domains, from the first one.
        other_ND: The same users, from the second one.

    Returns:
        A scalar; 0 where there are no users.
    """
    distances_N = (one_ND - other_ND).square().sum(-1)
    return distances_N.sum() / max(len(distances_N), 1)


def log_utility(logits_NB: Tensor, weights_B: Tensor) -> Tensor:
    """Log sum_b w_b p_b with p = sigmoid(logits): the ranker's final score (METHODS M25), stable for small p."""
    return log_weighted_sum(functional.logsigmoid(logits_NB), weights_B)


def log_weighted_sum(log_p_NB: Tensor, weights_B: Tensor) -> Tensor:
    """Log sum_b w_b p_b of probabilities given as logarithms; weights are above 0."""
    return torch.logsumexp(log_p_NB + weights_B.log(), dim=-1)


def listwise_softmax(scores_NC: Tensor, gains_NC: Tensor, valid_NC: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """Cross-entropy between the shares of gain in a list and the softmax of its scores (ListNet, top one).

        L = - mean_n  sum_c  g_nc / sum_c' g_nc'  *  log softmax(s_n)_c

    Args:
        gains_NC: >= 0, some above 0 in every list.
        valid_NC: False where a list is shorter.
    """
    log_shares = torch.log_softmax(scores_NC.masked_fill(~valid_NC, -1e9), dim=1)
    targets = gains_NC / gains_NC.sum(1, keepdim=True).clamp(min=1e-9)
    return _mean(-(targets * log_shares * valid_NC).sum(1), weights_N)


def behavior_cross_entropy(logits_NCB: Tensor, labels_NCB: Tensor, copies_NC: Tensor) -> Tensor:
    """Mean binary cross-entropy of p_b over all candidates of all lists: keeps the heads probabilities.

    Args:
        copies_NC: How many candidates each stands for, 0 where a list is shorter: of what was drawn from, p_b is the
            probability in the whole.
    """
    losses = functional.binary_cross_entropy_with_logits(logits_NCB, labels_NCB, reduction="none").mean(-1)
    return (losses * copies_NC).sum() / copies_NC.sum().clamp(min=1)


def _mean(losses_N: Tensor, weights_N: Tensor | None) -> Tensor:
    if weights_N is None:
        return losses_N.mean()
    return (losses_N * weights_N).sum() / weights_N.sum().clamp(min=1e-9)
