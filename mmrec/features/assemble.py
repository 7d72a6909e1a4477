"""Stored state as of an instant -> feature rows: the one function behind training examples and serving.

    rows_NF = assemble(profile, items, signals, as_of_s=t, behaviors=behaviors, decay_per_day=0.05)

State is read at max(as_of, newest reference time), so no age is negative and nothing is amplified. Instants are
subtracted in float64; only final numbers become float32. Given that instant, a row depends on its own item alone, not
on the other candidates.

Axes: N candidates, I items of the profile, H half-lives of item statistics, B behaviors, T tokens of values and domain,
F features, X some of them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.features.item_columns import NO_TOKEN, ContentColumns
from mmrec.scoring.affinity import net_counts
from mmrec.scoring.as_of import ProfileAsOf, profile_as_of
from mmrec.scoring.behaviors import BehaviorSet, shop_behaviors
from mmrec.scoring.decay import SECONDS_PER_DAY, decay
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.rates import smoothed_rates

FloatArray = npt.NDArray[np.float64]
RowArray = npt.NDArray[np.int64]
DEFAULT_HALF_LIVES = 3
NOT_OWN = -1
"""Position of an item that the user has not touched."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemFacts:
    """What is stored about N candidates, and about the profile's own items."""

    own_positions_N: RowArray
    """Position of each candidate on axis I of the profile, NOT_OWN where the user has not touched it."""
    content: ContentColumns
    """Serving fields of the candidates."""
    profile_content: ContentColumns
    """Serving fields of profile.item_ids, axis I, from the same vocabulary."""
    counts_NHB: FloatArray
    """Decayed event counts of all users, axis B in the order of the configured behaviors; 0 where none are stored."""
    reference_times_N: FloatArray
    """Instants the counts are as of; NEVER_S (or NaN) where none are stored."""
    decay_per_day_H: FloatArray
    """Rate of each half-life of the counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidateSignals:
    """What recall knows about N candidates; NaN where it knows nothing."""

    tower_similarity_N: FloatArray
    """Inner product of the user's and the item's embedding."""
    neighbor_score_N: FloatArray
    """Sum over own items of pull (mmrec/recall/pull.py) times neighbor weight, >= 0."""


def own_positions(rows_N: npt.NDArray[np.integer], own_rows_I: npt.NDArray[np.integer], *, num_rows: int) -> RowArray:
    """Position of each candidate among the profile's own items, NOT_OWN where it is none of them, shape (N,).

    Args:
        rows_N: Candidates as rows of any table of items.
        own_rows_I: The profile's items as rows of the same table, -1 where it does not have one.
        num_rows: Rows of that table.
    """
    positions: RowArray = np.full(num_rows + 1, NOT_OWN, dtype=np.int64)
    positions[own_rows_I] = np.arange(len(own_rows_I))
    positions[num_rows] = NOT_OWN  # where row -1 has written
    found_N: RowArray = positions[rows_N]
    return found_N


def feature_names(behaviors: BehaviorSet, *, num_half_lives: int) -> tuple[str, ...]:
    """Names of axis F, in order."""
    return (
        *(f"own_count_log_{name}" for name in behaviors.names),
        "own_affinity_log",
        "own_affinity_share",
        "own_touched",
        "own_fresh_hour",
        "own_fresh_day",
        "own_order",
        "own_recent_log",
        *(f"item_affinity_log_{h}" for h in range(num_half_lives)),
        *(f"item_count_log_{name}" for name in behaviors.names),
        *(f"item_rate_{name}" for name in behaviors.names),
        "item_trend",
        "item_fresh_day",
        "item_counted",
        "item_newness_week",
        "item_age_known",
        "price_ratio_log",
        "price_distance_log",
        "price_known",
        "neighbor_score_log",
        "neighbor_known",
        "tower_similarity",
        "tower_known",
        "domain_share",
        "domain_of_newest",
        "attribute_share_max",
        "attribute_share_mean",
        "attribute_recent_max",
        "attribute_recent_mean",
        "user_events_log",
        "user_items_log",
        "user_affinity_log",
        "user_fresh_hour",
        *(f"user_share_{name}" for name in behaviors.names),
    )


FEATURE_NAMES = feature_names(shop_behaviors(), num_half_lives=DEFAULT_HALF_LIVES)
"""Names for the default behaviors; feature_names() gives those of any configured set."""


def assemble(
    profile: UserProfile,
    items: ItemFacts,
    signals: CandidateSignals,
    *,
    as_of_s: float,
    behaviors: BehaviorSet,
    decay_per_day: float,
) -> npt.NDArray[np.float32]:
    """Feature rows of one user for N candidates.

    Args:
        profile: The user's state; an empty profile is legal.
        items: Facts of the candidates and of the profile's items.
        signals: Scores that recall found, NaN where there is none.
        as_of_s: Instant the rows describe, epoch seconds.
        behaviors: The configured set; gives axis B and the weights.
        decay_per_day: Rate of the profile's first half-life.

    Returns:
        Finite float32 rows, shape (N, F), columns as feature_names() says.
    """
    num_candidates = len(items.own_positions_N)
    as_of_s = max(as_of_s, float(np.nanmax(items.reference_times_N, initial=-np.inf)))
    state = profile_as_of(profile, as_of_s=as_of_s, behaviors=behaviors, decay_per_day=decay_per_day)
    own = _own_columns(profile, items, state, decay_per_day=decay_per_day)
    user_X = _user_values(profile, state, own.affinity_I)
    # Each block holds whole columns one after the other, so that operations run along the candidates.
    blocks = (
        own.columns_XN,
        item_columns(items, read_s=state.read_s, behaviors=behaviors),
        _price_columns(items, own.affinity_I),
        known_columns(np.log1p(np.maximum(signals.neighbor_score_N, 0.0))),
        known_columns(signals.tower_similarity_N),
        _taste_columns(items, own.affinity_I, own.order_I),
        user_X[:, None].repeat(num_candidates, axis=1),
    )
    return np.concatenate(blocks, dtype=np.float32).T


@dataclass(frozen=True, kw_only=True, eq=False)
class _Own:
    affinity_I: FloatArray
    order_I: FloatArray
    columns_XN: FloatArray


def _own_columns(profile: UserProfile, items: ItemFacts, state: ProfileAsOf, *, decay_per_day: float) -> _Own:
    """How the user treated each candidate before."""
    num_items = profile.num_items
    ages_I, affinity_I = state.ages_I, state.positive_affinity_I
    decayed_IB = state.counts_IB * decay(ages_I, decay_per_day=decay_per_day)[:, None]
    # 1 for the newest item, 1/2 for the one before: where sessions are far apart, order says more than age.
    order_I = np.empty(num_items)
    order_I[np.argsort(-profile.reference_times_I, kind="stable")] = 1.0 / (1.0 + np.arange(num_items))
    total = affinity_I.sum()
    columns_XI = own_columns(
        decayed_IB,
        affinity_I=affinity_I,
        share_I=affinity_I / total if total > 0 else affinity_I,
        ages_I=ages_I,
        order_I=order_I,
        recent_I=recent_counts(profile),
    )
    return _Own(affinity_I=affinity_I, order_I=order_I, columns_XN=columns_XI[:, items.own_positions_N])


def recent_counts(profile: UserProfile) -> list[float]:
    """How often each of the profile's items is among its newest events, axis I."""
    counted = Counter(profile.recent_item_ids)
    return [float(counted[item_id]) for item_id in profile.item_ids]


