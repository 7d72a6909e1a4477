"""What goes with an item: items that users took together with it more often than chance has it.

"Taken" is the behavior of the highest weight, such as a purchase; two items of one user go together where their newest
takings lie within a window. With n_i users who took i, n_ij who took both so, and N users in all,

    expected_ij = n_i n_j / N        weight_ij = n_ij / (expected_ij + smoothing),  where n_ij > expected_ij

that is lift, shrunk so that one or two users do not make a pair. What an item could be replaced by is taken out where
lists are made (mmrec/serving/goes_with.py), since the log does not say what items are. Complements are kept beside
neighbors, under keys that no item has. Axes: N rows of users and items, I items.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy import sparse

from mmrec.errors import ConfigurationError
from mmrec.features.values import Neighbors
from mmrec.recall.neighbors import NeighborSettings, pairs_of_users, strongest, user_items
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import SECONDS_PER_DAY

_PREFIX: Final = "\x01goes-with\x01"
"""Begins with a control character, as no item id does."""


@dataclass(frozen=True, kw_only=True)
class ComplementSettings:
    """How complements are built."""

    num_complements: int = 50
    """Kept per item."""
    window_days: float = 3.0
    """Takings farther apart are not one."""
    smoothing: float = 3.0
    """Users that a pair must gain beside chance before its lift counts about half."""
    min_users: int = 2
    """Fewer users make no pair."""

    def __post_init__(self) -> None:
        if min(self.num_complements, self.min_users) < 1 or self.window_days <= 0 or self.smoothing <= 0:
            raise ConfigurationError("complements need counts of 1 or more, and a window and smoothing above 0")


def complement_key(item_id: str) -> str:
    """Key of an item's complements among the neighbors of a feature store."""
    return _PREFIX + item_id


def complements_of(neighbors: dict[str, Neighbors], item_ids: Iterable[str]) -> dict[str, Neighbors]:
    """Complements by item, of what was read by complement_key()."""
    return {item_id: neighbors[key] for item_id in item_ids if (key := complement_key(item_id)) in neighbors}


def build_complements(
    events: pa.Table, *, behaviors: BehaviorSet, as_of_s: float, settings: ComplementSettings | None = None
) -> dict[str, Neighbors]:
    """Complements of every item that has any.

    Args:
        events: The event log's EVENT_COLUMNS, each event once, any order.
        behaviors: Those of the highest weight count as taking.
        as_of_s: Epoch seconds the build describes; not before the newest event.

    Returns:
        Item id -> at most `num_complements` others, best first; equal weights by item id.
    """
    settings = settings or ComplementSettings()
    highest = max(behavior.weight for behavior in behaviors)
    taking = BehaviorSet(tuple(each for each in behaviors if each.weight == highest))
    if highest <= 0 or not events.num_rows:
        return {}
    rows = user_items(events, behaviors=taking, as_of_s=as_of_s, settings=NeighborSettings())
    num_items = len(rows.item_ids)
    together_II = sparse.csr_array((num_items, num_items))
    for first, second, _ in pairs_of_users(rows.ends_N):
        is_near = rows.newest_N[second] - rows.newest_N[first] <= settings.window_days * SECONDS_PER_DAY
        index = (rows.items_N[first[is_near]], rows.items_N[second[is_near]])
        together_II = together_II + sparse.csr_array((np.ones(len(index[0])), index), shape=(num_items, num_items))
    together_II = (together_II + together_II.T).tocsr()
    together_II.sort_indices()
    users_I = np.bincount(rows.items_N, minlength=num_items).astype(np.float64)
    num_users = max(1, len(np.unique(rows.ends_N)))
    row_of = np.repeat(np.arange(num_items), np.diff(together_II.indptr))
    expected = users_I[row_of] * users_I[together_II.indices] / num_users
    counts = together_II.data
    is_pair = (counts >= settings.min_users) & (counts > expected)
    together_II.data = np.where(is_pair, counts / (expected + settings.smoothing), 0.0)
    return dict(strongest(together_II, rows.item_ids, settings.num_complements, as_of_s))
