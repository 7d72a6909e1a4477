"""What all users like now, by decayed counts, followed by new items."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmrec.recall.context import RecallContext
from mmrec.recall.source import PlainReason, Proposals


@dataclass(frozen=True)
class PopularItems:
    """See RecallSource."""

    name: str = "popular"
    weight: float = 0.5
    needs_model: bool = False
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """The first allowed items of an order that is the same for all users; costs one index operation."""
        order = context.catalogue.popular_rows_I
        rows = order[context.allowed_I[order]][:num_candidates]
        return Proposals(rows_K=rows, scores_K=context.catalogue.popularity_I[rows])

    def reasons(self, row: int, context: RecallContext) -> Sequence[PlainReason]:
        """That others choose it, if they do."""
        if not context.catalogue.popularity_I[row] > 0:
            return []
        return [PlainReason(sentence="Many people choose it these days.", precedence=20)]
