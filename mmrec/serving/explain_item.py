"""explain_item(): what became of one item on its way to a user's list, and what it would take (METHODS M29).

The list is made as recommend() makes it. An item that is not on it is then looked at as if it could be shown: what each
recall source says of it, what the ranker says, and which stage kept it back.

Axes: N candidates, F features, I items of the catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from mmrec.errors import NotFoundError
from mmrec.features.assemble import feature_names
from mmrec.models.serving_model import ServingModel
from mmrec.recall.catalogue import NO_ROW, FloatArray
from mmrec.recall.context import RecallContext
from mmrec.recall.fusion import FUSION_OFFSET, Candidates
from mmrec.recall.source import RecallSource
from mmrec.recall.sources.registry import SOURCES
from mmrec.serving.contributions import contributions
from mmrec.serving.explain import Explanation, explain, shown_when
from mmrec.serving.recommend import (
    Deadline,
    ListRequest,
    Progress,
    RankedCandidates,
    ReadProfile,
    ReplicaState,
    rank,
    rank_candidates,
)
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
DEPTH: Final = 5_000
"""Proposals of each source among which an item that is no candidate is looked for."""


class Outcome(Enum):
    """The last stage that an item reached; names of mmrec.v1.ItemOutcome."""

    LISTED = 1
    BELOW = 2
    CUT = 3
    NOT_PROPOSED = 4
    DONE = 5
    FILTERED = 6
    EXCLUDED = 7
    UNAVAILABLE = 8


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What one recall source says of the item."""

    source: str
    place: int
    """1-based among its proposals; 0 where it does not propose the item."""
    score: float
    gain: float
    """What that place adds to the recall score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainedItem:
    """All stages of one item."""

    row: int
    outcome: Outcome
    text: str
    """What became of it, for people."""
    place: int
    """1-based among all candidates in the order of the list; of an item that is none, where it would stand."""
    ranking_score: float
    last_score: float
    """Ranking score of the last item of the list; NaN for an empty one."""
    standings: tuple[Standing, ...]
    recall_score: float
    explanation: Explanation
    features: Mapping[str, float]
    """Empty where the ranker was not used."""
    contributions: Mapping[str, float]
    """What each feature added, beside the mean of the candidates; empty where the ranker was not used."""
    candidates_score: float
    """Ranking score of the mean of the candidates; 0 where the ranker was not used."""
    ranked: RankedCandidates


def explain_item(
    item_id: str, request: ListRequest, *, state: ReplicaState, read_profile: ReadProfile, deadline: Deadline
) -> ExplainedItem:
    """What became of an item in the list that `request` asks for.

    Raises:
        NotFoundError: the catalogue does not know the item.
        DeadlineError: the deadline had passed before anything was done.
        InvalidRequestError: a session event without item, an unknown behavior.
    """
    deadline.refuse_late()
    row = state.catalogue.row_of.get(item_id, NO_ROW)
    if row == NO_ROW:
        raise NotFoundError(f"item {item_id!r} is not in the catalogue of {len(state.catalogue.item_ids)} items")
    ranked = rank_candidates(request, state=state, read_profile=read_profile, deadline=deadline)
    context = _as_if_allowed(ranked.context, row)
    candidate = np.flatnonzero(ranked.candidates.rows_N == row)
    found = ranked.candidates if len(candidate) else _deep_recall(context, state)
    recall_score = sum(each.gain for each in _standings(found, row))
    if ranked.features_NF is None:  # nobody ranked: recall scores are what the list is ordered by
        score, features_1F = recall_score, None
    elif len(candidate):
        score, features_1F = float(ranked.scores_N[candidate[0]]), ranked.features_NF[candidate]
    else:
        alone = Candidates(rows_N=np.array([row]), recall_scores_N=np.array([recall_score]), found=found.found)
        untimed = Progress(deadline=replace(deadline, clock=lambda: -np.inf))  # one row takes no time
        scores, features_1F = rank(context, alone, state, untimed)
        score = float(scores[0])
    listed = ranked.cut(request.num_items)
    place = _place(ranked, candidate, score)
    standings = _standings(found, row)
    outcome, text = _outcome(
        row,
        place=place,
        is_candidate=bool(len(candidate)),
        standings=standings,
        request=request,
        ranked=ranked,
        state=state,
    )
    names = feature_names(state.scoring.behaviors, num_half_lives=len(state.catalogue.decay_per_day_H))
    added, mean_score = _added(state.model, features_1F, ranked.features_NF)
    proposed_by = {each.source: each.score for each in standings if each.place}
    why = explain(row, replace(listed, candidates=found, context=context), proposed_by)
    return ExplainedItem(
        row=row,
        outcome=outcome,
        text=why.text if outcome is Outcome.LISTED else text,
        place=place,
        ranking_score=score,
        last_score=float(listed.ranking_scores_K[-1]) if len(listed.rows_K) else float("nan"),
        standings=standings,
        recall_score=recall_score,
        explanation=why,
        features=_named(names, features_1F[0]) if features_1F is not None else {},
        contributions=_named(names, added) if added is not None else {},
        candidates_score=mean_score,
        ranked=ranked,
    )


def _as_if_allowed(context: RecallContext, row: int) -> RecallContext:
    """The request with the item among those that may be shown."""
    if context.allowed_I[row]:
        return context
    allowed_I = context.allowed_I.copy()
    allowed_I[row] = True
    return replace(context, allowed_I=allowed_I)


def _deep_recall(context: RecallContext, state: ReplicaState) -> Candidates:
    """What all sources propose down to DEPTH; a source that raises proposes nothing."""
    found: list[tuple[RecallSource, object]] = []
    for source in SOURCES:
        try:
            found.append((source, source.propose(context, num_candidates=DEPTH)))
        except Exception as error:  # as in a list: the other sources answer
            log.error("source_failed", source=source.name, error=repr(error))
    return Candidates(
        rows_N=np.zeros(0, dtype=np.int64),
        recall_scores_N=np.zeros(0),
        found=tuple(found),  # type: ignore[arg-type]
        weights=state.source_weights,
    )


def _standings(found: Candidates, row: int) -> tuple[Standing, ...]:
    standings = []
    for source, proposals in found.found:
        at = np.flatnonzero(proposals.rows_K == row)
        place = int(at[0]) + 1 if len(at) else 0
        weight = found.weights.get(source.name, source.weight)
        standings.append(
            Standing(
                source=source.name,
                place=place,
                score=float(proposals.scores_K[place - 1]) if place else 0.0,
                gain=weight / (FUSION_OFFSET + place) if place else 0.0,
            )
        )
    return tuple(standings)


def _place(ranked: RankedCandidates, candidate: np.ndarray, score: float) -> int:
    """1-based place among the candidates; of another item, after those with a score at least as high."""
    if len(candidate):
        return int(np.flatnonzero(ranked.order == candidate[0])[0]) + 1
    return int((ranked.scores_N >= score).sum()) + 1


def _outcome(
    row: int,
    *,
    place: int,
    is_candidate: bool,
    standings: Sequence[Standing],
    request: ListRequest,
    ranked: RankedCandidates,
    state: ReplicaState,
) -> tuple[Outcome, str]:
    """The stage that kept the item back, in the order in which a request meets them, and what it says."""
    if is_candidate:
        if place <= request.num_items:
            return Outcome.LISTED, ""
        return Outcome.BELOW, f"It is candidate {place} of {len(ranked.order)}; the list ends at {request.num_items}."
    catalogue = state.catalogue
    entry = catalogue.entries[row]
    stocked = request.item_filter.includes_out_of_stock
    if not catalogue.showable(request.as_of_s, now_s=request.now_s, includes_out_of_stock=stocked)[row]:
        when = shown_when(entry, now_s=max(request.as_of_s, request.now_s or request.as_of_s))
        return Outcome.UNAVAILABLE, f"Lists may contain it {when}."
    if entry.item_id in request.excluded_item_ids or entry.item_id in request.shown_item_ids:
        return Outcome.EXCLUDED, "The request excludes it, or it was on a page before."
    if not catalogue.passing(request.item_filter)[row]:
        return Outcome.FILTERED, "The request's filter does not let it through."
    if not ranked.context.allowed_I[row]:
        return Outcome.DONE, _done(row, ranked.context)
    if not any(each.place for each in standings):
        return Outcome.NOT_PROPOSED, f"No recall source has it among its first {DEPTH:,} proposals for this user."
    best = min((each for each in standings if each.place), key=lambda each: each.place)
    return Outcome.CUT, (
        f"{best.source} has it at place {best.place:,}; {len(ranked.order)} candidates that were proposed higher, or "
        f"by more sources, were ranked instead."
    )


def _done(row: int, context: RecallContext) -> str:
    """Which behavior of the user took the item off the lists."""
    own = np.flatnonzero(context.own_rows_J == row)
    behaviors = context.behaviors
    title = context.catalogue.entries[row].title or context.catalogue.item_ids[row]
    counts_JB = context.profile.counts(behaviors)[:, 0]
    if len(own) and behaviors.hiding:
        done = max(behaviors.hiding, key=lambda place: counts_JB[own[0], place])
        if counts_JB[own[0], done] > 0:
            return f"You {behaviors.behaviors[done].said_of(title)}; that takes it off the lists."
    for place, attribute in behaviors.hiding_alike:
        for other in np.flatnonzero((counts_JB[:, place] > 0) & (context.own_rows_J != NO_ROW)):
            led = context.own_rows_J[other : other + 1]
            if context.catalogue.sharing(led, attribute)[row]:
                said = behaviors.behaviors[place].said_of(context.catalogue.entries[int(led[0])].title)
                return f"You {said}; that takes items of the same {attribute} off the lists."
    return "It may not be shown to this user."


def _added(
    model: ServingModel | None, features_1F: np.ndarray | None, features_NF: np.ndarray | None
) -> tuple[FloatArray | None, float]:
    """(what each feature added, the score of the mean of the candidates)."""
    if model is None or features_1F is None:
        return None, 0.0
    mean_F = (features_NF if features_NF is not None and len(features_NF) else features_1F).mean(axis=0)
    mean_F = mean_F.astype(np.float32)
    return contributions(model.rank, features_1F[0], mean_F), float(model.rank(mean_F[None])[0])


def _named(names: Sequence[str], values_F: np.ndarray) -> dict[str, float]:
    return dict(zip(names, (float(value) for value in values_F), strict=True))
