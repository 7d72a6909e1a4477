"""The layers to 300 numbers of paper S3, trained with whatever uses them (METHODS M7, M9).

    image:  z = W2 gelu(W1 x)          x: global average of ResNet-50's last feature map, encoder "printed:..."
    text:   z = relu(Wt x)             x: alpha mean(h_first) + (1 - alpha) mean(h_last), encoder "first-last:..."

Axes: N inputs, X an encoder's width, Z the heads' 300.
"""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

PRINTED_DIM: Final = 300


class PrintedImageHead(nn.Module):
    """z = W2 gelu(W1 x). The paper gives no width between the layers; here it is `hidden_dim`.

    Args:
        input_dim: X, 2048 for ResNet-50.
        hidden_dim: Rows of W1.
    """

    def __init__(self, input_dim: int, *, hidden_dim: int = 512, output_dim: int = PRINTED_DIM) -> None:
        super().__init__()
        self.w1 = nn.Linear(input_dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, output_dim, bias=False)

    def forward(self, values_NX: Tensor) -> Tensor:
        """(N, X) to (N, Z)."""
        projected: Tensor = self.w2(functional.gelu(self.w1(values_NX)))
        return projected


class PrintedTextHead(nn.Module):
    """z = relu(Wt x).

    Args:
        input_dim: X, 768 for BERT.
    """

    def __init__(self, input_dim: int, *, output_dim: int = PRINTED_DIM) -> None:
        super().__init__()
        self.wt = nn.Linear(input_dim, output_dim, bias=False)

    def forward(self, values_NX: Tensor) -> Tensor:
        """(N, X) to (N, Z), all >= 0."""
        return functional.relu(self.wt(values_NX))
