"""Recall, the first of two stages (Covington et al., RecSys 2016; METHODS M26): cheap sources propose hundreds of items
out of all, some by content, some by what users touched together (a hybrid, METHODS M28).

This module merges their proposals into one list in recall order. How much each source counts there is learned with a
release (mmrec.training.fit_sources); without one, sources count as they say themselves.

Axes: N candidates, K items asked about, M proposals of all sources, I items of the catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from mmrec.index.vectors import best_positions
from mmrec.recall.catalogue import NO_ROW, FloatArray, RowArray
from mmrec.recall.source import NOTHING, Proposals, RecallSource

FUSION_OFFSET = 20.0
"""k of reciprocal rank fusion: how fast the first ranks of a source lose weight (Cormack et al., SIGIR 2009, use 60
for lists of thousands)."""
SourceWeights = Mapping[str, float]
"""Weight by name of a source, > 0; one that is not named has its own."""
OWN_WEIGHTS: Final[SourceWeights] = MappingProxyType({})
"""Every source counts as it says itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Proposals of all sources merged, in recall order."""

    rows_N: RowArray
    recall_scores_N: FloatArray
    found: tuple[tuple[RecallSource, Proposals], ...] = ()
    weights: SourceWeights = field(default_factory=lambda: OWN_WEIGHTS)
    """Those that the proposals were merged with."""

    def sources_of(self, row: int) -> dict[str, float]:
        """Sources that proposed a row, with their scores; the source that contributed most comes first."""
        return self.sources_of_each(np.array([row]))[0]

    def sources_of_each(self, rows_K: RowArray) -> list[dict[str, float]]:
        """The same for several rows at once, each of them once."""
        rows_M, gains_M = _gains(self.found, self.weights)
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


def fuse(
    found: Sequence[tuple[RecallSource, Proposals]], *, num_candidates: int, weights: SourceWeights = OWN_WEIGHTS
) -> Candidates:
    """Reciprocal rank fusion of proposals.

        recall_score_i = sum over sources  weight / (k + rank of i in the source),    weight > 0

    Deterministic: equal scores are ordered by row.

    Args:
        found: Sources with what each proposed, best first.
        num_candidates: Candidates that are kept.
        weights: As a release brings them.
    """
    if not found:
        return Candidates(rows_N=NOTHING.rows_K, recall_scores_N=NOTHING.scores_K)
    rows_M, gains_M = _gains(found, weights)
    scores_I = np.bincount(rows_M, weights=gains_M).astype(np.float64)
    rows_N = np.flatnonzero(scores_I)
    rows_N = rows_N[best_positions(scores_I[rows_N], num_candidates)]
    return Candidates(rows_N=rows_N, recall_scores_N=scores_I[rows_N], found=tuple(found), weights=weights)


def _gains(found: Sequence[tuple[RecallSource, Proposals]], weights: SourceWeights) -> tuple[RowArray, FloatArray]:
    """(rows, what each adds to their recall scores) of all proposals, source after source."""
    rows_M = np.concatenate([NOTHING.rows_K, *(proposals.rows_K for _, proposals in found)])
    ranks = [np.arange(1, 1 + len(proposals.rows_K)) for _, proposals in found]
    gains = [
        weights.get(source.name, source.weight) / (FUSION_OFFSET + rank)
        for (source, _), rank in zip(found, ranks, strict=True)
    ]
    return rows_M, np.concatenate([NOTHING.scores_K, *gains])
