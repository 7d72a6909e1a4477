"""Items similar to those touched last, by item embedding. Through them even one click on a new item has an effect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.index.vectors import SearchResult, VectorQuery
from mmrec.recall.context import RecallContext
from mmrec.recall.source import OwnReason, Proposals, best, propose_by_search
from mmrec.recall.sources.vector_items import look_alikes

NUM_SEEDS = 5
"""Number of newest own items for which similar ones are proposed."""


@dataclass(frozen=True)
class SimilarItems:
    """See RecallSource."""

    name: str = "similar"
    weight: float = 1.0
    needs_model: bool = True
    finds_similar: bool = True

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Items by their best cosine to one of the seeds."""
        return propose_by_search(self, context, num_candidates=num_candidates)

    def query(self, context: RecallContext, *, num_candidates: int) -> VectorQuery | None:
        """The seeds' vectors, the newest first."""
        catalogue = context.catalogue
        if catalogue.index is None:
            return None
        seeds = context.recent_rows[catalogue.embedded_I[context.recent_rows]][:NUM_SEEDS]
        if not len(seeds):
            return None
        allowed_I = context.allowed_I & catalogue.embedded_I
        allowed_I[seeds] = False
        return VectorQuery(
            queries_QD=catalogue.index.vectors_ID[seeds],
            num_results=max(1, -(-num_candidates // len(seeds))),
            allowed_I=allowed_I,
        )

    def from_found(self, found: SearchResult, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Each item once, by the seed that speaks for it the loudest."""
        # The newest seed weighs most: items like it keep their cosine, and each older seed loses another tenth.
        loudness = 0.9 ** np.arange(len(found.rows_QK))
        best_I = np.full(len(context.catalogue.item_ids), -np.inf)
        hit = found.rows_QK >= 0
        np.maximum.at(best_I, found.rows_QK[hit], (found.scores_QK * loudness[:, None])[hit])
        rows = np.flatnonzero(np.isfinite(best_I))
        return best(rows, best_I[rows], num_candidates)

    def reasons(self, row: int, context: RecallContext) -> Sequence[OwnReason]:
        """The own item that is most like it."""
        return look_alikes(row, context)
