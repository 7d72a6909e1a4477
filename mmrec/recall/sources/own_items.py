"""Items the user touched, by affinity. The strongest signal of all is "recently put in the cart, not yet bought"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.recall.context import RecallContext
from mmrec.recall.source import OwnReason, Proposals, best


@dataclass(frozen=True)
class OwnItems:
    """See RecallSource."""

    name: str = "own"
    weight: float = 1.0
    needs_model: bool = False
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Own items with an affinity above 0."""
        by_row = np.argsort(context.own_rows_J)
        by_row = by_row[context.own_rows_J[by_row] >= 0]
        rows, scores = context.own_rows_J[by_row], context.affinity_J[by_row]
        kept = context.allowed_I[rows] & (scores > 0)
        return best(rows[kept], scores[kept], num_candidates)

    def reasons(self, row: int, context: RecallContext) -> Sequence[OwnReason]:
        """The item itself."""
        return [
            OwnReason(
                own=own,
                relation="same item",
                words="and may still want it",
                strength=float(context.affinity_J[own]),
                precedence=0,
            )
            for own in np.flatnonzero(context.own_rows_J == row)[:1].tolist()
        ]
