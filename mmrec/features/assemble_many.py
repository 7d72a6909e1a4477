"""assemble() for the candidates of many users in one table, equal to it up to rounding of sums.

    features_NF = assemble_many(rows, catalogue, behaviors=behaviors, decay_per_day=0.05)

A table of 32 users costs some four users' worth of single ones: most of what one costs is calls of small steps. What
a column says is written once, beside assemble(); here items, sums and orders are found for all users at once.
tests/unit/test_many_lists.py holds both equal.

Axes: U users, N candidates of all users one after the other, J own items of all users likewise, B behaviors, T tokens
of values and domain, F features, X some of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.features.assemble import (
    NOT_OWN,
    CandidateSignals,
    ItemFacts,
    item_columns,
    known_columns,
    own_columns,
    price_columns,
    recent_counts,
    taste_columns,
    user_columns,
)
from mmrec.features.item_columns import NO_TOKEN, ContentColumns
from mmrec.scoring.affinity import affinity
from mmrec.scoring.as_of import read_instant
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import decay
from mmrec.scoring.profile import UserProfile, align_behaviors

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]


class ItemTable(Protocol):
    """What is stored about items, by row; mmrec.recall.catalogue.Catalogue is one."""

    @property
    def item_ids(self) -> tuple[str, ...]: ...
    @property
    def content(self) -> ContentColumns: ...
    @property
    def counts_IHB(self) -> FloatArray: ...
    @property
    def reference_times_I(self) -> FloatArray: ...
    @property
    def decay_per_day_H(self) -> FloatArray: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class UserRows:
    """One user's part of the table."""

    profile: UserProfile
    own_rows_J: RowArray
    """Rows of the profile's items, -1 for an item that the table does not have."""
    rows_N: RowArray
    """The candidates."""
    signals: CandidateSignals
    as_of_s: float
    """Instant that the rows describe, epoch seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Users:
    """All users' own items, aligned on axis J."""

    user_J: RowArray
    user_N: RowArray
    own_N: RowArray
    """Place of each candidate on axis J; NOT_OWN where its user has not touched it."""
    read_s_U: FloatArray
    affinity_J: FloatArray
    ages_J: FloatArray
    counts_JB: FloatArray
    newest_first_J: RowArray
    """Places on axis J, by user, each user's newest item first."""
    starts_U: RowArray
    """Place of each user's newest item on `newest_first_J`."""
    has_items_U: npt.NDArray[np.bool_]

    def sums(self, values_J: FloatArray) -> FloatArray:
        """Sum over each user's own items, shape (U,)."""
        return np.bincount(self.user_J, weights=values_J, minlength=len(self.read_s_U)).astype(np.float64)


def assemble_many(
    rows: Sequence[UserRows], items: ItemTable, *, behaviors: BehaviorSet, decay_per_day: float
) -> npt.NDArray[np.float32]:
    """Feature rows of all users' candidates, one user after the other, shape (N, F); see assemble()."""
    facts = _facts(rows, items)
    users = _users(rows, facts, behaviors=behaviors, decay_per_day=decay_per_day)
    order_J = np.empty(len(users.user_J))
    places_J = np.arange(len(users.user_J)) - users.starts_U[users.user_J[users.newest_first_J]]
    order_J[users.newest_first_J] = 1.0 / (1.0 + places_J)
    signals = [each.signals for each in rows]
    neighbor_score_N = np.concatenate([each.neighbor_score_N for each in signals])
    blocks = (
        _own_columns(rows, users, order_J, decay_per_day=decay_per_day),
        item_columns(facts, read_s=users.read_s_U[users.user_N], behaviors=behaviors),
        _price_columns(facts, users),
        known_columns(np.log1p(np.maximum(neighbor_score_N, 0.0))),
        known_columns(np.concatenate([each.tower_similarity_N for each in signals])),
        _taste_columns(facts, users, order_J),
        _user_values(rows, users)[:, users.user_N],
    )
    return np.concatenate(blocks, dtype=np.float32).T


def _facts(rows: Sequence[UserRows], items: ItemTable) -> ItemFacts:
    rows_N = np.concatenate([each.rows_N for each in rows])
    own_rows_J = np.concatenate([each.own_rows_J for each in rows])
    return ItemFacts(
        own_positions_N=_own(rows, rows_N, own_rows_J, num_rows=len(items.item_ids)),
        content=items.content.take(rows_N),
        profile_content=items.content.take(own_rows_J),
        counts_NHB=items.counts_IHB[rows_N],
        reference_times_N=items.reference_times_I[rows_N],
        decay_per_day_H=items.decay_per_day_H,
    )


def _own(rows: Sequence[UserRows], rows_N: RowArray, own_rows_J: RowArray, *, num_rows: int) -> RowArray:
    """Place of each candidate on axis J, NOT_OWN where its user has not touched it."""
    users = np.arange(len(rows))
    keys_N = np.repeat(users, [len(each.rows_N) for each in rows]) * num_rows + rows_N
    known_J = (own_rows_J >= 0).nonzero()[0]
    if not len(known_J):
        return np.full(len(rows_N), NOT_OWN, dtype=np.int64)
    keys_J = np.repeat(users, [len(each.own_rows_J) for each in rows])[known_J] * num_rows + own_rows_J[known_J]
    order = keys_J.argsort(kind="stable")
    keys_J, known_J = keys_J[order], known_J[order]
    at_N = np.minimum(np.searchsorted(keys_J, keys_N), len(keys_J) - 1)
    own_N: RowArray = np.where(keys_J[at_N] == keys_N, known_J[at_N], NOT_OWN)
    return own_N


