"""recommend_many(): the lists of many users in one pass, equal to those that recommend() makes one by one.

    ranked = recommend_many(request, user_keys, state=state, read_profile=read_profile)

What a list costs alone is for the most part a few hundred small steps. Here the searches of all users are one matrix
product, their feature rows one table, and the ranker is asked once. Everything else, the recall sources above all, is
the code of one list. Scores differ from those of one list by no more than rounding.

Axes: U users, N candidates of all of them, F features, K items of a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble_many import UserRows, assemble_many
from mmrec.index.faiss_index import search_together
from mmrec.recall.context import RecallContext, allowed_items, recall_context
from mmrec.recall.fusion import Candidates, fuse
from mmrec.recall.source import Proposals, RecallSource, VectorSource
from mmrec.recall.sources.registry import SOURCES
from mmrec.serving.recommend import (
    Deadline,
    Degradation,
    ListRequest,
    Progress,
    RankedCandidates,
    ReadProfile,
    ReplicaState,
    in_order,
    proposed,
    ranking_view,
    requested_profile,
)
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
TOGETHER: Final = 32
"""Users of one pass: with more, little is saved, and their tables leave the processor's caches."""
RANKED_AT_ONCE: Final = 1_024
"""Rows that the ranker gets at once: its layers stay in the processor's caches."""
_NO_DEADLINE: Final = Deadline(at_s=np.inf, clock=lambda: 0.0)


@dataclass(kw_only=True, eq=False)
class _User:
    """One user's list while it is made."""

    context: RecallContext
    progress: Progress
    found: list[tuple[RecallSource, Proposals]] = field(default_factory=list)


def recommend_many(
    request: ListRequest,
    user_keys: Sequence[str],
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    sources: Sequence[RecallSource] = SOURCES,
) -> list[RankedCandidates]:
    """What recommend() cuts the list of each user from, in the order of `user_keys`; see TOGETHER.

    Args:
        request: What all lists have in common; its user_key is not used.
        read_profile: As recommend() takes it; what it raises costs that user's profile alone.

    Raises:
        InvalidRequestError: a session event without item, an unknown behavior.
    """
    allowed_I = allowed_items(
        state.catalogue,
        as_of_s=request.as_of_s,
        now_s=request.now_s,
        item_filter=request.item_filter,
        excluded=(*request.excluded_item_ids, *request.shown_item_ids),
    )
    users = []
    for user_key in user_keys:
        progress = Progress(deadline=_NO_DEADLINE)
        profile = requested_profile(replace(request, user_key=user_key), state, read_profile, progress)
        context = recall_context(
            profile, state.catalogue, state.scoring, as_of_s=request.as_of_s, allowed_I=allowed_I, tower=state.model
        )
        users.append(_User(context=context, progress=progress))
    num_candidates = max(state.num_candidates, request.num_items + 1)
    for source in sources:
        _ask(source, users, allowed_I, num_candidates)
    candidates = [fuse(user.found, num_candidates=num_candidates, weights=state.source_weights) for user in users]
    ranked = _rank(users, candidates, state)
    return [
        in_order(
            found,
            context=user.context,
            scores_N=scores_N,
            features_NF=features_NF,
            state=state,
            progress=user.progress,
        )
        for user, found, (scores_N, features_NF) in zip(users, candidates, ranked, strict=True)
    ]


def _ask(source: RecallSource, users: Sequence[_User], allowed_I: npt.NDArray[np.bool_], num_candidates: int) -> None:
    """Add what one source proposes to each user's proposals; where it raises, the list is made without it."""
    searched: dict[int, Proposals] = {}
    try:
        if isinstance(source, VectorSource):
            searched = _search(source, users, allowed_I, num_candidates)
    except Exception as error:  # one by one, then: what fails for one user must not fail for all
        log.error("joint_search_failed", source=source.name, error=repr(error))
    for number, user in enumerate(users):
        proposals = searched.get(number)
        if proposals is None:
            proposals = proposed(source, user.context, num_candidates, user.progress)
        if proposals is not None:
            user.found.append((source, proposals))


def _search(
    source: VectorSource, users: Sequence[_User], allowed_I: npt.NDArray[np.bool_], num_candidates: int
) -> dict[int, Proposals]:
    """Proposals by place of the user, of those who have something to search by."""
    asked = {n: source.query(user.context, num_candidates=num_candidates) for n, user in enumerate(users)}
    queries = {number: query for number, query in asked.items() if query is not None}
    index = users[0].context.catalogue.index if users else None
    if index is None or not queries:
        return {}
    found = search_together(index, list(queries.values()), allowed_I=allowed_I)
    return {
        number: source.from_found(result, users[number].context, num_candidates=num_candidates)
        for number, result in zip(queries, found, strict=True)
    }


Ranked = tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]


def _rank(users: Sequence[_User], candidates: Sequence[Candidates], state: ReplicaState) -> list[Ranked]:
    """As mmrec.serving.recommend.rank(), for all users at once."""
    for user in users:
        user.progress.degraded.update(state.lacking)
    by_recall: list[Ranked] = [(found.recall_scores_N, None) for found in candidates]
    if state.model is None or not users:
        return by_recall
    try:
        rows = []
        for user, found in zip(users, candidates, strict=True):
            behaviors, seen = ranking_view(user.context, state)
            rows.append(
                UserRows(
                    profile=user.context.profile,
                    own_rows_J=user.context.own_rows_J,
                    rows_N=found.rows_N,
                    signals=seen.signals(found.rows_N),
                    as_of_s=user.context.read_s,
                )
            )
        features_NF = assemble_many(
            rows, state.catalogue, behaviors=behaviors, decay_per_day=state.scoring.decay_per_day[0]
        )
        ends = np.cumsum([len(found.rows_N) for found in candidates])[:-1]
        blocks = [
            state.model.rank(features_NF[at : at + RANKED_AT_ONCE]) for at in range(0, len(features_NF), RANKED_AT_ONCE)
        ]
        scores = np.split(np.concatenate([np.zeros(0), *blocks]), ends)
        return list(zip(scores, np.split(features_NF, ends), strict=True))
    except Exception as error:  # lists in recall order are better than none
        log.error("ranking_failed", error=repr(error))
        for user in users:
            user.progress.degraded[Degradation.RANKING_FAILED] = None
        return by_recall
