"""The towers of S3's strong model: a token per kind of content, users as what they scored, a head per behavior (M18).

    v_i   = unit( mean over present tokens of norm(x + attention(x)) )     tokens: modalities, attributes, id (M18)
    q_n   = unit( g long_n + (1 - g) recent_n + mlp([long_n; recent_n]) )  long, recent: weighted means of own v
    z_nib = cos(H_b q_n, v_i) / tau + popular_b p_i + own_b ln(1 + S_ni) + c_b      p: standardized log of counts

The id's token counts n / (n + shrinkage) with n events on the item (METHODS M24): without events it is not there, and
an item is what its content says. In training each token is missing with some chance, so that content alone will do.

Axes: N users, I items, M tokens, D width, B behaviors, A attribute values of all items one after the other.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.models.fusion import SelfAttentionFusion, apply_fusion
from mmrec.models.losses import Temperature

RARE: Final = -4.0
"""Where a head's constant begins: nearly no item is touched next. A softmax over items does not see it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemRows:
    """What towers know of some items."""

    vectors: tuple[Tensor, ...]
    """One per modality, (N, X)."""
    labels: tuple[Tensor, Tensor, Tensor] | None
    """Codes (A,), weights (A,) and where each item's begin (N,); None where no item has any."""
    rows_N: Tensor
    """Of the ids."""
    known_N: Tensor
    """n / (n + shrinkage)."""
    present_NM: Tensor


class Towers(nn.Module):
    """Items and users as unit vectors, and what else a head adds.

    Args:
        input_dims: X of each modality.
        num_labels: Attribute values there are; 0 for none.
        width: D.
        token_dropout: Chance that a token is missing in training.
    """

    def __init__(
        self,
        *,
        input_dims: tuple[int, ...],
        num_labels: int,
        num_items: int,
        num_behaviors: int,
        width: int,
        num_heads: int,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(dim, width, bias=False) for dim in input_dims)
        self.labels = nn.Embedding(num_labels, width) if num_labels else None
        self.ids = nn.Embedding(num_items, width)
        nn.init.zeros_(self.ids.weight)
        num_tokens = len(input_dims) + bool(num_labels) + 1
        self.fusion = SelfAttentionFusion(num_tokens, width, num_heads=num_heads)
        self.token_dropout = token_dropout
        self.gate = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
        self.heads_BDD = nn.Parameter(torch.eye(width).repeat(num_behaviors, 1, 1))
        self.temperature = Temperature(0.1)
        self.popular_B = nn.Parameter(torch.full((num_behaviors,), 0.5))
        self.own_B = nn.Parameter(torch.zeros(num_behaviors))
        self.bias_B = nn.Parameter(torch.full((num_behaviors,), RARE))
        with torch.no_grad():  # starts as likeness of content: what is learned is added to it
            self.mlp[-1].weight.mul_(0.1)  # type: ignore[operator]

    def items(self, given: ItemRows) -> Tensor:
        """Unit vectors, (N, D); zeros of items that nothing is known of."""
        tokens = [layer(values) for layer, values in zip(self.projections, given.vectors, strict=True)]
        if self.labels is not None and given.labels is not None:
            codes_A, weights_A, starts_N = given.labels
            tokens.append(
                functional.embedding_bag(
                    codes_A, self.labels.weight, starts_N, mode="sum", per_sample_weights=weights_A
                )
            )
        # index_select() adds gradients in order: the same seed gives the same bits.
        tokens.append(self.ids.weight.index_select(0, given.rows_N) * given.known_N[:, None])
        present_NM = self._kept(given.present_NM) if self.training else given.present_NM
        return functional.normalize(apply_fusion(self.fusion, torch.stack(tokens, dim=1), present_NM).vector_ND, dim=-1)

    def _kept(self, present_NM: Tensor) -> Tensor:
        """Some tokens less, never the last one of an item."""
        kept_NM = present_NM & (torch.rand(present_NM.shape) >= self.token_dropout)
        return torch.where(kept_NM.any(dim=1, keepdim=True), kept_NM, present_NM)

    def users(self, long_ND: Tensor, recent_ND: Tensor) -> Tensor:
        """Unit vectors, (N, D), one for all without history."""
        share = torch.sigmoid(self.gate)
        mixed = share * long_ND + (1.0 - share) * recent_ND + self.mlp(torch.cat([long_ND, recent_ND], dim=-1))
        return functional.normalize(mixed, dim=-1)

    def queries(self, users_ND: Tensor, behavior: int) -> Tensor:
        """Users as one head sees them, unit vectors."""
        return functional.normalize(users_ND @ self.heads_BDD[behavior], dim=-1)

    def added(self, popular_NI: Tensor, own_NI: Tensor, behavior: int) -> Tensor:
        """What a head knows of items beside their likeness, (N, I).

        Args:
            popular_NI: p of each item; (I,) where it is the same for all rows.
            own_NI: ln(1 + S).
        """
        known_NI = self.popular_B[behavior] * popular_NI + self.own_B[behavior] * own_NI
        return known_NI + self.bias_B[behavior]

    def logits(self, users_ND: Tensor, items_ID: Tensor, added_NI: Tensor, behavior: int) -> Tensor:
        """Of one behavior: z, (N, I)."""
        likeness_NI: Tensor = self.queries(users_ND, behavior) @ items_ID.T / self.temperature()
        return likeness_NI + added_NI
