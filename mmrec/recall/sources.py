"""Recall: cheap sources that propose hundreds of items out of all (METHODS M26, M28).

A source sees one request's context and answers rows of the catalogue, best first. How many each gives and in which
order they are mixed is decided in fuse().

Axes: I items of the catalogue, J items of the profile, D embedding, K proposals, M proposals of all sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.index.vectors import best_positions
from mmrec.recall.catalogue import NO_ROW, BoolArray, Catalogue, FloatArray, NeighborTable, RowArray

FUSION_OFFSET = 20.0
"""k of reciprocal rank fusion: how fast the first ranks of a source lose weight (Cormack et al., SIGIR 2009, use 60
for lists of thousands)."""
NUM_SIMILAR_SEEDS = 5
"""Newest own items whose look-alikes are proposed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecallContext:
    """One request, as sources see it."""

    catalogue: Catalogue
    allowed_I: BoolArray
    """Items that may be shown to this user now."""
    own_rows_J: RowArray
    """Rows of the profile's items; NO_ROW where the catalogue does not know one."""
    affinity_J: FloatArray
    """Affinity for them as of the request."""
    recent_rows: RowArray
    """Rows of the newest touched items, newest first, each once."""
    read_s: float
    """Instant the state is read at: the request's, or that of the newest event."""
    user_vector_D: npt.NDArray[np.float32] | None
    """Output of the user tower; None without a release or history."""

    @cached_property
    def neighbor_scores_I(self) -> FloatArray:
        """Neighbor score of every item; zeros where no neighbors are known."""
        if self.catalogue.neighbors is None or not len(self.own_rows_J):
            return np.zeros(len(self.catalogue.item_ids))
        return self.catalogue.neighbors.scores(self.own_rows_J, self.affinity_J)

    @cached_property
    def own_neighbors(self) -> NeighborTable | None:
        """Neighbors of the profile's items, axis J; None where no neighbors are known."""
        table = self.catalogue.neighbors
        return table.of(self.own_rows_J) if table is not None else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """What one source proposes, best first."""

    rows_K: RowArray
    scores_K: FloatArray


class RecallSource(Protocol):
    """Somebody who proposes items."""

    @property
    def name(self) -> str:
        """Name in responses and served lists."""
        ...

    @property
    def weight(self) -> float:
        """Weight in the recall order."""
        ...

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """At most `num_candidates` allowed items, best first."""
        ...


NOTHING = Proposals(rows_K=np.zeros(0, dtype=np.int64), scores_K=np.zeros(0))


@dataclass(frozen=True)
class OwnItems:
    """Items the user touched, by affinity: "recently carted, not yet bought" is the strongest signal there is."""

    name: str = "own"
    weight: float = 1.0

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """See RecallSource."""
        by_row = np.argsort(context.own_rows_J)
        by_row = by_row[context.own_rows_J[by_row] >= 0]
        rows, scores = context.own_rows_J[by_row], context.affinity_J[by_row]
        kept = context.allowed_I[rows] & (scores > 0)
        return _best(rows[kept], scores[kept], num_candidates)


@dataclass(frozen=True)
class NeighborItems:
    """Items that users of the user's items touched too."""

    name: str = "neighbors"
    weight: float = 1.5

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """See RecallSource."""
        scores_I = context.neighbor_scores_I
        rows = np.flatnonzero((scores_I > 0) & context.allowed_I)
        return _best(rows, scores_I[rows], num_candidates)


@dataclass(frozen=True)
class VectorItems:
    """Nearest items to the user's embedding."""

    name: str = "vectors"
    weight: float = 1.0

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """See RecallSource."""
        index = context.catalogue.index
        if index is None or context.user_vector_D is None:
            return NOTHING
        found = index.search(
            context.user_vector_D[None, :],
            num_results=num_candidates,
            allowed_I=context.allowed_I & context.catalogue.embedded_I,
        )
        hit = found.rows_QK[0] >= 0
        return Proposals(rows_K=found.rows_QK[0][hit], scores_K=found.scores_QK[0][hit].astype(np.float64))