def own_columns(
    decayed_IB: FloatArray,
    *,
    affinity_I: FloatArray,
    share_I: FloatArray,
    ages_I: FloatArray,
    order_I: FloatArray,
    recent_I: Sequence[float],
) -> FloatArray:
    """What own items say of themselves, shape (X, I + 1): the last column, which NOT_OWN reads, is of none.

    Args:
        decayed_IB: Counts by behavior as of now.
        share_I: Of the user's whole affinity.
        order_I: 1 for the newest item, 1/2 for the one before.
    """
    num_items = len(affinity_I)
    columns_XI = np.zeros((decayed_IB.shape[1] + 7, num_items + 1))
    columns_XI[:, :num_items] = [
        *np.log1p(np.maximum(decayed_IB.T, 0.0)),
        np.log1p(affinity_I),
        share_I,
        np.ones(num_items),
        1.0 / (1.0 + ages_I / 3_600.0),
        1.0 / (1.0 + ages_I / SECONDS_PER_DAY),
        order_I,
        np.log1p(recent_I),
    ]
    return columns_XI


def item_columns(items: ItemFacts, *, read_s: float | FloatArray, behaviors: BehaviorSet) -> FloatArray:
    """How all users treat each candidate, and how new it is, shape (X, N); `read_s` is one instant or one of each."""
    counted_N = np.isfinite(items.reference_times_N)
    ages_N = np.where(counted_N, read_s - np.where(counted_N, items.reference_times_N, 0.0), 0.0)
    left_HN = decay(ages_N, decay_per_day=items.decay_per_day_H[:, None]) * counted_N
    net_NHB = net_counts(items.counts_NHB, behaviors.cancels)
    counts_HBN = np.ascontiguousarray(net_NHB.transpose(1, 2, 0)) * left_HN[:, None, :]
    affinity_HN = np.einsum("hbn,b->hn", counts_HBN, behaviors.weights_B)
    log_HN = np.log1p(np.maximum(affinity_HN, 0.0))
    counts_BN = counts_HBN[min(1, len(counts_HBN) - 1)]
    ages_known_N = np.isfinite(items.content.publish_times_X)
    published_ages_N = np.maximum(read_s - np.where(ages_known_N, items.content.publish_times_X, read_s), 0.0)
    return np.array(
        [
            *log_HN,
            *np.log1p(np.maximum(counts_BN, 0.0)),
            *smoothed_rates(counts_BN.T).T,
            log_HN[0] - log_HN[-1],
            counted_N / (1.0 + ages_N / SECONDS_PER_DAY),
            counted_N,
            ages_known_N / (1.0 + published_ages_N / (7.0 * SECONDS_PER_DAY)),
            ages_known_N,
        ],
        dtype=np.float64,
    )


