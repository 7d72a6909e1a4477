"""similar(): items like one item, or that go with it, for nobody in particular or in an order that a user has a say in.

The order is that of likeness, by embedding, by neighbors, or by both; or of what is taken together with the item. For
a user the head of it is ordered by that and interest together (mmrec.serving.rerank.with_interest), by the ranker that
lists are ordered by, and what takes an item off the user's lists, such as buying it, takes it off this one.

Axes: K items listed, N candidates.
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from mmrec.errors import InvalidRequestError
from mmrec.recall.context import RecallContext, allowed_items, item_context, recall_context
from mmrec.recall.fusion import Candidates, fuse
from mmrec.recall.item_filter import ItemFilter
from mmrec.recall.sources.registry import FINDING_SIMILAR
from mmrec.serving.goes_with import ReadNeighbors, goes_with
from mmrec.serving.recommend import (
    Deadline,
    ListRequest,
    Progress,
    ReadProfile,
    RecommendedList,
    ReplicaState,
    rank,
    refuse_length,
    requested_profile,
    shown_row,
)
from mmrec.serving.rerank import with_interest

HEAD: Final = 2
"""A user's interest orders so many times the length of the list among themselves."""


class Find(Protocol):
    """Finds items for the one of an item_context()."""

    def __call__(self, context: RecallContext, *, num_candidates: int) -> Candidates:
        """At most so many of the allowed ones, best first."""
        ...


def alike(context: RecallContext, *, num_candidates: int) -> Candidates:
    """Items like the one of the context."""
    # The release's weights are of lists for users: here sources count as they say themselves.
    found = [(source, source.propose(context, num_candidates=num_candidates)) for source in FINDING_SIMILAR]
    return fuse(found, num_candidates=num_candidates)


def complements(
    context: RecallContext, *, num_candidates: int, substitutes_share: str, read_neighbors: ReadNeighbors
) -> Candidates:
    """What goes with the item of the context; arguments and errors as goes_with()."""
    return goes_with(
        int(context.own_rows_J[0]),
        context.catalogue,
        allowed_I=context.allowed_I,
        num_candidates=num_candidates,
        substitutes_share=substitutes_share,
        read_neighbors=read_neighbors,
    )


def similar(
    item_id: str,
    *,
    as_of_s: float,
    num_items: int,
    excluded_item_ids: Sequence[str],
    item_filter: ItemFilter,
    state: ReplicaState,
    user_key: str = "",
    read_profile: ReadProfile = lambda _: None,
    find: Find | None = None,
) -> RecommendedList:
    """Items like one item, or what `find` finds for it.

    Args:
        find: alike() where absent.
        as_of_s: Items that are published later are not listed.
        user_key: Whose interest has a say; empty for nobody's.
        read_profile: As recommend() takes it.

    Raises:
        InvalidRequestError: empty item id, num_items out of range.
        NotFoundError: the item is not in the catalogue, was removed, or is not published yet.
    """
    if not item_id:
        raise InvalidRequestError("item_id is empty; name the item whose like you want")
    refuse_length(num_items)
    catalogue = state.catalogue
    row = shown_row(item_id, catalogue, as_of_s=as_of_s)
    progress = Progress(deadline=Deadline(at_s=math.inf, clock=lambda: 0.0), degraded=state.lacking)
    excluded = [*excluded_item_ids, item_id]
    allowed_I = allowed_items(catalogue, as_of_s=as_of_s, item_filter=item_filter, excluded=excluded)
    asking: RecallContext | None = None
    if user_key:
        request = ListRequest(user_key=user_key, as_of_s=as_of_s)
        profile = requested_profile(request, state, read_profile, progress)
        asking = recall_context(
            profile, catalogue, state.scoring, as_of_s=as_of_s, allowed_I=allowed_I, tower=state.model
        )
        allowed_I = asking.allowed_I
    context = item_context(row, catalogue, state.scoring, allowed_I=allowed_I)
    candidates = (find or alike)(context, num_candidates=4 * num_items)
    scores_N, order = candidates.recall_scores_N, np.arange(len(candidates.rows_N))
    if asking is not None and state.model is not None:
        head = Candidates(rows_N=candidates.rows_N[: HEAD * num_items], recall_scores_N=scores_N[: HEAD * num_items])
        interest_H, features_HF = rank(asking, head, state, progress)
        if features_HF is not None:
            scores_N = with_interest(scores_N, order[: len(head.rows_N)], interest_H)
            order[: len(head.rows_N)] = np.argsort(-scores_N[: len(head.rows_N)], kind="stable")
    shown = order[:num_items]
    return RecommendedList(
        rows_K=candidates.rows_N[shown],
        ranking_scores_K=scores_N[shown],
        candidates=candidates,
        context=context,
        degraded=tuple(progress.degraded),
        has_more=False,
        num_overlay_events=progress.num_overlay_events,
    )
