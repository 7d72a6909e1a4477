"""One request's view of a user and the catalogue, built in the same way for serving and for training examples.

    context = recall_context(profile, catalogue, scoring, as_of_s=now_s, allowed_I=catalogue.showable(now_s))

What recall and the user tower read of a profile is decided here alone, so that a model gets in serving what it was
trained on.

Axes: I items of the catalogue, J items of the profile, L newest events, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import CandidateSignals
from mmrec.recall.catalogue import NO_ROW, BoolArray, Catalogue, FloatArray, NeighborTable, RowArray
from mmrec.recall.item_filter import EVERYTHING, ItemFilter
from mmrec.recall.pull import profile_pulls
from mmrec.scoring.as_of import profile_as_of
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import UserProfile, empty_profile
from mmrec.scoring.settings import ScoringConfig


class EmbedsUsers(Protocol):
    """What a context needs of a release: mmrec.models.serving_model.ServingModel is one."""

    def user_embedding(
        self,
        history_LD: npt.NDArray[np.float32],
        behavior_ids_L: npt.NDArray[np.uint8],
        ages_s_L: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float32]:
        """Unit vector of a user, shape (D,)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class RecallContext:
    """One request, as recall sources see it."""

    catalogue: Catalogue
    allowed_I: BoolArray
    """Items that may be shown to this user now."""
    profile: UserProfile
    """The user's profile; axis J follows its items. Empty where the request is about an item."""
    behaviors: BehaviorSet
    """The configured set, with the weights that recall uses now."""
    own_rows_J: RowArray
    """Rows of the profile's items, NO_ROW for an item that is not in the catalogue; the one item of an item request."""
    affinity_J: FloatArray
    """Affinity for these items as of the request, >= 0."""
    pulls_J: FloatArray
    """How strongly each of them pulls its neighbors, see mmrec/recall/pull.py."""
    recent_rows: RowArray
    """Rows of the items touched last, newest first, each once."""
    read_s: float
    """Instant at which the state is read: the request's, or the newest event's if that is later."""
    user_vector_D: npt.NDArray[np.float32] | None
    """Output of the user tower; None without a release or history."""

    @cached_property
    def neighbor_scores_I(self) -> FloatArray:
        """Neighbor score of every item; zeros where no neighbors are known."""
        if self.catalogue.neighbors is None or not len(self.own_rows_J):
            return np.zeros(len(self.catalogue.item_ids))
        return self.catalogue.neighbors.scores(self.own_rows_J, self.pulls_J)

    def signals(self, rows_N: RowArray) -> CandidateSignals:
        """What recall knows about the items at some rows, for assemble(): in serving and in training.

        The cosine of user and item embedding is NaN where either is missing.
        """
        similarity_N = np.full(len(rows_N), np.nan)
        if self.catalogue.index is not None and self.user_vector_D is not None:
            cosines_N = (self.catalogue.index.vectors_ID[rows_N] @ self.user_vector_D).astype(np.float64)
            similarity_N = np.where(self.catalogue.embedded_I[rows_N], cosines_N, np.nan)
        return CandidateSignals(tower_similarity_N=similarity_N, neighbor_score_N=self.neighbor_scores_I[rows_N])

    @cached_property
    def unwanted_I(self) -> BoolArray:
        """Items that the user said not to want, shape (I,): by behaviors that hide and weigh less than nothing, so not
        what was bought, and by those that hide what is alike.
        """
        counts_JB = self.profile.counts(self.behaviors)[:, 0]
        unwanted_I = np.zeros(len(self.catalogue.item_ids), dtype=np.bool_)
        for place in self.behaviors.unwanting:
            behavior = self.behaviors.behaviors[place]
            own_rows = self.own_rows_J[(counts_JB[:, place] > 0) & (self.own_rows_J != NO_ROW)]
            if behavior.hides:
                unwanted_I[own_rows] = True
            if behavior.hides_alike and len(own_rows):
                unwanted_I |= self.catalogue.sharing(own_rows, behavior.hides_alike)
        return unwanted_I

    @cached_property
    def own_neighbors(self) -> NeighborTable | None:
        """Neighbors of the profile's items, axis J; None where no neighbors are known."""
        table = self.catalogue.neighbors
        return table.of(self.own_rows_J) if table is not None else None


@dataclass(frozen=True, kw_only=True, eq=False)
class UserHistory:
    """What the user tower reads: the newest events on known items, oldest first."""

    rows_L: RowArray
    behavior_ids_L: npt.NDArray[np.uint8]
    """Stable behavior ids."""
    ages_s_L: FloatArray
    """Seconds before the state was read, >= 0."""


