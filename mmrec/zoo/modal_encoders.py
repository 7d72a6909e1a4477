"""Each kind of an item's content as a vector of one size, as multimodal graph models read it (METHODS M36).

    e_mi = norm(W_m x_mi)         x: mmrec.zoo.content_inputs of kind m;  0 where the item has none of it

Axes: M kinds of content, I items, C content, D numbers of an embedding, X any items.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.evaluation.interactions import Float32Array


class ModalEncoders(nn.Module):
    """A linear map per kind."""

    def __init__(self, inputs: Mapping[str, Float32Array], *, embedding_dim: int) -> None:
        super().__init__()
        self.names = tuple(inputs)
        self.inputs = [torch.from_numpy(rows_IC) for rows_IC in inputs.values()]
        self.is_there_MI = [torch.from_numpy(np.any(rows_IC != 0, axis=1)) for rows_IC in inputs.values()]
        maps = [nn.Linear(rows_IC.shape[1], embedding_dim, bias=False) for rows_IC in self.inputs]
        self.maps = nn.ModuleList(maps)

    def forward(self) -> list[Tensor]:
        """e_m of all items, shape (I, D), per kind."""
        found = (encoder(rows_IC) for encoder, rows_IC in zip(self.maps, self.inputs, strict=True))
        return [functional.normalize(each_ID, dim=1) for each_ID in found]

    def mean(self, encoded: Sequence[Tensor]) -> Tensor:
        """Mean over the kinds that an item has, shape (I, D); 0 where it has none.

        Args:
            encoded: As forward() gives it, one kind at least.
        """
        num_I = torch.stack(self.is_there_MI).sum(dim=0).clamp(min=1)
        return torch.stack(list(encoded)).sum(dim=0) / num_I[:, None]
