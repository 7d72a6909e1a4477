"""Items that other users of the same items touched, too (mmrec/recall/neighbors.py)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.recall.context import RecallContext
from mmrec.recall.source import OwnReason, Proposals, best

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
        scores_I = context.neighbor_scores_I
        rows = np.flatnonzero((scores_I > 0) & context.allowed_I)
        return best(rows, scores_I[rows], num_candidates)

    def reasons(self, row: int, context: RecallContext) -> Sequence[OwnReason]:
        """The newest of the own items that it is a neighbor of, and those that add most to its score."""
        near, profile = context.own_neighbors, context.profile
        if near is None or not profile.num_items:
            return []
        weights_J = (near.weights_IK * (near.rows_IK == row)).sum(axis=1) * context.pulls_J
        leading = np.argsort(-weights_J, kind="stable")[:MAX_REASONS]
        newest = np.argmax(np.where(weights_J > 0, profile.reference_times_I, -np.inf))
        return [
            OwnReason(
                own=own,
                relation="neighbor",
                words="and people who did also chose this",
                strength=float(weights_J[own]),
                precedence=1,
            )
            for own in dict.fromkeys([int(newest), *leading.tolist()])
            if weights_J[own] > 0
        ]
