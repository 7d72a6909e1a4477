"""Re-ranking: the last order of a list, by score or diversified (METHODS M31).

A re-rank is a permutation of the candidates: it never drops, adds or repeats one. Items that must not be shown are
removed before ranking. Axes: N candidates, D embedding.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import ConfigurationError

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
INTEREST: Final = 0.3
"""Weight of the user's interest where it orders what was found otherwise."""
DIVERSIFIED_HEAD = 60
"""Number of items at the head that are diversified; the rest keeps its order."""


def by_score(ranking_scores_N: FloatArray) -> RowArray:
    """Positions, best score first; equal scores keep their order."""
    return np.argsort(-ranking_scores_N, kind="stable")


def diversified(
    order_N: RowArray, ranking_scores_N: FloatArray, vectors_ND: npt.NDArray[np.float32], *, diversity: float
) -> RowArray:
    """Maximal marginal relevance over the head of a list (Carbonell and Goldstein, SIGIR 1998).

        next = argmax_i  (1 - diversity) * s_i - diversity * max over chosen j of cos(i, j)

    Args:
        order_N: Positions by score.
        ranking_scores_N: Scores by position; scaled to [0, 1] over the head.
        vectors_ND: Unit item embeddings by position; zeros where an item has none.
        diversity: 0 keeps the order, values towards 1 spread the list.

    Returns:
        A permutation of `order_N`.
    """
    if not 0.0 <= diversity < 1.0:
        raise ConfigurationError(f"diversity is {diversity}; give 0 (off) to below 1")
    if diversity == 0.0 or len(order_N) < 3:
        return order_N
    head, tail = order_N[:DIVERSIFIED_HEAD], order_N[DIVERSIFIED_HEAD:]
    scores = ranking_scores_N[head]
    spread = float(scores.max() - scores.min())
    relevance = (scores - scores.min()) / spread if spread > 0 else np.zeros(len(head))
    cosines = vectors_ND[head] @ vectors_ND[head].T
    closest = np.zeros(len(head))
    left = np.ones(len(head), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(len(head)):
        gains = np.where(left, (1.0 - diversity) * relevance - diversity * closest, -np.inf)
        best = int(np.argmax(gains))
        chosen.append(best)
        left[best] = False
        closest = np.maximum(closest, cosines[best])
    return np.concatenate([head[chosen], tail])


def with_interest(relevance_N: FloatArray, head: RowArray, interest_H: FloatArray) -> FloatArray:
    """Scores by relevance and a user's interest together at the places of `head`, relevance elsewhere, shape (N,).

        score_i = (1 - INTEREST) relevance_i / max relevance  +  INTEREST place_i

        place_i: 1 for the item of the head that the user's ranker puts first, down to 0 for the last

    Args:
        relevance_N: Of what was found otherwise than for the user, >= 0.
        interest_H: Ranking scores of the head, in its order.
    """
    best = float(relevance_N[head].max(initial=0.0))
    places = np.empty(len(head))
    places[np.argsort(interest_H, kind="stable")] = np.linspace(0.0, 1.0, len(head))
    scores_N = np.array(relevance_N)
    scores_N[head] = (1.0 - INTEREST) * (relevance_N[head] / best if best > 0 else 0.0) + INTEREST * places
    return scores_N
