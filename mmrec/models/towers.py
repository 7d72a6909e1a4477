"""Item tower and user tower: content and history -> unit vectors whose inner product is a cosine.

    item:  v = norm( W2 gelu(W1 fuse(P_m (x_m - mean_m))) + n / (n + k) * id )    P_m: principal components, fitted once
                                                                                  n: labels of the item in training
    user:  u = norm( sum_heads  sum_l a_l v_l  +  MLP(pooled tokens) )  over the newest L events, oldest first

Item vectors of the history are the item tower's own, so the user tower knows new items as soon as they are embedded.
Axes: I items, M modalities, N batch, L history, D embedding, P projected width.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmrec.models.fusion import Fused, apply_fusion, fusion, shown_only
from mmrec.models.printed_heads import PrintedImageHead, PrintedTextHead
from mmrec.models.settings import TowerSettings

AGE_EDGES_S = np.array(
    [60.0, 600.0, 3_600.0, 4 * 3_600.0, 86_400.0, 3 * 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 180 * 86_400.0]
)
"""Ages of events fall between these; an embedding per bin."""
LEAST_NORM = 1e-6
"""A vector that is no longer than this has no direction."""
HASH_FACTORS = (0x7FEB352D, 0x846CA68B)
"""Odd, with half of their bits set: each makes another hash of an id."""
NEW_ID_DEVIATION = 0.02
"""Of the entries of an id vector that begins at random."""


def unit(vectors_ND: Tensor) -> Tensor:
    """Rows of length 1; zeros, and no gradient, where a row has no direction: it would be as steep as the row is short.

    A row that holds a NaN stays one.
    """
    norms_N1: Tensor = torch.linalg.vector_norm(vectors_ND, dim=-1, keepdim=True)
    short_N1 = norms_N1 <= LEAST_NORM
    return (vectors_ND / norms_N1.masked_fill(short_N1, 1.0)).masked_fill(short_N1, 0.0)


class Projection(nn.Module):
    """Centering and principal components of one modality, fitted on the catalogue and frozen."""

    mean_X: Tensor
    components_XP: Tensor

    def __init__(self, input_dim: int, projected_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean_X", torch.zeros(input_dim))
        self.register_buffer("components_XP", torch.zeros(input_dim, projected_dim))

    def forward(self, values_IX: Tensor) -> Tensor:
        return (values_IX - self.mean_X) @ self.components_XP

    def fit(self, values_IX: npt.NDArray[np.float32]) -> None:
        """Principal components, scaled so that the projected rows have unit norm on average.

        Half-whitened (division by the square root of the standard deviation): whitening fully would make noise of the
        last components as loud as the first.
        """
        projected_dim = self.components_XP.shape[1]
        if not len(values_IX):
            return
        mean = values_IX.mean(0)
        centered = (values_IX - mean).astype(np.float64)
        variances, directions = np.linalg.eigh(centered.T @ centered / len(centered))
        order = np.argsort(-variances)[:projected_dim]
        variances = np.maximum(variances[order], 0.0)
        # Signs of eigenvectors are arbitrary; the largest entry is made positive, so that fits repeat.
        chosen = directions[:, order]
        chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(0), np.arange(chosen.shape[1])])
        useful = variances > max(variances.max(initial=0.0) * 1e-8, 1e-12)
        scale = np.where(useful, np.maximum(variances, 1e-12) ** -0.25, 0.0)
        total = float(np.sqrt((np.sqrt(variances) * useful).sum())) or 1.0
        components = np.zeros(self.components_XP.shape)
        components[:, : len(order)] = chosen * scale / total
        self.mean_X.copy_(torch.from_numpy(mean))
        self.components_XP.copy_(torch.from_numpy(components.astype(np.float32)))


class ItemTower(nn.Module):
    """Content of several modalities, and the id of a known item, to a unit vector."""

    id_shares_I: Tensor
    kept_ids_ID: Tensor | None

    def __init__(self, settings: TowerSettings, *, content_dims: Mapping[str, int], num_ids: int) -> None:
        super().__init__()
        self.settings = settings
        self.modalities: tuple[str, ...] = tuple(sorted(content_dims))
        width = settings.hidden_dim
        self.projections = nn.ModuleDict(
            {name: Projection(content_dims[name], settings.projected_dim) for name in self.modalities}
        )
        self.lifts = nn.ModuleDict({name: _lift(name, settings) for name in self.modalities})
        self.fusion = fusion(settings.fusion, num_modalities=max(1, len(self.modalities)), width=width)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(settings.dropout))
        self.out = nn.Linear(width, settings.embedding_dim)
        # The last row stands for items the model has not met (id num_ids); it stays zero.
        self.num_ids, num_rows = num_ids, settings.id_buckets or num_ids
        self.ids = nn.Embedding(num_rows + 1, settings.embedding_dim, padding_idx=num_rows)
        nn.init.zeros_(self.ids.weight)
        # Saved only where items share rows: else settled_ids() writes them into the table, all that serving needs.
        self.register_buffer("id_shares_I", torch.ones(num_ids + 1), persistent=settings.id_buckets > 0)
        # What ids were before this training began, where it goes on from a model; settled_ids() adds it to the table.
        self.register_buffer("kept_ids_ID", None, persistent=False)

    def begin_ids(self, present_IM: Tensor, *, seed: int) -> None:
        """Let ids of items without any modality begin at random: such an item is its id alone, and 0 points nowhere.

        All others begin at 0: what content says is where learning starts.

        Args:
            present_IM: By id.
        """
        rows = torch.unique(self.id_rows(torch.nonzero(~present_IM.any(1)).squeeze(1)))
        drawn = torch.randn(len(rows), self.ids.embedding_dim, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.ids.weight[rows] = NEW_ID_DEVIATION * drawn.to(self.ids.weight)

    def keep_ids(self, vectors_ID: Tensor) -> None:
        """Let ids go on from what they were: that stays as it is, and what is learned is added to it.

        So an id counts by what is known of it now, and that of an item without new labels does not move.

        Args:
            vectors_ID: What settled_ids() left of each id, zeros for new items, shape (num_ids, D).

        Raises:
            ValueError: ids share rows by hash, so that none has a vector of its own.
        """
        if self.settings.id_buckets:
            raise ValueError(f"ids share {self.settings.id_buckets} rows; only ids with a row of their own are kept")
        padding_1D = vectors_ID.new_zeros(1, vectors_ID.shape[1])
        self.kept_ids_ID = torch.cat([vectors_ID, padding_1D]).to(self.ids.weight)
        with torch.no_grad():  # what begins at random is new
            self.ids.weight[: self.num_ids][vectors_ID.any(dim=1)] = 0.0

    def id_rows(self, ids_I: Tensor) -> Tensor:
        """Rows of the table whose sum is the vector of each id, (I, 1); with `id_buckets` (I, 2), by two hashes.

        That two items share both rows is as rare as sharing one of `id_buckets` squared.
        """
        num_rows = self.settings.id_buckets
        if not num_rows:
            return ids_I[:, None]
        hashed = torch.stack([_mixed(ids_I + 1, factor) for factor in HASH_FACTORS], dim=1) % num_rows
        return torch.where(ids_I[:, None] == self.num_ids, num_rows, hashed)

    def trust_ids(self, label_counts_I: npt.NDArray[np.int64]) -> None:
        """Let each id count by what is known of its item: n / (n + id_shrinkage), 0 for an item without labels.

        Such an item is only ever wrong in training; its id would learn nothing but to stay away from everybody.

        Args:
            label_counts_I: n, labels that training draws from, by id.
        """
        counts_I = torch.from_numpy(label_counts_I.astype(np.float32))
        shares_I = counts_I / (counts_I + self.settings.id_shrinkage).clamp(min=1e-9)
        self.id_shares_I[: len(shares_I)] = shares_I.to(self.id_shares_I.device)

    def settled_ids(self) -> "ItemTower":
        """A copy that gives the same vectors from what is saved of it."""
        copied = copy.deepcopy(self)
        if self.settings.id_buckets:
            return copied
        with torch.no_grad():
            copied.ids.weight *= copied.id_shares_I.unsqueeze(1)
            copied.id_shares_I.fill_(1.0)
            if copied.kept_ids_ID is not None:
                copied.ids.weight += copied.kept_ids_ID
                copied.kept_ids_ID = None
        return copied

    def project(self, values: Mapping[str, Tensor]) -> Tensor:
        """Raw content, modality -> (I, X_m), to (I, M, P); frozen, so training computes it once."""
        projected = [self.projections[name](values[name]) for name in self.modalities]
        return torch.stack(projected, dim=1)

    def tokens(self, projected_IMP: Tensor) -> Tensor:
        """One token per modality, (I, M, hidden)."""
        lifted = [self.lifts[name](projected_IMP[:, m]) for m, name in enumerate(self.modalities)]
        return torch.stack(lifted, dim=1)

    def fuse(self, projected_IMP: Tensor, present_IM: Tensor) -> Fused:
        """Fused content; in training some modalities of some items are hidden, never all of an item."""
        if self.training and self.settings.modality_dropout > 0:
            hidden = torch.rand(present_IM.shape, device=present_IM.device) < self.settings.modality_dropout
            kept = present_IM & ~hidden
            present_IM = torch.where(kept.any(1, keepdim=True), kept, present_IM)
        # Before the lifts, too: a gradient of zero times a NaN input would be a NaN weight.
        return apply_fusion(self.fusion, self.tokens(shown_only(projected_IMP, present_IM)), present_IM)

    def forward(self, projected_IMP: Tensor, present_IM: Tensor, ids_I: Tensor) -> Tensor:
        """Unit vectors, (I, D); zeros for an item without any modality whose id says nothing either."""
        vectors = self.out(self.head(self.fuse(projected_IMP, present_IM).vector_ND)).float()
        # An item without any modality is its id vector alone.
        vectors = vectors * present_IM.any(1, keepdim=True)
        if self.settings.use_ids:
            known = self.ids(self.id_rows(ids_I)).sum(1) * self.id_shares_I[ids_I].unsqueeze(1)
            if self.kept_ids_ID is not None:
                known = known + self.kept_ids_ID[ids_I]
            if self.training and self.settings.id_dropout > 0:
                known = known * (torch.rand(len(ids_I), 1, device=known.device) >= self.settings.id_dropout)
            vectors = vectors + known
        return unit(vectors)


def _mixed(ids_I: Tensor, factor: int) -> Tensor:
    """A hash of 32 bits of each id; the same everywhere, since a saved table depends on it."""
    for _ in range(2):
        ids_I = ((ids_I ^ (ids_I >> 16)) * factor) & 0xFFFFFFFF
    return ids_I ^ (ids_I >> 16)


def _lift(modality: str, settings: TowerSettings) -> nn.Module:
    match settings.lifts, modality:
        case "printed", "image":
            return PrintedImageHead(settings.projected_dim, output_dim=settings.hidden_dim)
        case "printed", "text":
            return PrintedTextHead(settings.projected_dim, output_dim=settings.hidden_dim)
    return nn.Linear(settings.projected_dim, settings.hidden_dim)


class UserTower(nn.Module):
    """The newest events, as item vector + behavior + age, to a unit vector."""

    def __init__(self, settings: TowerSettings, *, num_behaviors: int, num_heads: int = 4) -> None:
        super().__init__()
        width = settings.embedding_dim
        self.max_history = settings.max_history
        # Row num_behaviors stands for a behavior the model has not met.
        self.behaviors = nn.Embedding(num_behaviors + 1, width)
        self.ages = nn.Embedding(len(AGE_EDGES_S) + 1, width)
        self.orders = nn.Embedding(settings.max_history, width)
        for table in (self.behaviors, self.ages, self.orders):
            nn.init.normal_(table.weight, std=0.02)
        self.look = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, num_heads))
        self.deep = nn.Sequential(
            nn.Linear(num_heads * width, settings.hidden_dim),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden_dim, width),
        )
        # Starts as plain attention pooling: the deep part is learned on top of it.
        nn.init.zeros_(self.deep[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.deep[-1].bias)  # type: ignore[arg-type]

    def forward(self, items_NLD: Tensor, behaviors_NL: Tensor, age_bins_NL: Tensor, valid_NL: Tensor) -> Tensor:
        """Unit vectors, (N, D); zeros for a history that is empty or says nothing.

        Args:
            items_NLD: Item vectors, oldest first, right-aligned: the newest event is at L - 1.
            behaviors_NL: Rows of the behavior table.
            age_bins_NL: Rows of the age table.
            valid_NL: False where the history is shorter.
        """
        length = items_NLD.shape[1]
        orders = torch.arange(length - 1, -1, -1, device=items_NLD.device)
        tokens = items_NLD + self.behaviors(behaviors_NL) + self.ages(age_bins_NL) + self.orders(orders)
        scores = self.look(tokens).masked_fill(~valid_NL.unsqueeze(-1), -1e9)
        weights = torch.softmax(scores, dim=1) * valid_NL.unsqueeze(-1)
        pooled = torch.einsum("nlh,nld->nhd", weights, tokens)
        plain = torch.einsum("nlh,nld->nd", weights, items_NLD) / weights.shape[2]
        vectors = unit((plain + self.deep(pooled.flatten(1))).float())
        return vectors * valid_NL.any(1, keepdim=True)


def age_bins(ages_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Row of the age table for each age in seconds; negative ages count as none."""
    return AGE_EDGES_S.searchsorted(ages_s, side="right").astype(np.int64)


def behavior_rows(behavior_ids: npt.NDArray[np.uint8], known_ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """Row of the behavior table for each stable id; len(known_ids) for ids the model has not met."""
    table = np.full(256, len(known_ids), dtype=np.int64)
    table[np.asarray(known_ids, dtype=np.int64)] = np.arange(len(known_ids))
    return table[behavior_ids]
