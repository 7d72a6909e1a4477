"""What both printed forms of S3's model share: content in two slots, pairs of user and item, and how they are fitted.

    L = mean over pairs of  (s - S_ui)^2        Adam

The paper does not say whether cells of the scoring matrix without an event are learned from. Here each step takes pairs
that have events, and for each of them `zeros_per_pair` pairs of the same user and an item drawn evenly, with the S that
they have, which is mostly 0; with none, a score says how much those who touched an item did so, and not how many.
What a user scored goes in without the pair's own item: it would tell the answer.

Axes: U users, I items, N rows, X an encoder's width, H hidden numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from mmrec.errors import SettingError
from mmrec.evaluation.interactions import BoolArray, Float32Array, FloatArray, IntArray, ItemFeatures
from mmrec.models.printed_heads import PRINTED_DIM
from mmrec.models.printed_ranker import NUM_HEADS, PRINTED_HIDDEN, PrintedContent, PrintedScore
from mmrec.wire.declared import AtLeastOne, Count, Positive
from mmrec.zoo.history_matrix import Sparse
from mmrec.zoo.s3_scores import ScoreOptions

SLOTS = ("text", "image")
"""The two modalities of the paper; others, and attributes, are not read."""
_AT_A_TIME = 1_024


@dataclass(frozen=True, kw_only=True)
class PrintedOptions(ScoreOptions):
    """The score that is learned, sizes as printed, and how it is learned."""

    head_dim: AtLeastOne = PRINTED_DIM
    """Numbers per modality."""
    hidden_dim: AtLeastOne = PRINTED_HIDDEN
    learning_rate: Positive = 0.001
    num_steps: AtLeastOne = 200
    batch_pairs: AtLeastOne = 64
    zeros_per_pair: Count = 1

    def check_heads(self, table: str) -> None:
        """SettingError where heads do not divide what they attend with."""
        if 2 * self.head_dim % NUM_HEADS:
            what = (
                f"is {self.head_dim}; give a multiple of {NUM_HEADS // 2}, since {NUM_HEADS} heads share twice as many"
            )
            raise SettingError((table, "head_dim"), what)


@dataclass(frozen=True, kw_only=True, eq=False)
class Slots:
    """Content of rows in the paper's two slots.

    Vectors are scaled so that their numbers have a root mean square of 1, about as those of the paper's encoders: unit
    vectors of hundreds of numbers would leave the network linear for most of its steps.
    """

    text_NX: Float32Array
    image_NX: Float32Array
    present_N2: BoolArray

    @classmethod
    def of(cls, items: ItemFeatures) -> "Slots":
        """Of all items; a modality that is not there is a column of zeros that nobody has."""
        absent = np.zeros((items.num_items, 1), dtype=np.float32)
        nobody = np.zeros(items.num_items, dtype=np.bool_)
        present = [items.present.get(name, nobody) for name in SLOTS]
        pairs = zip(SLOTS, present, strict=True)
        text_NX, image_NX = (_scaled(items.vectors.get(name, absent), has_I) for name, has_I in pairs)
        return cls(text_NX=text_NX, image_NX=image_NX, present_N2=np.stack(present, axis=1))

    def take(self, rows: IntArray | slice) -> "Slots":
        """Some rows."""
        return Slots(text_NX=self.text_NX[rows], image_NX=self.image_NX[rows], present_N2=self.present_N2[rows])

    def sums(self, shares_NI: Sparse) -> tuple[Float32Array, Float32Array, FloatArray]:
        """Sums of items' texts and images by share, and of the shares of items that have them; rows of shares_NI."""
        weights = shares_NI.astype(np.float32)
        return weights @ self.text_NX, weights @ self.image_NX, shares_NI @ self.present_N2.astype(np.float64)

    @classmethod
    def means(cls, texts_NX: Float32Array, images_NX: Float32Array, sums_N2: FloatArray) -> "Slots":
        """Mean content of what sums() gives; less than a millionth of a user's score counts as none, being rounding."""
        present_N2 = sums_N2 > 1e-6
        whole_N2 = np.where(present_N2, sums_N2, 1.0)
        return cls(
            text_NX=(texts_NX / whole_N2[:, :1]).astype(np.float32),
            image_NX=(images_NX / whole_N2[:, 1:]).astype(np.float32),
            present_N2=present_N2,
        )


def _scaled(vectors_IX: Float32Array, has_I: BoolArray) -> Float32Array:
    """Zeros where there is none, the others with a root mean square of 1."""
    size = float(np.sqrt(np.square(vectors_IX[has_I], dtype=np.float64).mean())) if has_I.any() else 0.0
    return np.where(has_I[:, None], vectors_IX / (size or 1.0), 0.0).astype(np.float32)


