"""Stored state as of an instant -> feature rows: the one function behind training examples and serving.

    rows_NF = assemble(profile, items, signals, as_of_s=t, behaviors=behaviors, decay_per_day=0.05)

State is read at max(as_of, newest reference time), so no age is negative and nothing is amplified. Instants are
subtracted in float64; only finished numbers become float32. Given that instant, a row depends on its own item alone,
never on which other candidates stand beside it.

Axes: N candidates, I items of the profile, H half-lives of item statistics, B behaviors, A attribute values,
F features, L newest events.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.events.behaviors import BehaviorSet, shop_behaviors
from mmrec.features.item_columns import ContentColumns
from mmrec.scoring.affinity import affinity, net_counts
from mmrec.scoring.decay import SECONDS_PER_DAY, decay
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.rates import smoothed_rates

FloatArray = npt.NDArray[np.float64]
DEFAULT_HALF_LIVES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemFacts:
    """What is stored about N candidates, and about the profile's own items."""

    item_ids: Sequence[str]
    """Candidates, axis N."""
    content: ContentColumns
    """Serving fields of the candidates."""
    profile_content: ContentColumns
    """The same of profile.item_ids, axis I, from the same vocabulary."""
    counts_NHB: FloatArray
    """Decayed event counts of all users, axis B in the order of the configured behaviors; 0 where none are stored."""
    reference_times_N: FloatArray
    """Instants the counts are as of; NEVER_S (or NaN) where none are stored."""
    decay_per_day_H: FloatArray
    """Rate of each half-life of the counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidateSignals:
    """What recall knows about N candidates; NaN where it does not."""

    tower_similarity_N: FloatArray
    """Inner product of the user's and the item's embedding."""
    neighbor_score_N: FloatArray
    """Sum over own items of affinity times neighbor weight, >= 0."""


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
    num_candidates = len(items.item_ids)
    read_s = _read_time(profile, items, as_of_s)
    own = _own_columns(profile, items, read_s=read_s, behaviors=behaviors, decay_per_day=decay_per_day)
    columns: list[FloatArray] = [
        *own.candidate_columns,
        *_item_columns(items, read_s=read_s, behaviors=behaviors),
        *_price_columns(items, own.affinity_I),
        *_known(np.log1p(np.maximum(signals.neighbor_score_N, 0.0))),
        *_known(signals.tower_similarity_N),
        *_taste_columns(items, own.affinity_I, own.order_I),
        *_user_columns(profile, own.affinity_I, num_candidates, read_s=read_s, behaviors=behaviors),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Own:
    affinity_I: FloatArray
    order_I: FloatArray
    candidate_columns: list[FloatArray]


def _read_time(profile: UserProfile, items: ItemFacts, as_of_s: float) -> float:
    newest = max(as_of_s, profile.newest_event_time_s)
    if profile.num_items:
        newest = max(newest, float(profile.reference_times_I.max()))
    if len(items.item_ids):
        newest = max(newest, float(np.nanmax(items.reference_times_N, initial=-np.inf)))
    return newest


def _own_columns(
    profile: UserProfile, items: ItemFacts, *, read_s: float, behaviors: BehaviorSet, decay_per_day: float
) -> _Own:
    """How the user treated each candidate before."""
    num_items = profile.num_items
    counts_IB = profile.counts(behaviors)[:, 0, :]
    ages_I = read_s - profile.reference_times_I
    affinity_I = np.maximum(affinity(counts_IB, ages_I, behaviors.weights_B, decay_per_day=decay_per_day), 0.0)
    decayed_IB = counts_IB * decay(ages_I, decay_per_day=decay_per_day)[:, None]
    # 1 for the newest item, 1/2 for the one before: order says more than age where sessions are far apart.
    order_I = np.empty(num_items)
    order_I[np.argsort(-profile.reference_times_I, kind="stable")] = 1.0 / (1.0 + np.arange(num_items))
    position = {item_id: row for row, item_id in enumerate(profile.item_ids)}
    # Row I stands for "never touched".
    rows_N = np.array([position.get(item_id, num_items) for item_id in items.item_ids], dtype=np.int64)
    recent_I = np.zeros(num_items + 1)
    for item_id in profile.recent_item_ids:
        recent_I[position.get(item_id, num_items)] += 1.0
    recent_I[num_items] = 0.0
    total = affinity_I.sum()

    def per_candidate(values_I: FloatArray) -> FloatArray:
        return np.append(values_I, 0.0)[rows_N]

    return _Own(
        affinity_I=affinity_I,
        order_I=order_I,
        candidate_columns=[
            *(per_candidate(np.log1p(np.maximum(decayed_IB[:, b], 0.0))) for b in range(len(behaviors))),
            per_candidate(np.log1p(affinity_I)),
            per_candidate(affinity_I / total if total > 0 else affinity_I),
            (rows_N < num_items).astype(np.float64),
            per_candidate(1.0 / (1.0 + ages_I / 3_600.0)),
            per_candidate(1.0 / (1.0 + ages_I / SECONDS_PER_DAY)),
            per_candidate(order_I),
            np.log1p(recent_I)[rows_N],
        ],
    )


def _item_columns(items: ItemFacts, *, read_s: float, behaviors: BehaviorSet) -> list[FloatArray]:
    """How all users treat each candidate, and how new it is."""
    counted_N = np.isfinite(items.reference_times_N)
    ages_N = np.where(counted_N, read_s - np.where(counted_N, items.reference_times_N, 0.0), 0.0)
    left_NH = decay(ages_N[:, None], decay_per_day=items.decay_per_day_H[None, :]) * counted_N[:, None]
    counts_NHB = net_counts(items.counts_NHB, behaviors.cancels) * left_NH[:, :, None]
    log_NH = np.log1p(np.maximum(counts_NHB @ behaviors.weights_B, 0.0))
    middle = min(1, counts_NHB.shape[1] - 1)
    rates_NB = smoothed_rates(counts_NHB[:, middle, :])
    ages_known_N = np.isfinite(items.content.publish_times_X)
    published_ages_N = np.maximum(read_s - np.where(ages_known_N, items.content.publish_times_X, read_s), 0.0)
    return [
        *(log_NH[:, h] for h in range(log_NH.shape[1])),
        *(np.log1p(np.maximum(counts_NHB[:, middle, b], 0.0)) for b in range(len(behaviors))),
        *(rates_NB[:, b] for b in range(len(behaviors))),
        log_NH[:, 0] - log_NH[:, -1],
        counted_N / (1.0 + ages_N / SECONDS_PER_DAY),
        counted_N.astype(np.float64),
        ages_known_N / (1.0 + published_ages_N / (7.0 * SECONDS_PER_DAY)),
        ages_known_N.astype(np.float64),
    ]


def _price_columns(items: ItemFacts, affinity_I: FloatArray) -> list[FloatArray]:
    """Price against what the user usually looks at, as log ratio and its size."""
    usual_I = np.log(items.profile_content.prices_X)
    weights_I = np.where(np.isfinite(usual_I), affinity_I, 0.0)
    total = weights_I.sum()
    usual = float(weights_I @ np.where(weights_I > 0, usual_I, 0.0) / total) if total > 0 else np.nan
    ratio_N = np.log(items.content.prices_X) - usual
    known_N = np.isfinite(ratio_N)
    ratio_N = np.where(known_N, ratio_N, 0.0)
    return [ratio_N, np.abs(ratio_N), known_N.astype(np.float64)]


def _taste_columns(items: ItemFacts, affinity_I: FloatArray, order_I: FloatArray) -> list[FloatArray]:
    """Shares of the user's affinity, and of the newest items, on the candidate's domain and attribute values."""
    own, content = items.profile_content, items.content
    num_candidates, num_own = len(items.item_ids), len(affinity_I)
    if not num_own:
        return [np.zeros(num_candidates)] * 6
    num_tokens = 1 + max(
        *(int(t.max(initial=-1)) for t in (own.attribute_tokens_XA, content.attribute_tokens_XA)),
        *(int(t.max(initial=-1)) for t in (own.domain_tokens_X, content.domain_tokens_X)),
    )

    def shares(weights_I: FloatArray, tokens_IA: npt.NDArray[np.int32]) -> FloatArray:
        # Token -1 counts in slot 0 of a table shifted by one, which is then emptied.
        spread_IA = np.broadcast_to(weights_I[:, None], tokens_IA.shape)
        counted = np.bincount((tokens_IA + 1).ravel(), weights=spread_IA.ravel(), minlength=num_tokens + 1)
        table: FloatArray = counted.astype(np.float64)
        table[0] = 0.0
        total = weights_I.sum()
        return table / total if total > 0 else table

    def attribute_columns(weights_I: FloatArray) -> list[FloatArray]:
        present_NA = content.attribute_tokens_XA >= 0
        shares_NA = shares(weights_I, own.attribute_tokens_XA)[content.attribute_tokens_XA + 1]
        num_values_N = np.maximum(present_NA.sum(axis=1), 1)
        return [shares_NA.max(axis=1, initial=0.0), shares_NA.sum(axis=1) / num_values_N]

    newest = int(np.argmax(order_I))
    domain_shares = shares(affinity_I, own.domain_tokens_X[:, None])
    of_newest_N = (content.domain_tokens_X >= 0) & (content.domain_tokens_X == own.domain_tokens_X[newest])
    return [
        domain_shares[content.domain_tokens_X + 1],
        of_newest_N.astype(np.float64),
        *attribute_columns(affinity_I),
        *attribute_columns(order_I),
    ]


def _user_columns(
    profile: UserProfile, affinity_I: FloatArray, num_candidates: int, *, read_s: float, behaviors: BehaviorSet
) -> list[FloatArray]:
    """How much is known of the user; the same in every row."""
    totals_B = np.maximum(profile.counts(behaviors)[:, 0, :].sum(axis=0), 0.0)
    shares_B = totals_B / max(totals_B.sum(), 1e-12)
    age_s = read_s - profile.newest_event_time_s
    values = [
        np.log1p(profile.num_events),
        np.log1p(profile.num_items),
        np.log1p(affinity_I.sum()),
        1.0 / (1.0 + age_s / 3_600.0),
        *shares_B,
    ]
    return [np.full(num_candidates, value, dtype=np.float64) for value in values]


def _known(values_N: FloatArray) -> list[FloatArray]:
    """Values with NaN as 0, and whether they say anything: not known and exactly 0 give the same row."""
    known_N = np.isfinite(values_N) & (values_N != 0.0)
    return [np.where(known_N, values_N, 0.0).astype(np.float64), known_N.astype(np.float64)]
