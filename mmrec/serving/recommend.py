"""recommend(): recall -> features -> rank -> re-rank, with a deadline and named fallbacks.

One request reads one profile and otherwise only arrays. Only this module may degrade a list; each way has a name, which
the answer contains. When time runs out, sources are skipped first, then the ranker (the list stays in recall order).
Popular items are always there, because that source comes first and costs one index operation.

Axes: I items of the catalogue, J items of the profile, N candidates, L newest events, D embedding, F features.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import Availability
from mmrec.errors import DeadlineError, InvalidRequestError, MmrecError, NotFoundError
from mmrec.features.assemble import assemble
from mmrec.features.values import PopularItems
from mmrec.models.serving_model import ServingModel
from mmrec.recall.catalogue import NO_ROW, BoolArray, Catalogue, FloatArray, RowArray
from mmrec.recall.context import RecallContext, allowed_items, recall_context
from mmrec.recall.fusion import OWN_WEIGHTS, Candidates, SourceWeights, fuse
from mmrec.recall.item_filter import EVERYTHING, ItemFilter
from mmrec.recall.near import NearItems, near_popularity
from mmrec.recall.pull import profile_pulls
from mmrec.recall.source import Proposals, RecallSource
from mmrec.recall.sources.registry import SOURCES
from mmrec.scoring.apply import apply
from mmrec.scoring.as_of import profile_as_of
from mmrec.scoring.batch import session_batch
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import NEVER_S, UserProfile, empty_profile
from mmrec.scoring.settings import ScoringConfig
from mmrec.serving.fresh_profile import FreshProfile
from mmrec.serving.rerank import by_score, diversified, with_interest
from mmrec.telemetry.logs import get_logger
from mmrec.wire.instants import rfc3339

log = get_logger(__name__)
ReadProfile = Callable[[str], FreshProfile | UserProfile | None]
MAX_ITEMS = 200
DEFAULT_ITEMS = 20
RECALL_MARGIN_S = 0.010
"""Time reserved for ranking: with less left, sources after the popular one are skipped."""
RANK_MARGIN_S = 0.004
"""Time reserved for the answer: with less left, the ranker is skipped."""


class Degradation(Enum):
    """Every way in which a list can be incomplete."""

    NO_RELEASE = "no_release"
    """No release is promoted: recall order, without vectors."""
    RELEASE_UNUSABLE = "release_unusable"
    """The promoted release does not fit this code or these features; the previous release is in use, or none."""
    OVERLAY_UNAVAILABLE = "overlay_unavailable"
    """Acknowledged events that the stream has not scored yet are missing from the profile."""
    PROFILE_UNAVAILABLE = "profile_unavailable"
    """The profile could not be read: session events and popular items only."""
    SOURCE_FAILED = "source_failed"
    """A recall source raised; the others answered."""
    SOURCES_SKIPPED = "sources_skipped"
    """The deadline left no time for all sources."""
    RANKING_SKIPPED = "ranking_skipped"
    """The deadline left no time for the ranker: recall order."""
    RANKING_FAILED = "ranking_failed"
    """The ranker raised: recall order."""
    QUERY_NOT_ENCODED = "query_not_encoded"
    """No encoder answered in time for a text of a search: it was searched by its words alone."""
    VECTORS_INCOMPATIBLE = "vectors_incompatible"
    """No item has a vector made by the encoder of queries, with the same fingerprint: a search by words alone."""


@dataclass(frozen=True, kw_only=True)
class SessionEvent:
    """A behavior that came with the request."""

    item_id: str
    behavior: str
    event_time_s: float = 0.0
    """0 means now."""
    event_id: str = ""
    """If given, the event counts once even if the stream has it already."""


@dataclass(frozen=True, kw_only=True)
class ListRequest:
    """What a caller wants."""

    user_key: str
    """Profile key; empty where the user is not known."""
    as_of_s: float
    now_s: float | None = None
    """The present by the server's clock: what is not published yet or has expired by then is never shown, whatever
    instant is asked for. None where a list of the past is made again."""
    num_items: int = DEFAULT_ITEMS
    excluded_item_ids: tuple[str, ...] = ()
    item_filter: ItemFilter = EVERYTHING
    session_events: tuple[SessionEvent, ...] = ()
    shown_item_ids: tuple[str, ...] = ()
    """Items of the previous pages, in order."""
    near: tuple[PopularItems, ...] = ()
    """What is popular in the context of the request; it orders lists of those of whom nothing but the session is
    known."""


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """Instant on a clock that only goes forward."""

    at_s: float
    clock: Callable[[], float]

    def left_s(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at_s - self.clock()

    def refuse_late(self) -> None:
        """DeadlineError where it has passed before anything was done."""
        if self.left_s() <= 0:
            raise DeadlineError("the deadline passed before the request was looked at; give it more time")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplicaState:
    """The state of the replica that one request uses from beginning to end."""

    catalogue: Catalogue
    model: ServingModel | None
    release_id: str
    """Empty without a release."""
    unusable_release: bool
    scoring: ScoringConfig
    num_candidates: int
    diversity: float
    ranker_behaviors: BehaviorSet | None = None
    """Behaviors with the weights that the ranker was trained with; None where they are those of `scoring`."""
    stream_ingest_time_s: float = NEVER_S
    """Ingest time of the newest record that the profiles in the store have seen; -inf where there is none."""
    source_weights: SourceWeights = field(default_factory=lambda: OWN_WEIGHTS)
    """What each recall source counts in a user's list, as the release learned it."""

    @property
    def lacking(self) -> dict[Degradation, None]:
        """What lists lack for want of a model that can be used, as Progress.degraded has it."""
        unusable = [Degradation.RELEASE_UNUSABLE] if self.unusable_release else []
        return dict.fromkeys([*unusable, *([Degradation.NO_RELEASE] if self.model is None else [])])


