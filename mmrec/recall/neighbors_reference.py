"""Item neighbors the slow and obvious way: the definition of mmrec.recall.neighbors in loops, for tests and audits."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mmrec.features.values import Neighbors
from mmrec.recall.neighbors import NeighborSettings
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import decay


def neighbor_weights(
    events: Iterable[tuple[str, str, str, float]],
    *,
    behaviors: BehaviorSet,
    as_of_s: float,
    settings: NeighborSettings,
) -> Mapping[tuple[str, str], float]:
    """All w_ij > 0, by (item, neighbor), before the best ones are chosen.

    Args:
        events: (user key, item id, behavior, event time), any order.
    """
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    newest: dict[str, dict[str, float]] = defaultdict(dict)
    for user, item, behavior, time_s in events:
        if behavior in behaviors:
            totals[user][item] += float(behaviors.weights_B[behaviors.index(behavior)])
            newest[user][item] = max(time_s, newest[user].get(item, -math.inf))
    sums: dict[tuple[str, str], float] = defaultdict(float)
    squares: dict[str, float] = defaultdict(float)
    for user, items in totals.items():
        liked = sorted((newest[user][item], item) for item, total in items.items() if total > 0)
        liked = liked[-settings.max_history :]
        share = len(liked) ** -settings.user_discount if liked else 0.0
        strength = {
            item: math.log1p(items[item]) * decay(as_of_s - time_s, decay_per_day=settings.decay_per_day)
            for time_s, item in liked
        }
        for later, (_, item) in enumerate(liked):
            squares[item] += share * strength[item] ** 2
            for earlier, (_, other) in enumerate(liked[:later]):
                proximity = 1.0 / (1.0 + (later - earlier - 1) / settings.position_scale)
                gain = share * strength[item] * strength[other] * proximity
                sums[other, item] += gain
                sums[item, other] += settings.backward * gain
    return {
        (item, other): total
        / (math.sqrt(squares[item]) * math.sqrt(squares[other]) ** settings.popularity_discount + settings.shrinkage)
        for (item, other), total in sums.items()
        if total > 0
    }


def item_pulls(
    own: Mapping[str, tuple[float, float]], *, as_of_s: float, decay_per_day: float, order_decay: float
) -> dict[str, float]:
    """pull_i of a user's own items, the definition of mmrec.recall.pull.

    Args:
        own: Item id -> (weighted count, epoch seconds of the newest event), the latter at or before `as_of_s`.
    """
    pulls = {}
    for item_id, (strength, time_s) in own.items():
        newer = sum(other_s > time_s for _, other_s in own.values())
        age_s = as_of_s - time_s
        pulls[item_id] = max(strength, 0.0) * decay(age_s, decay_per_day=decay_per_day) * order_decay**newer
    return pulls


def neighbor_scores(
    pulls: Mapping[str, float], neighbors: Mapping[str, Neighbors], candidates: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Scores of candidates from a user's own items.

        score_j = sum_i  pull_i * w_ij

    Args:
        pulls: item_pulls() of the user's own items, by item id.
        neighbors: Neighbors by item id; items without an entry add nothing.

    Returns:
        Shape (C,), aligned with `candidates`; 0 where the candidate is no neighbor of an own item.
    """
    row_of: dict[str, list[int]] = {}
    for row, item_id in enumerate(candidates):
        row_of.setdefault(item_id, []).append(row)
    scores_C = np.zeros(len(candidates))
    for item_id, pull in pulls.items():
        near = neighbors.get(item_id)
        if near is None:
            continue
        for other, weight in zip(near.item_ids, near.weights_K.tolist(), strict=True):
            for row in row_of.get(other, ()):
                scores_C[row] += pull * weight
    return scores_C
