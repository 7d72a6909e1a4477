"""Several modalities of an item -> one vector. Missing modalities never count.

    fused = fusion(tokens_NMD, present_NM)      fused.vector_ND, fused.weights_NM

Every variant takes one token per modality, already projected to D, and says which share each modality had. What stands
in the place of an absent one, be it NaN, touches neither the result nor a gradient: 0 * NaN is NaN, so absent places
are replaced (shown_only), not multiplied.
Axes: N items, M modalities, D width of a token.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mmrec.errors import NotFoundError


@dataclass(frozen=True)
class Fused:
    """What fusion makes of N items."""

    vector_ND: Tensor
    """Zeros for an item without any modality."""
    weights_NM: Tensor
    """Share of each modality, summing to 1 over those present; 0 where missing."""


def masked_softmax(scores_NM: Tensor, present_NM: Tensor) -> Tensor:
    """Softmax over the present entries of the last axis; all zeros where none is present."""
    exponents = torch.where(present_NM, scores_NM, torch.full_like(scores_NM, -1e9))
    weights = torch.softmax(exponents, dim=-1) * present_NM
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)


def shown_only(rows_NMD: Tensor, present_NM: Tensor) -> Tensor:
    """Zeros in place of what is absent, whatever it holds; its gradient is zero, too."""
    return torch.where(present_NM.unsqueeze(-1), rows_NMD, torch.zeros_like(rows_NMD))


def _even_shares(present_NM: Tensor) -> Tensor:
    return masked_softmax(torch.zeros_like(present_NM, dtype=torch.float32), present_NM)


class ConcatFusion(nn.Module):
    """[t; v; ...], then a linear map back to D; missing modalities enter as zeros (METHODS M16)."""

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(num_modalities * width, width, bias=False)

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        return Fused(self.mix(shown_only(tokens_NMD, present_NM).flatten(1)), _even_shares(present_NM))


class WeightedSumFusion(nn.Module):
    """alpha_t t + alpha_v v + ...: one learned alpha per modality, normalized over present ones (METHODS M16)."""

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        del width
        self.logits_M = nn.Parameter(torch.zeros(num_modalities))

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        weights = masked_softmax(self.logits_M.expand(present_NM.shape), present_NM)
        return Fused((weights.unsqueeze(-1) * shown_only(tokens_NMD, present_NM)).sum(1), weights)


class MultiplicativeFusion(nn.Module):
    """t * v * ..., element by element; a missing modality multiplies by one (METHODS M16)."""

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        del num_modalities, width

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        present = present_NM.unsqueeze(-1)
        product = torch.where(present, tokens_NMD, torch.ones_like(tokens_NMD)).prod(1)
        return Fused(product * present_NM.any(1, keepdim=True), _even_shares(present_NM))


class AttentionFusion(nn.Module):
    """Softmax weights per item: additive attention (Bahdanau et al., ICLR 2015; METHODS M17).

    a_m = softmax_m( q . tanh(W x_m) + b_m ),   fused = sum_m a_m x_m
    """

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))
        self.bias_M = nn.Parameter(torch.zeros(num_modalities))

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        tokens = shown_only(tokens_NMD, present_NM)
        weights = masked_softmax(self.score(tokens).squeeze(-1) + self.bias_M, present_NM)
        return Fused((weights.unsqueeze(-1) * tokens).sum(1), weights)


class SelfAttentionFusion(nn.Module):
    """One token per modality, multi-head self-attention (Vaswani et al., NIPS 2017), residual, LayerNorm, mean over
    present ones (METHODS M18, strong).
    """

    def __init__(self, num_modalities: int, width: int, *, num_heads: int = 8) -> None:
        super().__init__()
        self.kind_MD = nn.Parameter(torch.randn(num_modalities, width) * 0.02)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        # A row without any token would be all NaN: it looks at its first, zeroed token and is zeroed at the end.
        visible = present_NM | ~present_NM.any(1, keepdim=True)
        tokens = shown_only(tokens_NMD + self.kind_MD, present_NM)
        mixed, looks = self.attention(tokens, tokens, tokens, key_padding_mask=~visible)
        shares = _even_shares(present_NM)
        vector = (self.norm(tokens + mixed) * shares.unsqueeze(-1)).sum(1)
        # Share of a modality: how much the present tokens look at it.
        weights = (looks * shares.unsqueeze(-1)).sum(1) * present_NM
        return Fused(vector, weights / weights.sum(-1, keepdim=True).clamp(min=1e-9))


class PrintedSelfAttentionFusion(nn.Module):
    """[t; v; ...] as one single token through 8-head self-attention (METHODS M18, as printed).

    Over one token the softmax is 1, so this is W_o W_v x + b: a linear map, kept to show what it is worth.
    """

    def __init__(self, num_modalities: int, width: int, *, num_heads: int = 8) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(num_modalities * width, num_heads, batch_first=True)
        self.mix = nn.Linear(num_modalities * width, width, bias=False)

    def joint(self, tokens_NMD: Tensor, present_NM: Tensor) -> Tensor:
        """The one token after attention, as wide as all modalities together; shape (N, M * D)."""
        token = shown_only(tokens_NMD, present_NM).flatten(1).unsqueeze(1)
        mixed: Tensor = self.attention(token, token, token, need_weights=False)[0]
        return mixed.squeeze(1)

    def forward(self, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
        return Fused(self.mix(self.joint(tokens_NMD, present_NM)), _even_shares(present_NM))


FUSIONS: dict[str, type[nn.Module]] = {
    "concat": ConcatFusion,
    "weighted-sum": WeightedSumFusion,
    "multiplicative": MultiplicativeFusion,
    "attention": AttentionFusion,
    "self-attention": SelfAttentionFusion,
    "self-attention-as-printed": PrintedSelfAttentionFusion,
}


def fusion(name: str, *, num_modalities: int, width: int) -> nn.Module:
    """The variant of that name; NotFoundError names those that exist."""
    try:
        variant = FUSIONS[name]
    except KeyError:
        raise NotFoundError(f"fusion {name!r} does not exist; known: {', '.join(sorted(FUSIONS))}") from None
    return variant(num_modalities, width)


def apply_fusion(module: nn.Module, tokens_NMD: Tensor, present_NM: Tensor) -> Fused:
    """Call a fusion module; exists because nn.Module calls are untyped."""
    return cast("Fused", module(tokens_NMD, present_NM))