def recall_context(
    profile: UserProfile,
    catalogue: Catalogue,
    scoring: ScoringConfig,
    *,
    as_of_s: float,
    allowed_I: BoolArray,
    tower: EmbedsUsers | None = None,
) -> RecallContext:
    """The view that one request for a user is answered from.

    Args:
        profile: The user's state; an empty profile is legal.
        catalogue: As the request sees it.
        scoring: Decay and behaviors; items on which the user did a hiding behavior are not allowed, and
            where it hides what is alike, no items that share its attribute's values with them.
        as_of_s: Instant of the request; state is read at that or at the profile's newest time, whichever is later.
        allowed_I: Items that may be listed at all, see allowed_items(); not changed.
        tower: Embeds the user; None without a release.
    """
    behaviors = scoring.behaviors
    state = profile_as_of(profile, as_of_s=as_of_s, behaviors=behaviors, decay_per_day=scoring.decay_per_day[0])
    own_rows_J = catalogue.rows(profile.item_ids)
    if behaviors.hiding and profile.num_items:
        hidden_J = (state.counts_IB[:, behaviors.hiding] > 0).any(axis=1) & (own_rows_J != NO_ROW)
        allowed_I = allowed_I.copy()
        allowed_I[own_rows_J[hidden_J]] = False
    for place, attribute in behaviors.hiding_alike:
        unwanted_J = (state.counts_IB[:, place] > 0) & (own_rows_J != NO_ROW)
        if unwanted_J.any():
            allowed_I = allowed_I & ~catalogue.sharing(own_rows_J[unwanted_J], attribute)
    rows_L = catalogue.rows(profile.recent_item_ids)
    recent_rows = np.array(list(dict.fromkeys(rows_L[::-1].tolist())), dtype=np.int64)
    return RecallContext(
        catalogue=catalogue,
        allowed_I=allowed_I,
        profile=profile,
        behaviors=behaviors,
        own_rows_J=own_rows_J,
        affinity_J=state.positive_affinity_I,
        pulls_J=profile_pulls(state, behaviors.weights_B, scoring),
        recent_rows=recent_rows[recent_rows != NO_ROW],
        read_s=state.read_s,
        user_vector_D=_user_vector(profile, catalogue, rows_L, state.read_s, tower),
    )


def item_context(row: int, catalogue: Catalogue, scoring: ScoringConfig, *, allowed_I: BoolArray) -> RecallContext:
    """The view for a request for items like the one at `row`: as if a user had touched that item alone."""
    rows = np.array([row], dtype=np.int64)
    return RecallContext(
        catalogue=catalogue,
        allowed_I=allowed_I,
        profile=empty_profile(behaviors=scoring.behaviors, num_half_lives=len(scoring.decay_per_day)),
        behaviors=scoring.behaviors,
        own_rows_J=rows,
        affinity_J=np.ones(1),
        pulls_J=np.ones(1),
        recent_rows=rows,
        read_s=0.0,
        user_vector_D=None,
    )


def allowed_items(
    catalogue: Catalogue,
    *,
    as_of_s: float,
    now_s: float | None = None,
    item_filter: ItemFilter | None = None,
    excluded: Sequence[str] = (),
) -> BoolArray:
    """Mask of the items that a list may contain, for any user, shape (I,); a new array.

    Args:
        as_of_s: Items that are published later, or have expired by then, are left out.
        now_s: The present: what is to be published after it, or has expired by then, is left out, too.
        item_filter: Conditions of the request.
        excluded: Ids of items that the request does not want; unknown ones are ignored.
    """
    if item_filter is None or item_filter is EVERYTHING:
        allowed_I = catalogue.showable(as_of_s, now_s=now_s)
    else:
        allowed_I = catalogue.showable(as_of_s, now_s=now_s, includes_out_of_stock=item_filter.includes_out_of_stock)
        allowed_I &= catalogue.passing(item_filter)
    if excluded:
        rows = catalogue.rows(excluded)
        allowed_I[rows[rows != NO_ROW]] = False
    return allowed_I


def user_history(
    profile: UserProfile, rows_L: RowArray, *, read_s: float, embedded_I: BoolArray | None = None
) -> UserHistory:
    """The newest events of a profile, as the user tower reads them.

    Args:
        rows_L: Rows of profile.recent_item_ids in any table of items; events on items not in the table are left out.
        read_s: Instant the profile is read at, see scoring.as_of.read_instant.
        embedded_I: By row of that table: where given, events on items without an embedding are left out, too.
    """
    kept_L = rows_L != NO_ROW
    if embedded_I is not None:
        kept_L[kept_L] = embedded_I[rows_L[kept_L]]
    return UserHistory(
        rows_L=rows_L[kept_L],
        behavior_ids_L=profile.recent_behavior_ids_L[kept_L],
        ages_s_L=read_s - profile.recent_event_times_L[kept_L],
    )


def _user_vector(
    profile: UserProfile, catalogue: Catalogue, rows_L: RowArray, read_s: float, tower: EmbedsUsers | None
) -> npt.NDArray[np.float32] | None:
    if tower is None or catalogue.index is None or not len(rows_L):
        return None
    history = user_history(profile, rows_L, read_s=read_s, embedded_I=catalogue.embedded_I)
    if not len(history.rows_L):
        return None
    return tower.user_embedding(catalogue.index.vectors_ID[history.rows_L], history.behavior_ids_L, history.ages_s_L)
