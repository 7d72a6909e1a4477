"""goes_with(): what people take together with an item, and not instead of it.

    weight_j = sum over i of the item and its look-alikes   alike_i * w_ij          w_ij: mmrec/recall/complements.py
    score_j  = weight_j * (1 + cosine of item and j) / 2

alike_i is 1 for the item itself and LIKENESS times the cosine for the items nearest to it, so that a new item has what
goes with items like it. The cosine with j is content compatibility: of two things that go with a dress, the one that
looks like it comes first. What could take the item's place is left out: items with the same value of
`serving.substitutes_share`, such as another dress. Axes: S the item and its look-alikes, N candidates.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.features.values import Neighbors
from mmrec.index.vectors import best_positions
from mmrec.recall.catalogue import NO_ROW, BoolArray, Catalogue, FloatArray, RowArray
from mmrec.recall.complements import complement_key, complements_of
from mmrec.recall.context import RecallContext
from mmrec.recall.fusion import Candidates
from mmrec.recall.source import NOTHING, PlainReason, Proposals

ReadNeighbors = Callable[[Iterable[str]], dict[str, Neighbors]]
NUM_ALIKE: Final = 10
"""Look-alikes whose complements count as well."""
LIKENESS: Final = 0.3
"""What the complements of a look-alike count beside the item's own."""


@dataclass(frozen=True)
class TakenTogether:
    """What proposes complements, as lists and explanations name it."""

    name: str = "together"
    weight: float = 1.0
    needs_model: bool = False
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Nothing for a user: goes_with() finds complements of one item."""
        return NOTHING

    def reasons(self, row: int, context: RecallContext) -> tuple[PlainReason, ...]:
        """That people take both."""
        return (PlainReason(sentence="People take it together with this.", precedence=1),)


def goes_with(
    row: int,
    catalogue: Catalogue,
    *,
    allowed_I: BoolArray,
    num_candidates: int,
    substitutes_share: str,
    read_neighbors: ReadNeighbors,
) -> Candidates:
    """Complements of the item at `row` among the allowed ones, best first; fewer where little was taken with it.

    Args:
        substitutes_share: Attribute whose values substitutes share; empty where none tells.
        read_neighbors: As mmrec.features.ports.ItemViewReader has it.

    Raises:
        StoreError: the online store failed.
    """
    substitutes_I = catalogue.sharing(np.array([row]), substitutes_share) if substitutes_share else None
    seeds_S, alike_S = _alike(row, catalogue, substitutes_I)
    names = [catalogue.item_ids[seed] for seed in seeds_S.tolist()]
    found = complements_of(read_neighbors([complement_key(name) for name in names]), names)
    weights_I = np.zeros(len(catalogue.item_ids))
    for name, alike in zip(names, alike_S.tolist(), strict=True):
        if (near := found.get(name)) is not None:
            rows = catalogue.rows(near.item_ids)
            known = rows != NO_ROW
            np.add.at(weights_I, rows[known], alike * near.weights_K[known].astype(np.float64))
    wanted_I = allowed_I & (weights_I > 0)
    wanted_I[seeds_S] = False
    if substitutes_I is not None:
        wanted_I &= ~substitutes_I
    rows_N = np.flatnonzero(wanted_I)
    scores_N = weights_I[rows_N] * (1.0 + _cosines(row, rows_N, catalogue)) / 2.0
    best = best_positions(scores_N, num_candidates)
    proposals = Proposals(rows_K=rows_N[best], scores_K=scores_N[best])
    return Candidates(
        rows_N=proposals.rows_K, recall_scores_N=proposals.scores_K, found=((TakenTogether(), proposals),)
    )


def _alike(row: int, catalogue: Catalogue, substitutes_I: BoolArray | None) -> tuple[RowArray, FloatArray]:
    """(rows, what their complements count) of the item and of those nearest to it, among its substitutes if known."""
    own = np.array([row], dtype=np.int64)
    if catalogue.index is None or not catalogue.embedded_I[row]:
        return own, np.ones(1)
    others_I = catalogue.embedded_I.copy() if substitutes_I is None else catalogue.embedded_I & substitutes_I
    others_I[row] = False
    found = catalogue.index.search(catalogue.index.vectors_ID[own], num_results=NUM_ALIKE, allowed_I=others_I)
    hit = (found.rows_QK[0] != NO_ROW) & (found.scores_QK[0] > 0)
    rows_S = np.concatenate([own, found.rows_QK[0][hit]])
    return rows_S, np.concatenate([np.ones(1), LIKENESS * found.scores_QK[0][hit].astype(np.float64)])


def _cosines(row: int, rows_N: RowArray, catalogue: Catalogue) -> FloatArray:
    """Of the item's embedding with those of others; 0 where one has none."""
    if catalogue.index is None:
        return np.zeros(len(rows_N))
    vectors_ID = catalogue.index.vectors_ID
    cosines_N: FloatArray = (vectors_ID[rows_N] @ vectors_ID[row]).astype(np.float64)
    return cosines_N
