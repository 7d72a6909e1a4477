"""The ranking network as paper S3 prints it (METHODS M25): fused content -> 256 -> one score, fitted to S[u,i] by MSE.

    f = attention([relu(Wt t); W2 gelu(W1 v)])        one token of 600 through 8 heads: a linear map (M18)
    s = w . relu(A f + b) + c                         item only: the same score for everybody
    s = w . relu(A f + G u + b) + c                   with the user: u is f of the mean content that the user scored

Axes: N rows, X an encoder's width, F numbers of fused content (600 as printed), H hidden numbers (256 as printed).
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.models.fusion import PrintedSelfAttentionFusion
from mmrec.models.printed_heads import PRINTED_DIM, PrintedImageHead, PrintedTextHead

PRINTED_HIDDEN: Final = 256
NUM_HEADS: Final = 8


class PrintedContent(nn.Module):
    """Text and image as one fused vector.

    Args:
        text_dim: X of texts; an encoder that is not there counts as one number that is never present.
        image_dim: X of images.
        head_dim: Numbers per modality; twice as many are divided among 8 heads.
    """

    def __init__(self, *, text_dim: int, image_dim: int, head_dim: int = PRINTED_DIM) -> None:
        super().__init__()
        self.text = PrintedTextHead(text_dim, output_dim=head_dim)
        self.image = PrintedImageHead(image_dim, output_dim=head_dim)
        self.fusion = PrintedSelfAttentionFusion(2, head_dim, num_heads=NUM_HEADS)

    def forward(self, text_NX: Tensor, image_NX: Tensor, present_N2: Tensor) -> Tensor:
        """Fused content, (N, F); the same for all rows without content."""
        return self.fusion.joint(torch.stack([self.text(text_NX), self.image(image_NX)], dim=1), present_N2)


class PrintedScore(nn.Module):
    """Two layers on fused content, of the item alone or of item and user.

    Args:
        fused_dim: F.
        with_user: Whether rows have a user.
    """

    def __init__(self, fused_dim: int, *, with_user: bool, hidden_dim: int = PRINTED_HIDDEN) -> None:
        super().__init__()
        self.of_item = nn.Linear(fused_dim, hidden_dim)
        self.of_user = nn.Linear(fused_dim, hidden_dim, bias=False) if with_user else None
        self.last = nn.Linear(hidden_dim, 1)

    def forward(self, items_NH: Tensor, users_NH: Tensor | None = None) -> Tensor:
        """Scores of rows that of_item and of_user have made, any shape before the last axis, which goes."""
        hidden = functional.relu(items_NH if users_NH is None else items_NH + users_NH)
        scores: Tensor = self.last(hidden)
        return scores.squeeze(-1)
