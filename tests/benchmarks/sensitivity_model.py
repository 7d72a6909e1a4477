"""What is ranked and how: own affinity plus item neighbors, every item, ranks of what a user touched next.

    score_uj = S_uj + sum_i S_ui * w_ij          S of METHODS M3, w of recall/neighbors.py

Axes: U users, I items, S (user, item) pairs, C cases. A case is one (user, item) of the target window, once per item.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.metrics import hits_at_k, ndcg_at_k
from mmrec.recall.neighbors import build_neighbors
from mmrec.scoring.affinity import affinity
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import count_events
from tests.benchmarks.logged_events import Events, FloatArray, IndexArray, item_id

TOP = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """What users touched in the target window; users with a history only, sorted by user."""

    user_C: IndexArray
    item_C: IndexArray
    is_new_C: np.ndarray
    """Whether the user had not touched the item before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Hits and gains per case; the new ones are ranked among items that are new to the user."""

    hit_C: FloatArray
    ndcg_C: FloatArray
    new_hit_C: FloatArray
    """Only cases that are new, in the order of cases."""
    new_ndcg_C: FloatArray


def cases_of(history: Events, target: Events) -> Cases:
    """Distinct (user, item) of `target` for users of `history`."""
    cells = np.unique(target.user_N * target.num_items + target.item_N)
    cells = cells[np.isin(cells // target.num_items, history.user_N)]
    seen = np.unique(history.user_N * history.num_items + history.item_N)
    return Cases(user_C=cells // target.num_items, item_C=cells % target.num_items, is_new_C=~np.isin(cells, seen))


def affinity_matrix(events: Events, *, weights_B: FloatArray, decay_per_day: float, as_of_s: float) -> sparse.csr_array:
    """S of all users, by the functions that the stream and recall use."""
    cells, slot_N = np.unique(events.user_N * events.num_items + events.item_N, return_inverse=True)
    counts_SHB, times_S = count_events(
        np.zeros((len(cells), 1, len(weights_B))),
        np.full(len(cells), -np.inf),
        slot_A=slot_N,
        column_A=events.column_N,
        times_A=events.time_N,
        decay_per_day_H=[decay_per_day],
    )
    values_S = affinity(counts_SHB[:, 0], as_of_s - times_S, weights_B, decay_per_day=decay_per_day)
    place = (cells // events.num_items, cells % events.num_items)
    return sparse.csr_array((values_S, place), shape=(events.num_users, events.num_items))


def neighbor_matrix(events: Events, *, behaviors: BehaviorSet, as_of_s: float) -> sparse.csr_array:
    """w_ij with the default settings and weights."""
    found = build_neighbors(events.table(behaviors.names), behaviors=behaviors, as_of_s=as_of_s)
    rows, columns, weights = [], [], []
    number = {item_id(item): item for item in np.unique(events.item_N).tolist()}
    for item, neighbors in found.items():
        rows += [number[item]] * len(neighbors.item_ids)
        columns += [number[other] for other in neighbors.item_ids]
        weights.append(neighbors.weights_K.astype(np.float64))
    data = np.concatenate(weights) if weights else np.zeros(0)
    return sparse.csr_array((data, (rows, columns)), shape=(events.num_items, events.num_items))


def measure(own_UI: sparse.csr_array, neighbors_II: sparse.csr_array, cases: Cases) -> Measured:
    """Ranks of the cases among all items, equal scores by item number; what has no score is not on the list."""
    scores_UI = (own_UI + own_UI @ neighbors_II).tocsr()
    scores_UI.sort_indices()
    ranks, new_ranks = np.zeros(len(cases.user_C), dtype=np.int64), np.zeros(len(cases.user_C), dtype=np.int64)
    users, starts = np.unique(cases.user_C, return_index=True)
    for user, start, stop in zip(users, starts, [*starts[1:], len(cases.user_C)], strict=True):
        low, high = scores_UI.indptr[user], scores_UI.indptr[user + 1]
        items, scores = scores_UI.indices[low:high], scores_UI.data[low:high]
        own = own_UI.indices[own_UI.indptr[user] : own_UI.indptr[user + 1]]
        wanted = cases.item_C[start:stop]
        ranks[start:stop] = _ranks(items, scores, wanted)
        fresh = ~np.isin(items, own)
        new_ranks[start:stop] = _ranks(items[fresh], scores[fresh], wanted)
    new_ranks = new_ranks[cases.is_new_C]
    return Measured(
        hit_C=hits_at_k(ranks, TOP),
        ndcg_C=ndcg_at_k(ranks, TOP),
        new_hit_C=hits_at_k(new_ranks, TOP),
        new_ndcg_C=ndcg_at_k(new_ranks, TOP),
    )


def _ranks(items: IndexArray, scores: FloatArray, wanted: IndexArray) -> IndexArray:
    ranks = np.zeros(len(wanted), dtype=np.int64)
    order = np.lexsort((items, -scores))[:TOP]
    best = items[order][scores[order] > 0]
    for rank, item in enumerate(best, start=1):
        ranks[wanted == item] = rank
    return ranks