class PrintedNetwork(nn.Module):
    """Content in two slots to scores, of items alone or of users and items.

    Args:
        slots: Of all items; their widths are those of the network.
        with_user: Whether what a user scored goes in.
    """

    def __init__(self, slots: Slots, options: PrintedOptions, *, with_user: bool) -> None:
        super().__init__()
        text_dim, image_dim = slots.text_NX.shape[1], slots.image_NX.shape[1]
        self.content = PrintedContent(text_dim=text_dim, image_dim=image_dim, head_dim=options.head_dim)
        self.ranker = PrintedScore(2 * options.head_dim, with_user=with_user, hidden_dim=options.hidden_dim)

    @classmethod
    def drawn(cls, slots: Slots, options: PrintedOptions, *, with_user: bool, seed: int) -> "PrintedNetwork":
        """Before its first step, drawn with a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(slots, options, with_user=with_user)

    def of_items(self, rows: Slots) -> Tensor:
        """First layer of items by their content, (N, H)."""
        found: Tensor = self.ranker.of_item(self._fused(rows))
        return found

    def of_users(self, rows: Slots) -> Tensor:
        """First layer of users by the content of what they scored, (N, H)."""
        assert self.ranker.of_user is not None
        found: Tensor = self.ranker.of_user(self._fused(rows))
        return found

    def forward(self, items_NH: Tensor, users_NH: Tensor | None = None) -> Tensor:
        """Scores; rows broadcast."""
        scores: Tensor = self.ranker(items_NH, users_NH)
        return scores

    def _fused(self, slots: Slots) -> Tensor:
        given = (slots.text_NX, slots.image_NX, slots.present_N2)
        found: Tensor = self.content(*(torch.from_numpy(each) for each in given))
        return found


def in_parts(of: Callable[[Slots], Tensor], slots: Slots) -> Tensor:
    """of() of all rows, some at a time."""
    starts = range(0, max(len(slots.present_N2), 1), _AT_A_TIME)
    return torch.cat([of(slots.take(slice(start, start + _AT_A_TIME))) for start in starts])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Users and items, row by row."""

    users_N: IntArray
    items_N: IntArray
    scores_N: FloatArray
    """S of each."""

    @classmethod
    def of(cls, scores_UI: Sparse) -> "Pairs":
        """All that have an event, by user and item."""
        cells = scores_UI.tocoo()
        users, items = cells.row.astype(np.int64), cells.col.astype(np.int64)
        order = np.lexsort((items, users))
        return cls(users_N=users[order], items_N=items[order], scores_N=cells.data[order])

    def drawn(self, options: PrintedOptions, *, num_items: int, generator: np.random.Generator) -> "Pairs":
        """Some of these, each followed by pairs of its user and any item, with the S that they have."""
        chosen = generator.integers(0, len(self.users_N), options.batch_pairs)
        users = np.repeat(self.users_N[chosen], 1 + options.zeros_per_pair)
        items = generator.integers(0, num_items, len(users))
        items[:: 1 + options.zeros_per_pair] = self.items_N[chosen]
        wanted, there = users * num_items + items, self.users_N * num_items + self.items_N
        place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        scores = np.where(there[place] == wanted, self.scores_N[place], 0.0)
        return Pairs(users_N=users, items_N=items, scores_N=scores)


def row_shares(scores_NI: Sparse) -> tuple[Sparse, FloatArray]:
    """Scores over their row's sum, and those sums, shape (N,): 1 where a row is empty."""
    totals_N = np.asarray(scores_NI.sum(axis=1), dtype=np.float64).ravel()
    totals_N = np.where(totals_N > 0, totals_N, 1.0)
    shares: Sparse = (sparse.diags_array(1.0 / totals_N) @ scores_NI).tocsr()
    return shares, totals_N


def train(
    network: PrintedNetwork,
    score: Callable[[Pairs], Tensor],
    scores_UI: Sparse,
    options: PrintedOptions,
    *,
    seed: int,
) -> list[tuple[float, float]]:
    """Fit in place; (step, loss) in order, nothing where there is no event.

    Args:
        score: Of pairs, shape (N,), with gradients for the network's parameters.
        scores_UI: What is learned.
    """
    curve: list[tuple[float, float]] = []
    everything = Pairs.of(scores_UI)
    if not len(everything.users_N):
        return curve
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    generator = np.random.default_rng(seed)
    for step in range(1, options.num_steps + 1):
        pairs = everything.drawn(options, num_items=scores_UI.shape[1], generator=generator)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.mse_loss(score(pairs), torch.from_numpy(pairs.scores_N.astype(np.float32)))
        torch.autograd.backward(loss)
        optimizer.step()
        curve.append((float(step), float(loss.detach())))
    return curve
