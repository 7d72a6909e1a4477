"""The network of SASRec: causal self-attention over the items of a user, all positions at once (METHODS M36).

    h_0 = dropout(sqrt(D) * v_item + p_place)
    a   = norm(h) + dropout(attention(query norm(h), keys and values h, causal))
    h'  = n + dropout(W2 dropout(relu(W1 n))),   n = norm(a)                           (Kang and McAuley, ICDM 2018)

The last h, normalized, is the user; its product with v_i is item i's score. Places are counted from the end of a
history, as padding on the left does it; rows are padded on the right, where nothing looks at them, so that a batch is
as long as its longest history and no longer.

Axes: N sequences, L places, D numbers of a vector, I items.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """One round of attention, then one step by place."""

    def __init__(self, embedding_dim: int, *, num_heads: int, dropout: float) -> None:
        super().__init__()
        self._num_heads, self._dropout = num_heads, dropout
        self.query_norm, self.step_norm = nn.LayerNorm(embedding_dim), nn.LayerNorm(embedding_dim)
        self.query = nn.Linear(embedding_dim, embedding_dim)
        self.key_value = nn.Linear(embedding_dim, 2 * embedding_dim)
        self.out = nn.Linear(embedding_dim, embedding_dim)
        self.first, self.second = nn.Linear(embedding_dim, embedding_dim), nn.Linear(embedding_dim, embedding_dim)

    def forward(self, hidden_NLD: Tensor) -> Tensor:
        """Of the same shape; place l sees places up to l."""
        normal_NLD = self.query_norm(hidden_NLD)
        query, key, value = (
            each.unflatten(-1, (self._num_heads, -1)).transpose(1, 2)
            for each in (self.query(normal_NLD), *self.key_value(hidden_NLD).chunk(2, dim=-1))
        )
        dropout = self._dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        normal_NLD = self.step_norm(normal_NLD + self._dropped(self.out(seen.transpose(1, 2).flatten(-2))))
        step_NLD = self.second(self._dropped(functional.relu(self.first(normal_NLD))))
        out_NLD: Tensor = normal_NLD + self._dropped(step_NLD)
        return out_NLD

    def _dropped(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self._dropout, self.training)


class SASRecNetwork(nn.Module):
    """Items and places to users."""

    def __init__(
        self, num_items: int, *, embedding_dim: int, num_blocks: int, num_heads: int, max_length: int, dropout: float
    ) -> None:
        super().__init__()
        self._scale, self._dropout, self._max_length = math.sqrt(embedding_dim), dropout, max_length
        self.items = nn.Embedding(num_items, embedding_dim)
        self.places = nn.Embedding(max_length, embedding_dim)
        blocks = [Block(embedding_dim, num_heads=num_heads, dropout=dropout) for _ in range(num_blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.last_norm = nn.LayerNorm(embedding_dim)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=1.0 / self._scale)

    def forward(self, rows_NL: Tensor, lengths_N: Tensor) -> Tensor:
        """The user after each place, shape (N, L, D); what stands behind a sequence's end means nothing.

        Args:
            rows_NL: Item rows, oldest first, padded on the right with any row.
            lengths_N: Items of each sequence, at most max_length.
        """
        place_NL = torch.arange(rows_NL.shape[1]) + (self._max_length - lengths_N)[:, None]
        place_NL = place_NL.clamp(max=self._max_length - 1)
        hidden_NLD = self.items(rows_NL) * self._scale + self.places(place_NL)
        hidden_NLD = functional.dropout(hidden_NLD, self._dropout, self.training)
        for block in self.blocks:
            hidden_NLD = block(hidden_NLD)
        last_NLD: Tensor = self.last_norm(hidden_NLD)
        return last_NLD
