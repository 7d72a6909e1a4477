"""Who touched what: each pair of user and item once, however often it was touched.

Axes: U users, I items, P pairs in the order of user and item.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmrec.evaluation.interactions import BoolArray, IntArray, Interactions
from mmrec.zoo.history_matrix import Sparse


@dataclass(frozen=True, kw_only=True, eq=False)
class TouchedPairs:
    """Pairs of some events."""

    num_users: int
    num_items: int
    users_P: IntArray
    items_P: IntArray

    @classmethod
    def of(cls, data: Interactions) -> "TouchedPairs":
        """Those of any number of events, none included."""
        cells = np.unique(data.users_E * data.num_items + data.items_E)
        users_P, items_P = np.divmod(cells, max(data.num_items, 1))
        return cls(num_users=data.num_users, num_items=data.num_items, users_P=users_P, items_P=items_P)

    def __len__(self) -> int:
        """P."""
        return len(self.users_P)

    def matrix(self) -> Sparse:
        """1 where a user touched an item, float32, shape (U, I)."""
        ones_P = np.ones(len(self), dtype=np.float32)
        found: Sparse = sparse.csr_array((ones_P, (self.users_P, self.items_P)), shape=(self.num_users, self.num_items))
        return found

    @property
    def is_known_U(self) -> BoolArray:
        """Users who touched anything."""
        found: BoolArray = np.bincount(self.users_P, minlength=self.num_users) > 0
        return found

    @property
    def is_known_I(self) -> BoolArray:
        """Items that anybody touched."""
        found: BoolArray = np.bincount(self.items_P, minlength=self.num_items) > 0
        return found