@dataclass(frozen=True, kw_only=True, eq=False)
class RecommendedList:
    """A list, and what led to it."""

    rows_K: RowArray
    """Rows of the catalogue, best first."""
    ranking_scores_K: FloatArray
    candidates: Candidates
    context: RecallContext
    """Its profile includes the session's events."""
    degraded: tuple[Degradation, ...]
    has_more: bool
    num_overlay_events: int = 0
    """Acknowledged events in the profile that the store did not have yet."""
    features_NF: npt.NDArray[np.float32] | None = None
    """Feature rows of candidates.rows_N as the ranker saw them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedCandidates:
    """All candidates of one request in the order of its list, before the list is cut."""

    context: RecallContext
    """Its profile includes the session's events."""
    candidates: Candidates
    scores_N: FloatArray
    """Ranking scores; recall scores where the ranker was not used."""
    order: RowArray
    """Positions on axis N, best first."""
    features_NF: npt.NDArray[np.float32] | None
    """Feature rows as the ranker saw them; None where it was not used."""
    degraded: tuple[Degradation, ...]
    num_overlay_events: int

    def cut(self, num_items: int) -> RecommendedList:
        """The first so many as a list."""
        shown = self.order[:num_items]
        return RecommendedList(
            rows_K=self.candidates.rows_N[shown],
            ranking_scores_K=self.scores_N[shown],
            candidates=self.candidates,
            context=self.context,
            degraded=self.degraded,
            has_more=len(self.order) > num_items,
            num_overlay_events=self.num_overlay_events,
            features_NF=self.features_NF,
        )


@dataclass(kw_only=True)
class Progress:
    """Deadline, degradations and overlay events of one request while it runs."""

    deadline: Deadline
    degraded: dict[Degradation, None] = field(default_factory=dict)
    num_overlay_events: int = 0


def refuse_length(num_items: int) -> None:
    """InvalidRequestError for a list of no items, or of too many."""
    if not 1 <= num_items <= MAX_ITEMS:
        raise InvalidRequestError(f"num_items is {num_items}; give 1 to {MAX_ITEMS}, or 0 for {DEFAULT_ITEMS}")


def recommend(
    request: ListRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    sources: Sequence[RecallSource] = SOURCES,
) -> RecommendedList:
    """A list for a user, a session, or both. The same state and request give the same list.

    Args:
        read_profile: Gives the user's profile, as stored or with the overlay's events; None where the user is unknown.
        sources: Recall sources, asked in this order. The first one is never skipped.

    Raises:
        InvalidRequestError: num_items out of range, a session event without item, an unknown behavior.
        DeadlineError: the deadline had passed before anything was done.
    """
    refuse_length(request.num_items)
    deadline.refuse_late()
    return rank_candidates(request, state=state, read_profile=read_profile, deadline=deadline, sources=sources).cut(
        request.num_items
    )


