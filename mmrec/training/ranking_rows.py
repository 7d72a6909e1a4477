"""Ranking examples -> feature rows, once the towers are fit: what serving would have ranked at the same instant.

All recall sources are asked over the catalogue as it stood just before the list, with the towers' vectors and the
newest neighbors built by then; candidates are fused as for a request, and features come from assemble(). A label that
nobody proposed stands beside them: it is no training example (serving would never rank it) and a miss in every figure
of the ranker.

Axes: N candidates of a list, I items, F features, D embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import NOT_OWN, assemble
from mmrec.features.item_columns import ContentColumns
from mmrec.recall.context import EmbedsUsers, RecallContext
from mmrec.recall.fusion import OWN_WEIGHTS, SourceWeights, fuse
from mmrec.recall.source import Proposals, RecallSource
from mmrec.recall.sources.registry import SOURCES
from mmrec.scoring.item_statistics import popularities
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.examples import NOT_A_LABEL, RankingExamples
from mmrec.training.list_world import ListWorld, list_catalogue

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Found = tuple[tuple[RecallSource, Proposals], ...]
"""Sources with what each proposed for one list."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedList:
    """One list as the ranker reads it, with scores of the baselines beside it."""

    rows_N: IntArray
    """Candidates and labels as rows of the vocabulary, ascending, so that places say nothing about labels."""
    features_NF: npt.NDArray[np.float32]
    labels_N: npt.NDArray[np.int16]
    """Position on axis B of the weightiest behavior that followed within the window, NOT_A_LABEL where none did."""
    next_N: npt.NDArray[np.bool_]
    """Whether one followed at the very instant: what figures count."""
    proposed_N: npt.NDArray[np.bool_]
    """Whether recall had proposed it."""
    own_N: npt.NDArray[np.bool_]
    """Whether the user had touched it before."""
    popularity_N: FloatArray
    """Decayed counts at the half-life that popularity uses."""
    neighbor_N: FloatArray
    tower_N: FloatArray
    """Cosine to the user's embedding; -1 where there is none."""
    recall_N: FloatArray
    """Score in recall's own order; 0 where recall had not proposed it."""
    found: Found = ()
    """What each source proposed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TowerView:
    """The towers over the vocabulary of the examples."""

    model: EmbedsUsers
    vectors_ID: npt.NDArray[np.float32]
    """Zeros where an item has none."""


def ranked_lists(
    examples: RankingExamples,
    numbers: npt.NDArray[np.integer],
    *,
    content: ContentColumns,
    towers: TowerView | None,
    scoring: ScoringConfig,
    num_candidates: int,
    sources: Sequence[RecallSource] = SOURCES,
    weights: SourceWeights = OWN_WEIGHTS,
) -> Iterator[RankedList]:
    """The lists of those numbers, in order.

    Args:
        content: Serving fields of the examples' vocabulary, one row each.
        towers: None asks the sources that need no model, as serving does without a release.
        scoring: Behaviors and decay, as serving reads profiles.
        num_candidates: Of a list, as serving.num_candidates says.
        weights: Of the sources, as the release will bring them.
    """
    world = _world(examples, content=content, towers=towers, scoring=scoring)
    for number in numbers.tolist():
        context, found = _asked(examples, number, world, num_candidates, sources)
        yield _ranked_list(examples, number, context, found, scoring, num_candidates=num_candidates, weights=weights)


def proposed_lists(
    examples: RankingExamples,
    numbers: npt.NDArray[np.integer],
    *,
    content: ContentColumns,
    towers: TowerView | None,
    scoring: ScoringConfig,
    num_candidates: int,
    sources: Sequence[RecallSource] = SOURCES,
) -> Iterator[tuple[Found, IntArray]]:
    """(what each source proposes, rows of what the user did next) of the lists of those numbers; as ranked_lists().

    No features are made, which is most of the work.
    """
    world = _world(examples, content=content, towers=towers, scoring=scoring)
    for number in numbers.tolist():
        _, found = _asked(examples, number, world, num_candidates, sources)
        labels = examples.labels(number)
        yield found, examples.label_rows_M[labels][examples.label_next_M[labels]].astype(np.int64)


def _world(
    examples: RankingExamples, *, content: ContentColumns, towers: TowerView | None, scoring: ScoringConfig
) -> ListWorld:
    return ListWorld(
        catalogue=list_catalogue(
            examples.item_ids,
            content=content,
            behaviors=scoring.behaviors,
            decay_per_day_H=examples.item_history.decay_per_day_H,
            vectors_ID=towers.vectors_ID if towers is not None else None,
        ),
        item_history=examples.item_history,
        scoring=scoring,
        tower=towers.model if towers is not None else None,
    )


def _asked(
    examples: RankingExamples, number: int, world: ListWorld, num_candidates: int, sources: Sequence[RecallSource]
) -> tuple[RecallContext, Found]:
    time_s = float(examples.label_times_N[number])
    context = world.context(examples.profile(number), time_s, examples.neighbors_at(time_s))
    return context, tuple((source, source.propose(context, num_candidates=num_candidates)) for source in sources)


def _ranked_list(
    examples: RankingExamples,
    number: int,
    context: RecallContext,
    found: Found,
    scoring: ScoringConfig,
    *,
    num_candidates: int,
    weights: SourceWeights,
) -> RankedList:
    behaviors = scoring.behaviors
    candidates = fuse(found, num_candidates=num_candidates, weights=weights)
    labels = examples.labels(number)
    rows_N = np.union1d(candidates.rows_N, examples.label_rows_M[labels]).astype(np.int64)
    places = np.searchsorted(rows_N, examples.label_rows_M[labels])
    labels_N = np.full(len(rows_N), NOT_A_LABEL, dtype=np.int16)
    labels_N[places] = examples.label_behaviors_M[labels]
    next_N = np.zeros(len(rows_N), dtype=np.bool_)
    next_N[places] = examples.label_next_M[labels]
    recall_N = np.zeros(len(rows_N))
    recall_N[np.searchsorted(rows_N, candidates.rows_N)] = candidates.recall_scores_N
    facts, signals = context.catalogue.facts(rows_N, context.own_rows_J), context.signals(rows_N)
    return RankedList(
        rows_N=rows_N,
        features_NF=assemble(
            context.profile,
            facts,
            signals,
            as_of_s=context.read_s,
            behaviors=behaviors,
            decay_per_day=scoring.decay_per_day[0],
        ),
        labels_N=labels_N,
        next_N=next_N,
        proposed_N=np.isin(rows_N, candidates.rows_N),
        own_N=facts.own_positions_N != NOT_OWN,
        popularity_N=popularities(
            facts.counts_NHB,
            facts.reference_times_N,
            weights_B=behaviors.weights_B,
            decay_per_day_H=facts.decay_per_day_H,
        ),
        neighbor_N=signals.neighbor_score_N,
        tower_N=np.nan_to_num(signals.tower_similarity_N, nan=-1.0),
        recall_N=recall_N,
        found=found,
    )
