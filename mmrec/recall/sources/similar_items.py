"""Items similar to those touched last, by item embedding. Through them even one click on a new item has an effect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.recall.context import RecallContext
from mmrec.recall.source import NOTHING, OwnReason, Proposals, best
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
        catalogue = context.catalogue
        if catalogue.index is None:
            return NOTHING
        seeds = context.recent_rows[catalogue.embedded_I[context.recent_rows]][:NUM_SEEDS]
        if not len(seeds):
            return NOTHING
        allowed_I = context.allowed_I & catalogue.embedded_I
        allowed_I[seeds] = False
        found = catalogue.index.search(
            catalogue.index.vectors_ID[seeds],
            num_results=max(1, -(-num_candidates // len(seeds))),
            allowed_I=allowed_I,
        )
        # The newest seed weighs most: items like it keep their cosine, and each older seed loses another tenth.
        loudness = 0.9 ** np.arange(len(seeds))
        best_I = np.full(len(catalogue.item_ids), -np.inf)
        hit = found.rows_QK >= 0
        np.maximum.at(best_I, found.rows_QK[hit], (found.scores_QK * loudness[:, None])[hit])
        rows = np.flatnonzero(np.isfinite(best_I))
        return best(rows, best_I[rows], num_candidates)

    def reasons(self, row: int, context: RecallContext) -> Sequence[OwnReason]:
        """The own item that is most like it."""
        return look_alikes(row, context)
