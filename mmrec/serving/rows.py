"""recommend_rows(): a page of rows for a user, each with its reason, no item in two of them.

    for the user       the user's list
    because of X       like an item touched lately, by neighbors and embeddings as SimilarItems finds them
    new                published lately, newest first, in the domain of the item touched last
    popular near       what all users like now in the request's context
    popular            what all users like now

Rows are filled in this order, the newest X first; each takes what the rows before it left, and one that is left with
less than MIN_ITEMS is not shown. For somebody of whom nothing is known, the first row is popular items already, and
only what is new comes after it. Axes: K items of a row, I items of the catalogue.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from mmrec.catalog.item import Availability
from mmrec.errors import InvalidRequestError
from mmrec.recall.catalogue import BoolArray, FloatArray, RowArray
from mmrec.recall.context import RecallContext, item_context
from mmrec.recall.fusion import OWN_WEIGHTS, Candidates
from mmrec.recall.near import NearItems
from mmrec.recall.source import Proposals
from mmrec.recall.sources.registry import FINDING_SIMILAR, SOURCES
from mmrec.serving.explain import NEW_S, newest_behavior
from mmrec.serving.recommend import (
    RECALL_MARGIN_S,
    Deadline,
    Degradation,
    ListRequest,
    Progress,
    RankedCandidates,
    ReadProfile,
    ReplicaState,
    rank_candidates,
    recall,
)

DEFAULT_ROWS: Final = 5
MAX_ROWS: Final = 20
DEFAULT_ROW_ITEMS: Final = 12
MAX_ROW_ITEMS: Final = 50
NUM_OTHERS: Final = 3
"""Rows beside those of single items, without the one of a context; these leave room for them."""
MIN_ITEMS: Final = 3
"""Items that a row must have to be worth its title."""


class RowKind(Enum):
    """Why a row is there; names of mmrec.v1.RowKind."""

    FOR_USER = 1
    BECAUSE = 2
    NEW = 3
    POPULAR = 4
    NEAR = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Items under one reason, best first."""

    kind: RowKind
    title: str
    rows_K: RowArray
    """Rows of the catalogue."""
    scores_K: FloatArray
    """Ranking scores, fused similarity, publish times or popularity, as the row is ordered."""
    candidates: Candidates
    """What proposed them; of no sources for rows that are not recalled."""
    item_id: str = ""
    """The item that led to the row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """Rows from top to bottom, and the candidates that the first one was cut from."""

    rows: tuple[Row, ...]
    ranked: RankedCandidates
    degraded: tuple[Degradation, ...]
    """Of the first row and of those after it."""


def recommend_rows(
    request: ListRequest,
    *,
    num_rows: int,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
) -> Page:
    """A page for a user. The same state and request give the same page.

    Args:
        request: Its num_items is the length of a row; exclusions and the filter hold for every row.

    Raises:
        InvalidRequestError: num_rows or num_items out of range; a session event without item, an unknown behavior.
        DeadlineError: the deadline had passed before anything was done.
    """
    for name, value, most in (("num_rows", num_rows, MAX_ROWS), ("num_items", request.num_items, MAX_ROW_ITEMS)):
        if not 1 <= value <= most:
            raise InvalidRequestError(f"{name} is {value}; give 1 to {most}, or 0 for the default")
    deadline.refuse_late()
    ranked = rank_candidates(request, state=state, read_profile=read_profile, deadline=deadline)
    left_I = ranked.context.allowed_I.copy()
    rows: list[Row] = []
    progress = Progress(deadline=deadline, degraded=dict.fromkeys(ranked.degraded))
    num_because = max(1, num_rows - NUM_OTHERS - bool(request.near))
    for row in _all_rows(ranked, request, state, left_I, num_because=num_because, progress=progress):
        if len(row.rows_K) >= (MIN_ITEMS if rows else 1):
            left_I[row.rows_K] = False
            rows.append(row)
        if len(rows) == num_rows:
            break
    return Page(rows=tuple(rows), ranked=ranked, degraded=tuple(progress.degraded))


def _all_rows(
    ranked: RankedCandidates,
    request: ListRequest,
    state: ReplicaState,
    left_I: BoolArray,
    *,
    num_because: int,
    progress: Progress,
) -> Iterator[Row]:
    """Rows one after the other; `left_I` loses the items of each that is taken before the next one is made."""
    listed = ranked.cut(request.num_items)
    context = ranked.context
    yield Row(
        kind=RowKind.FOR_USER,
        title="For you" if context.profile.num_events else "Popular near you" if request.near else "Popular now",
        rows_K=listed.rows_K,
        scores_K=listed.ranking_scores_K,
        candidates=ranked.candidates,
    )
    for own, row in _anchors(context)[:num_because]:
        if progress.deadline.left_s() < RECALL_MARGIN_S:
            progress.degraded[Degradation.SOURCES_SKIPPED] = None
            break
        yield _because(own, row, ranked=ranked, request=request, state=state, left_I=left_I, progress=progress)
    yield _new(ranked, request, left_I)
    if context.profile.num_events:  # for everybody else it is the first row
        if request.near:
            yield _near(ranked, request, left_I)
        yield _popular(ranked, request, left_I)


def _anchors(context: RecallContext) -> list[tuple[int, int]]:
    """(place among own items, row) of items that may lead a row, touched last first: liked still, and to be named."""
    place_of = {row: own for own, row in enumerate(context.own_rows_J.tolist()) if context.affinity_J[own] > 0}
    entries = context.catalogue.entries
    return [
        (place_of[row], row)
        for row in context.recent_rows.tolist()
        if row in place_of and entries[row].availability is not Availability.HIDDEN
    ]


def _because(
    own: int,
    row: int,
    *,
    ranked: RankedCandidates,
    request: ListRequest,
    state: ReplicaState,
    left_I: BoolArray,
    progress: Progress,
) -> Row:
    catalogue = ranked.context.catalogue
    allowed_I = left_I.copy()
    allowed_I[row] = False
    about = item_context(row, catalogue, state.scoring, allowed_I=allowed_I)
    candidates = recall(about, FINDING_SIMILAR, 4 * request.num_items, OWN_WEIGHTS, progress)
    return Row(
        kind=RowKind.BECAUSE,
        title=f"Because you {newest_behavior(own, ranked.context).phrase}",
        rows_K=candidates.rows_N[: request.num_items],
        scores_K=candidates.recall_scores_N[: request.num_items],
        candidates=candidates,
        item_id=catalogue.item_ids[row],
    )


def _new(ranked: RankedCandidates, request: ListRequest, left_I: BoolArray) -> Row:
    context, catalogue = ranked.context, ranked.context.catalogue
    domain = catalogue.entries[int(context.recent_rows[0])].domain if len(context.recent_rows) else ""
    is_new_I = left_I & (catalogue.published_from_I > request.as_of_s - NEW_S)
    if domain:
        is_new_I &= catalogue.content.tokens_TX[-1] == catalogue.vocabulary.known("", domain)
    rows = np.flatnonzero(is_new_I)
    rows = rows[np.argsort(-catalogue.published_from_I[rows], kind="stable")][: request.num_items]
    return _plain(RowKind.NEW, f"New in {domain}" if domain else "New", rows, catalogue.published_from_I[rows])


def _near(ranked: RankedCandidates, request: ListRequest, left_I: BoolArray) -> Row:
    source = NearItems(near=request.near)
    found = source.propose(replace(ranked.context, allowed_I=left_I), num_candidates=request.num_items)
    row = _plain(RowKind.NEAR, "Popular near you", found.rows_K, found.scores_K)
    return replace(row, candidates=replace(row.candidates, found=((source, found),)))


def _popular(ranked: RankedCandidates, request: ListRequest, left_I: BoolArray) -> Row:
    catalogue = ranked.context.catalogue
    order = catalogue.popular_rows_I
    rows = order[left_I[order]][: request.num_items]
    row = _plain(RowKind.POPULAR, "Popular now", rows, catalogue.popularity_I[rows])
    proposals = Proposals(rows_K=row.rows_K, scores_K=row.scores_K)
    return replace(row, candidates=replace(row.candidates, found=((SOURCES[0], proposals),)))


def _plain(kind: RowKind, title: str, rows_K: RowArray, scores_K: FloatArray) -> Row:
    candidates = Candidates(rows_N=rows_K, recall_scores_N=scores_K)
    return Row(kind=kind, title=title, rows_K=rows_K, scores_K=scores_K, candidates=candidates)
