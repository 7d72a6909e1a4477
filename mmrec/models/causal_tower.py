"""A user tower that reads a whole history at once: after every event, who the user is by then (METHODS M21).

    x_l    = v_l + behavior_l + gap_l                                       gap: since the event before, in bins
    x_l   <- x_l + attention(norm x)_l                                      as often as there are blocks
    x_l   <- x_l + W2 gelu(W1 norm x_l)
    mean_l = sum over j <= l of  softmax_j( b_j - p (l - j) - r log(1 + (read_l - t_j) / hour) )  v_j
    u_l    = norm( mean_l + W norm(x_l + since_l) )                         since: read_l - t_l, in bins

Attention of head h from l to j <= l: q_l . k_j / sqrt(d) + place_h(l - j) - rate_h log(1 + (t_l - t_j) / hour). Only
distances tell places apart, so that a history says the same wherever it stands. u_l knows the events up to l and
read_l, the instant it is asked at; thus one pass over a history trains all its labels, and gives for each of them what
serving would have given then (Kang and McAuley, ICDM 2018; distances instead of places: Press et al., ICLR 2022; time
beside them: Zhai et al., ICML 2024). W begins at 0: until something is learned, the user is the decayed mean.

Axes: N histories, L events of the longest one, H heads, D embedding, B behaviors.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmrec.models.settings import TowerSettings
from mmrec.models.towers import AGE_EDGES_S, UserTower, unit

HOUR_S = 3_600.0
NUM_HEADS = 2
NO_GAP = len(AGE_EDGES_S) + 1
"""Row of the gap table for an event without one before it."""
PLACE_RATE, TIME_RATE = 0.5, 0.1
"""Where the decay of the mean begins: .6 per place, as neighbors do best on Amazon Beauty, and a little by time."""


def decay_logs(ages_s: Tensor) -> Tensor:
    """log(1 + hours) of ages in seconds; ages below 0 count as 0."""
    return torch.log1p(ages_s.clamp(min=0.0) / HOUR_S)


def before_softplus(rate: float) -> float:
    """What softplus makes `rate` of."""
    return math.log(math.expm1(rate))


class CausalBlock(nn.Module):
    """Attention to what came before, then one step by place."""

    def __init__(self, width: int, hidden_dim: int, *, max_history: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention_norm, self.step_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.places_HL = nn.Parameter(torch.zeros(NUM_HEADS, max_history))
        self.rates_H = nn.Parameter(torch.full((NUM_HEADS,), before_softplus(TIME_RATE)))
        self.first, self.second = nn.Linear(width, hidden_dim), nn.Linear(hidden_dim, width)

    def forward(self, hidden_NLD: Tensor, away_LL: Tensor, later_LL: Tensor, gaps_NLL: Tensor) -> Tensor:
        """Of the same shape.

        Args:
            hidden_NLD: One vector per event.
            away_LL: Places from the event of a row back to that of a column, 0 for later ones.
            later_LL: Whether the event of a column is later.
            gaps_NLL: log(1 + hours) between them.
        """
        parts = self.query_key_value(self.attention_norm(hidden_NLD)).unflatten(-1, (3, NUM_HEADS, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
        rates = functional.softplus(self.rates_H)[:, None, None]
        scores = (scores + self.places_HL[:, away_LL] - rates * gaps_NLL[:, None]).masked_fill(later_LL, -torch.inf)
        seen = self.dropout(torch.softmax(scores, dim=-1).to(value.dtype)) @ value
        hidden_NLD = hidden_NLD + self.dropout(self.out(seen.transpose(1, 2).flatten(-2)))
        step = self.second(functional.gelu(self.first(self.step_norm(hidden_NLD))))
        out: Tensor = hidden_NLD + self.dropout(step)
        return out


class DecayedMean(nn.Module):
    """Mean of item vectors that counts what is long ago, or far back, for less; the rates are learned."""

    def __init__(self, num_behaviors: int) -> None:
        super().__init__()
        self.behaviors_B = nn.Parameter(torch.zeros(num_behaviors + 1))
        self.place_rate = nn.Parameter(torch.tensor(before_softplus(PLACE_RATE)))
        self.time_rate = nn.Parameter(torch.tensor(before_softplus(TIME_RATE)))

    def forward(
        self, items_NLD: Tensor, behaviors_NL: Tensor, away_LL: Tensor, later_LL: Tensor, ages_NLL: Tensor
    ) -> Tensor:
        """Mean up to each event, (N, L, D); axes of the (L, L) arguments as in CausalBlock."""
        places, times = functional.softplus(self.place_rate) * away_LL, functional.softplus(self.time_rate) * ages_NLL
        weights = (self.behaviors_B[behaviors_NL][:, None] - places - times).masked_fill(later_LL, -torch.inf)
        return torch.softmax(weights, dim=-1) @ items_NLD.float()


class CausalUserTower(nn.Module):
    """The newest events, oldest first, to a unit vector after each of them."""

    edges_s: Tensor

    def __init__(self, settings: TowerSettings, *, num_behaviors: int) -> None:
        super().__init__()
        width, self.max_history = settings.embedding_dim, settings.max_history
        # The row after the last stands for a behavior the model has not met, and for an event without one before it.
        self.behaviors = nn.Embedding(num_behaviors + 1, width)
        self.gaps = nn.Embedding(len(AGE_EDGES_S) + 2, width)
        self.since = nn.Embedding(len(AGE_EDGES_S) + 1, width)
        for table in (self.behaviors, self.gaps, self.since):
            nn.init.normal_(table.weight, std=0.02)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            CausalBlock(width, settings.hidden_dim, max_history=settings.max_history, dropout=settings.dropout)
            for _ in range(settings.user_blocks)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.mean = DecayedMean(num_behaviors)
        self.register_buffer("edges_s", torch.from_numpy(AGE_EDGES_S.astype("float32")), persistent=False)

    def forward(self, items_NLD: Tensor, behaviors_NL: Tensor, ages_s_NL: Tensor, read_ages_s_NL: Tensor) -> Tensor:
        """Unit vectors, (N, L, D): of the user after each event; zeros where nothing was said by then.

        Args:
            items_NLD: Item vectors, oldest first; a shorter history is padded at its end, where nobody looks at it.
            behaviors_NL: Rows of the behavior table.
            ages_s_NL: Seconds from each event to one instant, the same for a whole history; they fall along it.
            read_ages_s_NL: Seconds from each event to the instant at which the user after it is asked for, >= 0.

        Raises:
            ValueError: L is above `max_history`.
        """
        length = items_NLD.shape[1]
        if length > self.max_history:
            raise ValueError(f"a history of {length} events; give the newest {self.max_history} at most")
        places_L = torch.arange(length, device=items_NLD.device)
        away_LL = places_L[:, None] - places_L[None, :]
        later_LL, away_LL = away_LL < 0, away_LL.clamp(min=0)
        apart_s_NLL = ages_s_NL[:, None, :] - ages_s_NL[:, :, None]
        hidden = self.dropout(items_NLD + self.behaviors(behaviors_NL) + self.gaps(self._gap_rows(ages_s_NL)))
        gaps_NLL = decay_logs(apart_s_NLL)
        for block in self.blocks:
            hidden = block(hidden, away_LL, later_LL, gaps_NLL)
        since = self.since(torch.bucketize(read_ages_s_NL, self.edges_s, right=True))
        ages_NLL = decay_logs(apart_s_NLL + read_ages_s_NL[:, :, None])
        mean = self.mean(items_NLD, behaviors_NL, away_LL, later_LL, ages_NLL)
        return unit(mean + self.out(self.norm(hidden + since)).float())

    def _gap_rows(self, ages_s_NL: Tensor) -> Tensor:
        rows = torch.bucketize(ages_s_NL[:, :-1] - ages_s_NL[:, 1:], self.edges_s, right=True)
        return functional.pad(rows, (1, 0), value=NO_GAP)


def user_tower(settings: TowerSettings, *, num_behaviors: int) -> UserTower | CausalUserTower:
    """The user tower that `settings.user_tower` names, before it has learned anything."""
    kind = CausalUserTower if settings.user_tower == "causal" else UserTower
    return kind(settings, num_behaviors=num_behaviors)
