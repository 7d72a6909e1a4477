"""Items that other users of the same items touched, too (mmrec/recall/neighbors.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmrec.recall.context import RecallContext
from mmrec.recall.source import NOTHING, OwnReason, Proposals, best
from mmrec.recall.sums import pulled_by

MAX_REASONS = 3
"""Own items named for one neighbor: those that add most to its score."""


@dataclass(frozen=True)
class NeighborItems:
    """See RecallSource."""

    name: str = "neighbors"
    weight: float = 1.5
    needs_model: bool = False
    finds_similar: bool = True

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Neighbors of own items, by the sum of pull times neighbor weight."""
        sums = context.neighbor_sums
        if sums is None:
            return NOTHING
        near = sums.sums_U > 0
        return best(sums.rows_U[near], sums.sums_U[near], num_candidates, allowed=context.allowed)

    def reasons(self, row: int, context: RecallContext) -> Sequence[OwnReason]:
        """The newest of the own items that it is a neighbor of, and those that add most to its score."""
        near, profile = context.catalogue.neighbors, context.profile
        if near is None or not profile.num_items:
            return []
        owns_P, added_P = pulled_by(row, context.own_rows_J, context.pulls_J, near.rows_IK, near.weights_IK)
        if not len(owns_P):
            return []
        added = dict(zip(owns_P.tolist(), added_P.tolist(), strict=True))
        leading = sorted(added, key=added.__getitem__, reverse=True)[:MAX_REASONS]
        newest = owns_P[profile.reference_times_I[owns_P].argmax()]
        return [
            OwnReason(
                own=own,
                relation="neighbor",
                words="and people who did also chose this",
                strength=added[own],
                precedence=1,
            )
            for own in dict.fromkeys([int(newest), *leading])
        ]