def rank_candidates(
    request: ListRequest,
    *,
    state: ReplicaState,
    read_profile: ReadProfile,
    deadline: Deadline,
    sources: Sequence[RecallSource] = SOURCES,
) -> RankedCandidates:
    """What recommend() cuts its list from: recall, features, ranking and re-ranking; errors of session events alike."""
    progress = Progress(deadline=deadline)
    profile = requested_profile(request, state, read_profile, progress)
    allowed_I = allowed_items(
        state.catalogue,
        as_of_s=request.as_of_s,
        now_s=request.now_s,
        item_filter=request.item_filter,
        excluded=(*request.excluded_item_ids, *request.shown_item_ids),
    )
    context = recall_context(
        profile, state.catalogue, state.scoring, as_of_s=request.as_of_s, allowed_I=allowed_I, tower=state.model
    )
    num_candidates = max(state.num_candidates, request.num_items + 1)
    is_new_near = bool(request.near) and profile.num_events <= len(request.session_events)
    if is_new_near:
        sources = (NearItems(near=request.near), *sources[1:])
    candidates = recall(context, sources, num_candidates, state.source_weights, progress)
    scores_N, features_NF = rank(context, candidates, state, progress)
    if is_new_near and not profile.num_events and features_NF is not None:
        near_N = near_popularity(request.near, state.catalogue, candidates.rows_N)
        scores_N = with_interest(near_N, np.arange(len(near_N)), scores_N)
    return in_order(
        candidates, context=context, scores_N=scores_N, features_NF=features_NF, state=state, progress=progress
    )


def in_order(
    candidates: Candidates,
    *,
    context: RecallContext,
    scores_N: FloatArray,
    features_NF: npt.NDArray[np.float32] | None,
    state: ReplicaState,
    progress: Progress,
) -> RankedCandidates:
    """Candidates in the order of the list: by score, re-ranked for diversity where that is configured."""
    order = by_score(scores_N)
    if state.diversity and context.catalogue.index is not None:
        vectors_ND = context.catalogue.index.vectors_ID[candidates.rows_N]
        order = diversified(order, scores_N, vectors_ND, diversity=state.diversity)
    return RankedCandidates(
        context=context,
        candidates=candidates,
        scores_N=scores_N,
        order=order,
        features_NF=features_NF,
        degraded=tuple(progress.degraded),
        num_overlay_events=progress.num_overlay_events,
    )


def shown_row(item_id: str, catalogue: Catalogue, *, as_of_s: float) -> int:
    """The row of an item that a caller names.

    Raises:
        NotFoundError: the item is not in the catalogue, was removed, is not published yet, or has expired.
    """
    row = catalogue.row_of.get(item_id, NO_ROW)
    if row == NO_ROW or catalogue.entries[row].availability is Availability.HIDDEN:
        raise NotFoundError(f"item {item_id!r} is not in the catalogue of {len(catalogue.item_ids)} items")
    if (publish_time_s := catalogue.entries[row].publish_time_s) > as_of_s:
        raise NotFoundError(f"item {item_id!r} is not shown before its publish_time, {rfc3339(publish_time_s)}")
    if catalogue.entries[row].has_expired(as_of_s):
        expired = rfc3339(catalogue.entries[row].expire_time_s)
        raise NotFoundError(f"item {item_id!r} is not shown any more since its expire_time, {expired}")
    return row


@dataclass(frozen=True, kw_only=True, eq=False)
class Interest:
    """A user's interest in some items."""

    scores_N: FloatArray | None
    """Ranking scores; None where no ranker judged."""
    unwanted_I: BoolArray
    """Items of the whole catalogue that the user said not to want."""
    degraded: tuple[Degradation, ...]


def interest(
    user_key: str, rows_N: RowArray, *, state: ReplicaState, read_profile: ReadProfile, as_of_s: float
) -> Interest:
    """What the ranker says of the items at some rows for a user: items found otherwise, such as by a search."""
    progress = Progress(deadline=Deadline(at_s=math.inf, clock=lambda: 0.0))
    profile = requested_profile(ListRequest(user_key=user_key, as_of_s=as_of_s), state, read_profile, progress)
    everything_I = np.ones(len(state.catalogue.item_ids), dtype=np.bool_)
    context = recall_context(
        profile, state.catalogue, state.scoring, as_of_s=as_of_s, allowed_I=everything_I, tower=state.model
    )
    candidates = Candidates(rows_N=rows_N, recall_scores_N=np.zeros(len(rows_N)))
    scores_N, features_NF = rank(context, candidates, state, progress)
    return Interest(
        scores_N=scores_N if features_NF is not None else None,
        unwanted_I=context.unwanted_I,
        degraded=tuple(progress.degraded),
    )


