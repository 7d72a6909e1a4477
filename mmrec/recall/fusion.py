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

from mmrec.index.allowed import EVERYTHING
from mmrec.index.best_rows import best_rows
from mmrec.index.row_tables import table_of
from mmrec.recall.catalogue import FloatArray, RowArray
from mmrec.recall.source import NOTHING, Proposals, RecallSource
from mmrec.recall.sums import fused_scores, proposals_of

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
        each: list[dict[str, float]] = [{} for _ in rows_K]
        if not self.found or not len(rows_K):
            return each
        asked = _sequence(self.found, self.weights)
        found_4M = proposals_of(*asked, FUSION_OFFSET, table_of(rows_K), rows_K)
        found_4M = found_4M[:, (-found_4M[3]).argsort(kind="stable")]
        scores_M = np.concatenate([proposals.scores_K for _, proposals in self.found])[found_4M[0].astype(np.int64)]
        names = [source.name for source, _ in self.found]
        for place, source, score in zip(*found_4M[2:0:-1].astype(np.int64).tolist(), scores_M.tolist(), strict=True):
            each[place][names[source]] = score
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
    rows_U, scores_U = fused_scores(*_sequence(found, weights), FUSION_OFFSET)
    rows_N, scores_N = best_rows(rows_U, scores_U, num_candidates, EVERYTHING)
    return Candidates(rows_N=rows_N, recall_scores_N=scores_N, found=tuple(found), weights=weights)


def _sequence(
    found: Sequence[tuple[RecallSource, Proposals]], weights: SourceWeights
) -> tuple[RowArray, RowArray, FloatArray]:
    """(rows, position after the last one of each source, weight of each source) of proposals, source after source."""
    ends_G = np.array([len(proposals.rows_K) for _, proposals in found], dtype=np.int64).cumsum()
    weights_G = np.array([weights.get(source.name, source.weight) for source, _ in found], dtype=np.float64)
    rows_M = np.concatenate([proposals.rows_K for _, proposals in found], dtype=np.int64)
    return rows_M, ends_G, weights_G
