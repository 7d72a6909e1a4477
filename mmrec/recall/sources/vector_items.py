"""Items nearest to the user's embedding, and which items count as similar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.index.vectors import SearchResult, VectorQuery
from mmrec.recall.context import RecallContext
from mmrec.recall.source import OwnReason, PlainReason, Proposals, Reason, propose_by_search

MIN_COSINE = 0.2
"""Two items with a smaller cosine do not count as similar."""
NUM_REMEMBERED = 5
"""Number of own items touched last, of which the one most like a proposal is named."""


@dataclass(frozen=True)
class VectorItems:
    """See RecallSource."""

    name: str = "vectors"
    weight: float = 1.0
    needs_model: bool = True
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Items by the cosine of their embedding to the user's."""
        return propose_by_search(self, context, num_candidates=num_candidates)

    def query(self, context: RecallContext, *, num_candidates: int) -> VectorQuery | None:
        """The user's vector."""
        if context.catalogue.index is None or context.user_vector_D is None:
            return None
        return VectorQuery(
            queries_QD=context.user_vector_D[None, :],
            num_results=num_candidates,
            allowed_I=context.allowed_I & context.catalogue.embedded_I,
        )

    def from_found(self, found: SearchResult, context: RecallContext, *, num_candidates: int) -> Proposals:
        """What was found, as it is."""
        hit = found.rows_QK[0] >= 0
        return Proposals(rows_K=found.rows_QK[0][hit], scores_K=found.scores_QK[0][hit].astype(np.float64))

    def reasons(self, row: int, context: RecallContext) -> Sequence[Reason]:
        """An own item that is similar, or else that the proposal fits the whole history."""
        return [
            *look_alikes(row, context),
            PlainReason(sentence="It fits what you looked at lately.", precedence=10),
        ]


def look_alikes(row: int, context: RecallContext) -> Sequence[OwnReason]:
    """The own item, of those touched last, with the nearest embedding; none where none is near."""
    catalogue, profile = context.catalogue, context.profile
    if catalogue.index is None or not catalogue.embedded_I[row] or not profile.num_items:
        return []
    known = np.flatnonzero((context.own_rows_J >= 0) & (context.own_rows_J != row))
    if not len(known):
        return []
    # Of items that are about equally similar, the user remembers the one touched last.
    youngest = known[np.argsort(-profile.reference_times_I[known], kind="stable")][:NUM_REMEMBERED]
    vectors_ID = catalogue.index.vectors_ID
    cosines = vectors_ID[context.own_rows_J[youngest]] @ vectors_ID[row]
    nearest = int(np.argmax(cosines))
    if not cosines[nearest] >= MIN_COSINE:
        return []
    return [
        OwnReason(
            own=int(youngest[nearest]),
            relation="similar",
            words="and this is like it",
            strength=float(cosines[nearest]),
            precedence=2,
        )
    ]