def requested_profile(
    request: ListRequest,
    state: ReplicaState,
    read_profile: ReadProfile,
    progress: Progress,
) -> UserProfile:
    """The stored profile with the session's events applied to it, for this request alone."""
    scoring = state.scoring
    profile: UserProfile | None = None
    if request.user_key:
        try:
            found = read_profile(request.user_key)
            if isinstance(found, FreshProfile):
                profile, progress.num_overlay_events = found.profile, found.num_overlay_events
                if not found.overlay_available:
                    progress.degraded[Degradation.OVERLAY_UNAVAILABLE] = None
            else:
                profile = found
        except MmrecError as error:
            log.warning("profile_unavailable", error=str(error))
            progress.degraded[Degradation.PROFILE_UNAVAILABLE] = None
    profile = profile or empty_profile(behaviors=scoring.behaviors, num_half_lives=len(scoring.decay_per_day))
    if not request.session_events:
        return profile
    events = request.session_events
    for event in events:
        if not event.item_id:
            raise InvalidRequestError("a session event has no item_id; name the item")
        if event.behavior not in scoring.behaviors:
            known = ", ".join(scoring.behaviors.names)
            raise InvalidRequestError(f"session behavior {event.behavior!r} is not configured; known: {known}")
    batch = session_batch(
        user_key=request.user_key,
        item_ids=[e.item_id for e in events],
        behavior_ids=[
            int(scoring.behaviors.ids_B[scoring.behaviors.index(e.behavior)]) for e in request.session_events
        ],
        event_times_s=[e.event_time_s or request.as_of_s for e in events],
        event_ids=[e.event_id or f"session {n}" for n, e in enumerate(events)],
        ingest_time_s=max(request.as_of_s, profile.newest_ingest_time_s),
    )
    applied = apply({request.user_key: profile}, batch, config=scoring)
    return applied.profiles.get(request.user_key, profile)


def recall(
    context: RecallContext,
    sources: Sequence[RecallSource],
    num_candidates: int,
    weights: SourceWeights,
    progress: Progress,
) -> Candidates:
    found: list[tuple[RecallSource, Proposals]] = []
    for number, source in enumerate(sources):
        if number and progress.deadline.left_s() < RECALL_MARGIN_S:
            progress.degraded[Degradation.SOURCES_SKIPPED] = None
            break
        if (proposals := proposed(source, context, num_candidates, progress)) is not None:
            found.append((source, proposals))
    return fuse(found, num_candidates=num_candidates, weights=weights)


def proposed(source: RecallSource, context: RecallContext, num_candidates: int, progress: Progress) -> Proposals | None:
    """What a source proposes; None where it raises: a failing source must not fail the list."""
    try:
        return source.propose(context, num_candidates=num_candidates)
    except Exception as error:
        log.error("source_failed", source=source.name, error=repr(error))
        progress.degraded[Degradation.SOURCE_FAILED] = None
        return None


def rank(
    context: RecallContext,
    candidates: Candidates,
    state: ReplicaState,
    progress: Progress,
) -> tuple[FloatArray, npt.NDArray[np.float32] | None]:
    """Ranking scores of the candidates, and their feature rows; recall scores where the ranker is not used."""
    progress.degraded.update(state.lacking)
    if state.model is None:
        return candidates.recall_scores_N, None
    if progress.deadline.left_s() < RANK_MARGIN_S:
        progress.degraded[Degradation.RANKING_SKIPPED] = None
        return candidates.recall_scores_N, None
    try:
        features_NF = feature_rows(context, candidates.rows_N, state)
        return state.model.rank(features_NF), features_NF
    except Exception as error:  # a list in recall order is better than none
        log.error("ranking_failed", error=repr(error))
        progress.degraded[Degradation.RANKING_FAILED] = None
        return candidates.recall_scores_N, None


def feature_rows(context: RecallContext, rows_N: RowArray, state: ReplicaState) -> npt.NDArray[np.float32]:
    """What the ranker reads of some items for the user of a context, shape (N, F)."""
    behaviors, seen = ranking_view(context, state)
    return assemble(
        context.profile,
        context.catalogue.facts(rows_N, context.own_rows_J),
        seen.signals(rows_N),
        as_of_s=context.read_s,
        behaviors=behaviors,
        decay_per_day=state.scoring.decay_per_day[0],
    )


def ranking_view(context: RecallContext, state: ReplicaState) -> tuple[BehaviorSet, RecallContext]:
    """Behaviors with the weights that the ranker was trained with, and the context as they show it."""
    behaviors = state.ranker_behaviors
    if behaviors is None or behaviors == state.scoring.behaviors:
        return state.scoring.behaviors, context
    # Weights were changed since the ranker was trained: recall uses the new ones, the ranker must not.
    decay_per_day = state.scoring.decay_per_day[0]
    trained = profile_as_of(context.profile, as_of_s=context.read_s, behaviors=behaviors, decay_per_day=decay_per_day)
    return behaviors, replace(context, pulls_J=profile_pulls(trained, behaviors.weights_B, state.scoring))