@dataclass(frozen=True)
class SimilarItems:
    """Look-alikes of the items touched last, by item embedding: what makes one click count, new items included."""

    name: str = "similar"
    weight: float = 1.0

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """See RecallSource."""
        catalogue = context.catalogue
        if catalogue.index is None:
            return NOTHING
        seeds = context.recent_rows[catalogue.embedded_I[context.recent_rows]][:NUM_SIMILAR_SEEDS]
        if not len(seeds):
            return NOTHING
        allowed_I = context.allowed_I & catalogue.embedded_I
        allowed_I[seeds] = False
        found = catalogue.index.search(
            catalogue.index.vectors_ID[seeds],
            num_results=max(1, -(-num_candidates // len(seeds))),
            allowed_I=allowed_I,
        )
        # The newest seed speaks loudest: its look-alikes keep their cosine, older ones lose a tenth each.
        loudness = 0.9 ** np.arange(len(seeds))
        best_I = np.full(len(catalogue.item_ids), -np.inf)
        hit = found.rows_QK >= 0
        np.maximum.at(best_I, found.rows_QK[hit], (found.scores_QK * loudness[:, None])[hit])
        rows = np.flatnonzero(np.isfinite(best_I))
        return _best(rows, best_I[rows], num_candidates)


@dataclass(frozen=True)
class PopularItems:
    """What everybody likes now, by decayed counts; new items after them."""

    name: str = "popular"
    weight: float = 0.5

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """See RecallSource."""
        order = context.catalogue.popular_rows_I
        rows = order[context.allowed_I[order]][:num_candidates]
        return Proposals(rows_K=rows, scores_K=context.catalogue.popularity_I[rows])


def default_sources() -> tuple[RecallSource, ...]:
    """All sources, in the order in which they are asked; popular first, because it is what is always left."""
    return (PopularItems(), OwnItems(), NeighborItems(), VectorItems(), SimilarItems())


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Proposals of all sources brought together, in recall order."""

    rows_N: RowArray
    recall_scores_N: FloatArray
    found: tuple[tuple[RecallSource, Proposals], ...] = ()

    def sources_of(self, row: int) -> dict[str, float]:
        """Sources that proposed a row with the scores they gave, by what each added to its place."""
        return self.sources_of_each(np.array([row]))[0]

    def sources_of_each(self, rows_K: RowArray) -> list[dict[str, float]]:
        """The same for several rows at once, each of them once."""
        rows_M, gains_M = _gains(self.found)
        places = np.full(1 + max(rows_M.max(initial=-1), rows_K.max(initial=-1)), NO_ROW)
        places[rows_K] = np.arange(len(rows_K))
        place_M = places[rows_M]
        hits = (place_M != NO_ROW).nonzero()[0]
        hits = hits[(-gains_M[hits]).argsort(kind="stable")]
        source_M = np.repeat(np.arange(len(self.found)), [len(proposals.rows_K) for _, proposals in self.found])
        scores_M = np.concatenate([NOTHING.scores_K, *(proposals.scores_K for _, proposals in self.found)])
        each: list[dict[str, float]] = [{} for _ in rows_K]
        found = zip(place_M[hits].tolist(), source_M[hits].tolist(), scores_M[hits].tolist(), strict=True)
        for place, source, score in found:
            each[place][self.found[source][0].name] = score
        return each


def fuse(found: Sequence[tuple[RecallSource, Proposals]], *, num_candidates: int) -> Candidates:
    """Reciprocal rank fusion of proposals.

        recall_score_i = sum over sources  weight / (k + rank of i in the source),    weight > 0

    Deterministic: equal scores are ordered by row.
    """
    if not found:
        return Candidates(rows_N=NOTHING.rows_K, recall_scores_N=NOTHING.scores_K)
    rows_M, gains_M = _gains(found)
    scores_I = np.bincount(rows_M, weights=gains_M).astype(np.float64)
    rows_N = np.flatnonzero(scores_I)
    rows_N = rows_N[best_positions(scores_I[rows_N], num_candidates)]
    return Candidates(rows_N=rows_N, recall_scores_N=scores_I[rows_N], found=tuple(found))


def _gains(found: Sequence[tuple[RecallSource, Proposals]]) -> tuple[RowArray, FloatArray]:
    """(rows, what each adds to their recall scores) of all proposals, source after source."""
    rows_M = np.concatenate([NOTHING.rows_K, *(proposals.rows_K for _, proposals in found)])
    ranks = [np.arange(1, 1 + len(proposals.rows_K)) for _, proposals in found]
    gains = [source.weight / (FUSION_OFFSET + rank) for (source, _), rank in zip(found, ranks, strict=True)]
    return rows_M, np.concatenate([NOTHING.scores_K, *gains])


def _best(rows: RowArray, scores: FloatArray, num_candidates: int) -> Proposals:
    """The best of `rows`, which ascend: equal scores are ordered by row."""
    order = best_positions(scores, num_candidates)
    return Proposals(rows_K=rows[order], scores_K=scores[order])
