"""Item neighbors from what users touched together: ItemKNN with decay, behavior weights and position proximity.

Item-based collaborative filtering (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004; METHODS M36), tuned. For
user u and item i

    x_ui = log(1 + sum of event weights of u on i) * decay(as_of - newest event of u on i)
    s_ij = sum_u  len_u ** -user_discount * x_ui * x_uj / (1 + (d_uij - 1) / position_scale)
    w_ij = s_ij / (n_i * n_j ** popularity_discount + shrinkage)
    n_i ** 2 = sum_u  len_u ** -user_discount * x_ui ** 2

where d_uij is the distance of the two items when the user's items are ordered by their newest events, and len_u is the
number of these items. Only the newest `max_history` items of a user are used, which bounds the cost of one user. Where
j came before i, the term of s_ij is multiplied by `backward`. A user's score for an item is always

    score_j = sum_i  pull_i * w_ij          pull_i: what was done, how old it is, and what came after it (pull.py)

Axes: N events or (user, item) pairs, I items, K neighbors, C candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from mmrec.errors import ConfigurationError
from mmrec.features.values import Neighbors
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import decay

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

EVENT_COLUMNS = ("user_key", "item_id", "behavior", "event_time_s")
"""Columns of the event log that build_neighbors reads."""
_MAX_PAIRS = 4_000_000
"""Pairs of items summed at a time; bounds memory to about 200 MB."""


@dataclass(frozen=True, kw_only=True)
class NeighborSettings:
    """How neighbors are built.

    The defaults were chosen on validation parts (Amazon Beauty's last item but one; MovieLens small, ratings 75 to 85 %
    of the log, likes of items unseen before). Each of them is worth 2 to 10 % of HR@10 there; decay_per_day = 0.01
    instead of 0.001 halves HR@10 on MovieLens.
    """

    num_neighbors: int = 50
    """Neighbors kept per item."""
    max_history: int = 200
    """Newest items of a user that are paired."""
    decay_per_day: float = 0.001
    """Decay of x_ui by the age of the newest event."""
    position_scale: float = 10.0
    """Distance at which proximity has fallen to about a half."""
    backward: float = 0.6
    """Factor for an item as the neighbor of one that came after it."""
    user_discount: float = 0.5
    """How much less a pair counts in a long history."""
    popularity_discount: float = 0.7
    """1 gives the cosine; a smaller value favors popular items."""
    shrinkage: float = 3.0
    """Lowers the weight of pairs that few users have."""

    def __post_init__(self) -> None:
        if self.num_neighbors < 1 or self.max_history < 2:
            raise ConfigurationError("neighbors need num_neighbors >= 1 and max_history >= 2")
        shares = (self.decay_per_day, self.backward, self.user_discount, self.popularity_discount, self.shrinkage)
        if min(shares) < 0 or self.position_scale <= 0:
            raise ConfigurationError("neighbor settings must not be negative, and position_scale above 0")


@dataclass(frozen=True, kw_only=True, eq=False)
class UserItems:
    """One row per (user, item); rows of a user are adjacent, oldest item first, and limited in number."""

    item_ids: tuple[str, ...]
    items_N: IndexArray
    ends_N: IndexArray
    """Row after the last one of the same user."""
    lengths_N: IndexArray
    """Rows of the same user."""
    strengths_N: FloatArray
    """x_ui."""
    newest_N: FloatArray
    """Epoch seconds of the newest event."""


def build_neighbors(
    events: pa.Table, *, behaviors: BehaviorSet, as_of_s: float, settings: NeighborSettings | None = None
) -> dict[str, Neighbors]:
    """Neighbors of every item that shares a user with another one.

    Args:
        events: The event log's EVENT_COLUMNS, each event once, any order.
        behaviors: Weights of events; behaviors not configured are left out.
        as_of_s: Epoch seconds the build describes; not before the newest event.

    Returns:
        Item id -> at most `num_neighbors` neighbors with positive weight, best first; equal weights by item id.
    """
    settings = settings or NeighborSettings()
    rows = user_items(events, behaviors=behaviors, as_of_s=as_of_s, settings=settings)
    num_items = len(rows.item_ids)
    share_N = rows.lengths_N**-settings.user_discount
    forward_II = sparse.csr_array((num_items, num_items))
    for first, second, distance in pairs_of_users(rows.ends_N):
        gain = share_N[first] * rows.strengths_N[first] * rows.strengths_N[second]
        gain /= 1.0 + (distance - 1) / settings.position_scale
        index = (rows.items_N[first], rows.items_N[second])
        forward_II = forward_II + sparse.csr_array((gain, index), shape=(num_items, num_items))
    norm_I = np.sqrt(np.bincount(rows.items_N, share_N * rows.strengths_N**2, num_items))
    together_II = (forward_II + settings.backward * forward_II.T).tocsr()
    together_II.sort_indices()
    row_of = np.repeat(np.arange(num_items), np.diff(together_II.indptr))
    discount_I = norm_I**settings.popularity_discount
    together_II.data /= norm_I[row_of] * discount_I[together_II.indices] + settings.shrinkage
    return dict(strongest(together_II, rows.item_ids, settings.num_neighbors, as_of_s))


def user_items(events: pa.Table, *, behaviors: BehaviorSet, as_of_s: float, settings: NeighborSettings) -> UserItems:
    """Events grouped by user and item; the newest `max_history` items of each user."""
    weights_N = _event_weights(events["behavior"], behaviors)
    kept = weights_N != 0.0
    users = pc.dictionary_encode(events["user_key"].combine_chunks())
    items = pc.dictionary_encode(events["item_id"].combine_chunks())
    # Items are numbered in the order of their ids, so that the order of events makes no difference.
    item_ids = np.array(items.dictionary.to_pylist(), dtype=object)
    by_id = np.argsort(item_ids, kind="stable")
    rank = np.empty(len(by_id), dtype=np.int64)
    rank[by_id] = np.arange(len(by_id))
    users_N = users.indices.to_numpy().astype(np.int64)[kept]
    items_N = rank[items.indices.to_numpy()][kept]
    times_N = events["event_time_s"].to_numpy()[kept]
    cells, cell_N = np.unique(users_N * max(len(item_ids), 1) + items_N, return_inverse=True)
    totals = np.bincount(cell_N, weights_N[kept], len(cells))
    newest = np.full(len(cells), -np.inf)
    np.maximum.at(newest, cell_N, times_N)
    users_C, items_C = np.divmod(cells, max(len(item_ids), 1))
    wanted = totals > 0
    users_C, items_C, totals, newest = users_C[wanted], items_C[wanted], totals[wanted], newest[wanted]
    order = np.lexsort((items_C, newest, users_C))
    users_C, items_C, totals, newest = users_C[order], items_C[order], totals[order], newest[order]
    ends = np.searchsorted(users_C, users_C, side="right")
    recent = ends - np.arange(len(ends)) <= settings.max_history
    users_C, items_C, totals, newest = users_C[recent], items_C[recent], totals[recent], newest[recent]
    ends = np.searchsorted(users_C, users_C, side="right")
    return UserItems(
        item_ids=tuple(item_ids[by_id].tolist()),
        items_N=items_C,
        ends_N=ends,
        lengths_N=(ends - np.searchsorted(users_C, users_C, side="left")).astype(np.float64),
        strengths_N=np.log1p(totals) * decay(as_of_s - newest, decay_per_day=settings.decay_per_day),
        newest_N=newest,
    )


def _event_weights(names: pa.ChunkedArray, behaviors: BehaviorSet) -> FloatArray:
    encoded = pc.dictionary_encode(names.combine_chunks())
    known = dict(zip(behaviors.names, behaviors.weights_B.tolist(), strict=True))
    weights = np.array([known.get(name, 0.0) for name in encoded.dictionary.to_pylist()] or [0.0])
    taken: FloatArray = weights[encoded.indices.to_numpy()]
    return taken


def pairs_of_users(ends_N: IndexArray) -> Iterator[tuple[IndexArray, IndexArray, FloatArray]]:
    """All (earlier row, later row, distance) of the same user, in pieces of bounded size; `ends_N` as in UserItems."""
    firsts: list[IndexArray] = []
    distances: list[int] = []
    num_pairs = 0
    active = np.arange(len(ends_N))
    distance = 0
    while active.size:
        distance += 1
        active = active[active + distance < ends_N[active]]
        firsts.append(active)
        distances.append(distance)
        num_pairs += active.size
        if num_pairs >= _MAX_PAIRS or not active.size:
            first = np.concatenate(firsts)
            lag = np.repeat(distances, [f.size for f in firsts])
            if first.size:
                yield first, first + lag, lag.astype(np.float64)
            firsts, distances, num_pairs = [], [], 0


def strongest(
    weights_II: sparse.csr_array, item_ids: Sequence[str], num_neighbors: int, as_of_s: float
) -> Iterator[tuple[str, Neighbors]]:
    """The best positive weights of each row of a matrix with sorted indices; equal ones by item id."""
    for row, item_id in enumerate(item_ids):
        start, stop = weights_II.indptr[row], weights_II.indptr[row + 1]
        columns, weights = weights_II.indices[start:stop], weights_II.data[start:stop]
        positive = weights > 0
        columns, weights = columns[positive], weights[positive]
        if not columns.size:
            continue
        if columns.size > num_neighbors:
            # Ties at the edge go to the lower item id, as everywhere.
            edge = np.partition(weights, columns.size - num_neighbors)[columns.size - num_neighbors]
            near = weights >= edge
            columns, weights = columns[near], weights[near]
        order = np.lexsort((columns, -weights))[:num_neighbors]
        yield (
            item_id,
            Neighbors(
                item_ids=tuple(item_ids[column] for column in columns[order].tolist()),
                weights_K=weights[order].astype(np.float32),
                built_time_s=as_of_s,
            ),
        )
