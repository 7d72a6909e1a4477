"""What assemble() reads about candidates: facts that are stored, and signals that recall found.

Axes: I items of the profile, N candidates, H half-lives, B behaviors.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import ContentColumns
from mmrec.index.row_tables import NO_PLACE, places_in, table_of

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
NOT_OWN = NO_PLACE
"""Position of an item that the user has not touched."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemFacts:
    """What is stored about N candidates, and about the profile's own items.

    The columns are either of just these items, in their order, or of a whole table, in which rows point to them.
    """

    own_positions_N: RowArray
    """Position of each candidate on axis I of the profile, NOT_OWN where the user has not touched it."""
    content: ContentColumns
    """Serving fields of the candidates."""
    profile_content: ContentColumns
    """Serving fields of profile.item_ids, axis I, from the same vocabulary."""
    counts_NHB: FloatArray
    """Decayed event counts of all users, axis B in the order of the configured behaviors; 0 where none are stored."""
    reference_times_N: FloatArray
    """Instants the counts are as of; NEVER_S (or NaN) where none are stored."""
    decay_per_day_H: FloatArray
    """Rate of each half-life of the counts."""
    rows_N: RowArray | None = None
    """Rows of the candidates where content, counts and reference times are of a table; None where they are not."""
    own_rows_I: RowArray | None = None
    """The same for profile_content; -1 for an item about which nothing is known."""

    def gathered(self) -> "ItemFacts":
        """The same facts in columns of just these items."""
        found = self
        if self.rows_N is not None:
            found = replace(
                found,
                rows_N=None,
                content=self.content.take(self.rows_N),
                counts_NHB=self.counts_NHB[self.rows_N],
                reference_times_N=self.reference_times_N[self.rows_N],
            )
        if self.own_rows_I is not None:
            found = replace(found, own_rows_I=None, profile_content=self.profile_content.take(self.own_rows_I))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidateSignals:
    """What recall knows about N candidates; NaN where it knows nothing."""

    tower_similarity_N: FloatArray
    """Inner product of the user's and the item's embedding."""
    neighbor_score_N: FloatArray
    """Sum over own items of pull (mmrec/recall/pull.py) times neighbor weight, >= 0."""


def own_positions(rows_N: RowArray, own_rows_I: RowArray) -> RowArray:
    """Position of each candidate among the profile's own items, NOT_OWN where it is none of them, shape (N,).

    Args:
        rows_N: Candidates as rows of any table of items.
        own_rows_I: The profile's items as rows of the same table, -1 where it does not have one.
    """
    return places_in(table_of(own_rows_I), own_rows_I, rows_N)