def _price_columns(items: ItemFacts, affinity_I: FloatArray) -> FloatArray:
    """Price compared with what the user usually looks at: log ratio and its absolute value, shape (X, N)."""
    usual_I = np.log(items.profile_content.prices_X)
    weights_I = np.where(np.isfinite(usual_I), affinity_I, 0.0)
    total = weights_I.sum()
    usual = float(weights_I @ np.where(weights_I > 0, usual_I, 0.0) / total) if total > 0 else np.nan
    return price_columns(items.content.prices_X, usual)


def price_columns(prices_N: FloatArray, usual: float | FloatArray) -> FloatArray:
    """Log ratio of prices to the usual one, its absolute value, and whether it is known, shape (3, N).

    Args:
        usual: Log of the price that a user usually looks at, or of each candidate's user; NaN where unknown.
    """
    ratio_N = np.log(prices_N) - usual
    known_N = np.isfinite(ratio_N)
    ratio_N = np.where(known_N, ratio_N, 0.0)
    return np.array([ratio_N, np.abs(ratio_N), known_N], dtype=np.float64)


def _taste_columns(items: ItemFacts, affinity_I: FloatArray, order_I: FloatArray) -> FloatArray:
    """Shares of the user's affinity, and of the newest items, with the candidate's domain and values, shape (X, N)."""
    own, content = items.profile_content, items.content
    if not len(affinity_I):
        return np.zeros((6, len(items.own_positions_N)))
    num_tokens = max(own.num_tokens, content.num_tokens)

    def shares(weights_I: FloatArray) -> FloatArray:
        """Share of the weights on own items with each of the candidates' values and domains, shape (T, N)."""
        spread = np.tile(weights_I, len(own.tokens_TX))
        table: FloatArray = np.bincount(own.tokens_TX.ravel(), weights=spread, minlength=num_tokens).astype(np.float64)
        table[NO_TOKEN] = 0.0
        total = weights_I.sum()
        shares_TN: FloatArray = (table / total if total > 0 else table)[content.tokens_TX]
        return shares_TN

    return taste_columns(content, own.tokens_TX[-1, np.argmax(order_I)], shares(affinity_I), shares(order_I))


def taste_columns(
    content: ContentColumns, newest: int | RowArray, by_affinity_TN: FloatArray, by_order_TN: FloatArray
) -> FloatArray:
    """How candidates' domains and values meet a user's taste, shape (6, N).

    Args:
        newest: Domain of the user's newest item, or of the newest item of each candidate's user.
        by_affinity_TN: Share of the user's affinity with each of the candidates' values, the domain last.
        by_order_TN: The same of the newest items.
    """
    domains_N = content.tokens_TX[-1]
    num_values_N = np.maximum(np.count_nonzero(content.tokens_TX[:-1], axis=0), 1)
    return np.array(
        [
            by_affinity_TN[-1],
            (domains_N == newest) & (domains_N != NO_TOKEN),
            by_affinity_TN[:-1].max(axis=0, initial=0.0),
            by_affinity_TN[:-1].sum(axis=0) / num_values_N,
            by_order_TN[:-1].max(axis=0, initial=0.0),
            by_order_TN[:-1].sum(axis=0) / num_values_N,
        ],
        dtype=np.float64,
    )


def _user_values(profile: UserProfile, state: ProfileAsOf, affinity_I: FloatArray) -> FloatArray:
    """How much is known of the user, shape (X,); the same in every row."""
    return user_columns(
        np.array([profile.num_events, profile.num_items, affinity_I.sum()]),
        state.read_s - profile.newest_event_time_s,
        state.counts_IB.sum(axis=0),
    )


def user_columns(known: FloatArray, age_s: float | FloatArray, totals_B: FloatArray) -> FloatArray:
    """How much is known of a user, shape (X,), or of many, (X, U).

    Args:
        known: Numbers of events and of items, and the affinity of all items, axis 0.
        age_s: Seconds since the newest event.
        totals_B: Counts by behavior over all items, axis 0.
    """
    totals_B = np.maximum(totals_B, 0.0)
    shares_B = totals_B / np.maximum(totals_B.sum(axis=0), 1e-12)
    return np.array([*np.log1p(known), 1.0 / (1.0 + age_s / 3_600.0), *shares_B], dtype=np.float64)


def known_columns(values_N: FloatArray) -> FloatArray:
    """Values with NaN as 0, and whether they are known and not 0, shape (2, N): unknown and 0 give the same row."""
    known_N = np.isfinite(values_N) & (values_N != 0.0)
    return np.array([np.where(known_N, values_N, 0.0), known_N], dtype=np.float64)
