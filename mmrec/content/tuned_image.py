"""EfficientNet-Lite0 in two halves, and a folder of one whose upper half was trained on (METHODS M10).

    lower, upper = split(network, num_upper=1)      upper(lower(pixels)) is the vector of the encoder efficientnet-lite0
    save_tuned(folder, network, notes)              an image encoder by folder: [content] image_encoder = "./folder"

Vectors of the lower half do not change while the upper one is trained: they are made once.
Axes: N pictures, C channels, H and W their sides, D embedding.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError

NOTES: Final = "tuned.json"
"""In the folder; without it a folder is one of the library transformers."""
WEIGHTS: Final = "efficientnet-lite0.safetensors"


class Lower(nn.Module):
    """Everything before the last blocks."""

    def __init__(self, network: Any, *, num_upper: int) -> None:
        super().__init__()
        self._network = network
        self._blocks = list(network._blocks)[: len(network._blocks) - num_upper]

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """What the upper half reads, shape (N, C, H, W).

        Args:
            pixels_NCHW: Pictures of 224 x 224, from 0 to 255.
        """
        network = self._network
        x = network._swish(network._bn0(network._conv_stem((pixels_NCHW.float() - 127.0) / 128.0)))
        for block in self._blocks:
            x = block(x)
        return x  # type: ignore[no-any-return]


class Upper(nn.Module):
    """The last blocks and the widening layer; statistics of batch norms stay as they are, whatever the mode."""

    def __init__(self, network: Any, *, num_upper: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(list(network._blocks)[len(network._blocks) - num_upper :])
        self.widening, self.norm, self._swish = network._conv_head, network._bn1, network._swish

    def train(self, mode: bool = True) -> "Upper":
        """Batch norms stay in eval mode: batches of a small catalogue would spoil what ImageNet taught them."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Embeddings, shape (N, D)."""
        for block in self.blocks:
            x_NCHW = block(x_NCHW)
        return self._swish(self.norm(self.widening(x_NCHW))).mean((2, 3))  # type: ignore[no-any-return]


def split(network: Any, *, num_upper: int) -> tuple[Lower, Upper]:
    """Both halves of an EfficientNet; they share its weights."""
    return Lower(network, num_upper=num_upper), Upper(network, num_upper=num_upper)


def save_tuned(folder: Path, network: Any, notes: Mapping[str, Any]) -> None:
    """Write an encoder's folder, what makes it one last."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}, str(folder / WEIGHTS))
    replace_file(folder / NOTES, json.dumps({"network": "efficientnet-lite0", **notes}, indent=1))


def is_tuned(folder: Path) -> bool:
    """Whether save_tuned() wrote a folder."""
    return (folder / NOTES).is_file()


def load_tuned(folder: Path, network: Any) -> None:
    """Give a network the folder's weights.

    Raises:
        InvalidRequestError: the folder is damaged.
    """
    try:
        network.load_state_dict(load_file(str(folder / WEIGHTS)))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InvalidRequestError(f"{folder} holds no fine-tuned efficientnet-lite0: {str(error)[:300]}") from None
