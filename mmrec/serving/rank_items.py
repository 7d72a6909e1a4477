"""rank_items(): the caller's own items in the order of a user's interest.

The same profile, features and ranker as recommend(); nothing is recalled, so every item that may be shown is ranked,
those the user bought included. Where no ranker judges, the order is that of recall among these items alone.

Axes: N items that are ranked, I items of the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmrec.errors import InvalidRequestError
from mmrec.recall.catalogue import NO_ROW, RowArray
from mmrec.recall.context import RecallContext, recall_context
from mmrec.recall.fusion import Candidates
from mmrec.recall.sources.registry import SOURCES
from mmrec.serving.recommend import (
    Deadline,
    ListRequest,
    Progress,
    ReadProfile,
    RecommendedList,
    ReplicaState,
    rank,
    recall,
    requested_profile,
)
from mmrec.serving.rerank import by_score

MAX_RANKED = 1_000


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedItems:
    """A permutation of the items that may be shown, and the other ones."""

    found: RecommendedList
    unknown: tuple[str, ...]
    """Items that the catalogue does not know, in the caller's order."""
    unavailable: tuple[str, ...]
    """Items that lists may not contain as of the request."""


def rank_items(
    request: ListRequest,
    item_ids: Sequence[str],
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    with_sources: bool = False,
) -> RankedItems:
    """The items by ranking score; equal ones keep the caller's order.

    Args:
        request: Whose interest, and as of when; what it says of the length of a list and of filters is not used.
        item_ids: 1 to MAX_RANKED; one that comes again counts once.
        with_sources: Also find which recall sources propose each item, as explanations need.

    Raises:
        InvalidRequestError: no items or too many of them; a session event without item, an unknown behavior.
        DeadlineError: the deadline had passed before anything was done.
    """
    if not 1 <= len(item_ids) <= MAX_RANKED:
        raise InvalidRequestError(f"{len(item_ids)} item_ids; give 1 to {MAX_RANKED}")
    deadline.refuse_late()
    progress, catalogue = Progress(deadline=deadline), state.catalogue
    once = tuple(dict.fromkeys(item_ids))
    rows = catalogue.rows(once)
    showable_I = catalogue.showable(request.as_of_s, now_s=request.now_s)
    shown = (rows != NO_ROW) & showable_I[rows] if len(showable_I) else rows != NO_ROW
    rows_N: RowArray = rows[shown]
    context = recall_context(
        requested_profile(request, state, read_profile, progress),
        catalogue,
        state.scoring,
        as_of_s=request.as_of_s,
        allowed_I=_only(rows_N, len(catalogue.item_ids)),
        tower=state.model,
    )
    candidates = Candidates(rows_N=rows_N, recall_scores_N=np.zeros(len(rows_N)))
    if with_sources or state.model is None:
        candidates = _proposed(context, rows_N, state, progress)
    scores_N, features_NF = rank(context, candidates, state, progress)
    if features_NF is None and state.model is not None and not candidates.found:
        candidates = _proposed(context, rows_N, state, progress)
        scores_N = candidates.recall_scores_N
    order = by_score(scores_N)
    found = RecommendedList(
        rows_K=rows_N[order],
        ranking_scores_K=scores_N[order],
        candidates=candidates,
        context=context,
        degraded=tuple(progress.degraded),
        has_more=False,
        num_overlay_events=progress.num_overlay_events,
        features_NF=features_NF,
    )
    return RankedItems(
        found=found,
        unknown=tuple(name for name, row in zip(once, rows.tolist(), strict=True) if row == NO_ROW),
        unavailable=tuple(
            name for name, row, is_shown in zip(once, rows, shown, strict=True) if row != NO_ROW and not is_shown
        ),
    )


def _only(rows_N: RowArray, num_items: int) -> np.ndarray:
    allowed_I = np.zeros(num_items, dtype=np.bool_)
    allowed_I[rows_N] = True
    return allowed_I


def _proposed(context: RecallContext, rows_N: RowArray, state: ReplicaState, progress: Progress) -> Candidates:
    """All of the items, with the recall scores of those that sources propose."""
    found = recall(context, SOURCES, max(1, len(rows_N)), state.source_weights, progress)
    scores_I = np.zeros(len(context.catalogue.item_ids))
    scores_I[found.rows_N] = found.recall_scores_N
    return replace(found, rows_N=rows_N, recall_scores_N=scores_I[rows_N])