def _users(rows: Sequence[UserRows], facts: ItemFacts, *, behaviors: BehaviorSet, decay_per_day: float) -> _Users:
    users, profiles = np.arange(len(rows)), [each.profile for each in rows]
    user_N = np.repeat(users, [len(each.rows_N) for each in rows])
    num_items_U = np.array([profile.num_items for profile in profiles], dtype=np.int64)
    user_J = np.repeat(users, num_items_U)
    newest_counts_U = np.full(len(rows), -np.inf)
    np.fmax.at(newest_counts_U, user_N, facts.reference_times_N)
    read_s_U = np.array(
        [
            read_instant(each.profile, max(each.as_of_s, newest_s))
            for each, newest_s in zip(rows, newest_counts_U.tolist(), strict=True)
        ]
    )
    references_J = np.concatenate([profile.reference_times_I for profile in profiles])
    counts_JB = np.concatenate([align_behaviors(p.counts_IHB[:, 0, :], p.behavior_ids_B, behaviors) for p in profiles])
    ages_J = read_s_U[user_J] - references_J
    affinity_J = affinity(counts_JB, ages_J, behaviors.weights_B, decay_per_day=decay_per_day)
    return _Users(
        user_J=user_J,
        user_N=user_N,
        own_N=facts.own_positions_N,
        read_s_U=read_s_U,
        affinity_J=np.maximum(affinity_J, 0.0),
        ages_J=ages_J,
        counts_JB=counts_JB,
        newest_first_J=np.lexsort((-references_J, user_J)),
        starts_U=np.cumsum(num_items_U) - num_items_U,
        has_items_U=num_items_U > 0,
    )


def _own_columns(rows: Sequence[UserRows], users: _Users, order_J: FloatArray, *, decay_per_day: float) -> FloatArray:
    """How each candidate's user treated it before, shape (X, N)."""
    decayed_JB = users.counts_JB * decay(users.ages_J, decay_per_day=decay_per_day)[:, None]
    total_J = users.sums(users.affinity_J)[users.user_J]
    columns_XJ = own_columns(
        decayed_JB,
        affinity_I=users.affinity_J,
        share_I=np.where(total_J > 0, users.affinity_J / np.where(total_J > 0, total_J, 1.0), users.affinity_J),
        ages_I=users.ages_J,
        order_I=order_J,
        recent_I=[count for each in rows for count in recent_counts(each.profile)],
    )
    columns_XN: FloatArray = columns_XJ[:, users.own_N]
    return columns_XN


def _price_columns(facts: ItemFacts, users: _Users) -> FloatArray:
    """Price compared with what its user usually looks at: log ratio and its absolute value, shape (X, N)."""
    usual_J = np.log(facts.profile_content.prices_X)
    weights_J = np.where(np.isfinite(usual_J), users.affinity_J, 0.0)
    total_U = users.sums(weights_J)
    sums_U = users.sums(weights_J * np.where(weights_J > 0, usual_J, 0.0))
    usual_U = np.where(total_U > 0, sums_U / np.where(total_U > 0, total_U, 1.0), np.nan)
    return price_columns(facts.content.prices_X, usual_U[users.user_N])


def _taste_columns(facts: ItemFacts, users: _Users, order_J: FloatArray) -> FloatArray:
    """Shares of each user's affinity, and of the newest items, with the candidate's domain and values, shape (X, N)."""
    own, content = facts.profile_content, facts.content
    if not len(users.user_J):
        return np.zeros((6, len(users.user_N)))
    num_tokens = max(own.num_tokens, content.num_tokens)
    own_TJ = own.tokens_TX + users.user_J * num_tokens
    asked_TN = content.tokens_TX + users.user_N * num_tokens

    def shares(weights_J: FloatArray) -> FloatArray:
        """Share of the weights on own items with each of the candidates' values and domains, shape (T, N)."""
        spread = np.tile(weights_J, len(own_TJ))
        size = num_tokens * len(users.read_s_U)
        table: FloatArray = np.bincount(own_TJ.ravel(), weights=spread, minlength=size).astype(np.float64)
        table[NO_TOKEN::num_tokens] = 0.0
        total_N = users.sums(weights_J)[users.user_N]
        shares_TN: FloatArray = table[asked_TN] / np.where(total_N > 0, total_N, 1.0)
        return shares_TN

    newest_U = np.full(len(users.read_s_U), NO_TOKEN, dtype=np.int64)
    newest_J = users.newest_first_J[users.starts_U[users.has_items_U]]
    newest_U[users.has_items_U] = own.tokens_TX[-1, newest_J]
    return taste_columns(content, newest_U[users.user_N], shares(users.affinity_J), shares(order_J))


def _user_values(rows: Sequence[UserRows], users: _Users) -> FloatArray:
    """How much is known of each user, shape (X, U)."""
    ages_U = users.read_s_U - np.array([each.profile.newest_event_time_s for each in rows])
    num_events = [float(each.profile.num_events) for each in rows]
    num_items = [float(each.profile.num_items) for each in rows]
    return user_columns(
        np.array([num_events, num_items, users.sums(users.affinity_J)]),
        ages_U,
        np.array([users.sums(counts_J) for counts_J in users.counts_JB.T]),
    )
