"""assemble() in plain NumPy, column by column: the reference that the compiled form is held equal to.

Axes: I items of the profile, N candidates, H half-lives, B behaviors, T tokens of values and domain, F features, X some
of them.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.features.facts import CandidateSignals, FloatArray, ItemFacts
from mmrec.features.item_columns import NO_TOKEN
from mmrec.features.row_formulas import HOUR_S, WEEK_S, freshness, order_share, rates_half_life
from mmrec.scoring.affinity import net_counts
from mmrec.scoring.as_of import ProfileAsOf, profile_as_of
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.decay import SECONDS_PER_DAY, decay
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.rates import smoothed_rates


def assemble_plainly(
    profile: UserProfile,
    items: ItemFacts,
    signals: CandidateSignals,
    *,
    as_of_s: float,
    behaviors: BehaviorSet,
    decay_per_day: float,
) -> npt.NDArray[np.float32]:
    """See mmrec.features.assemble.assemble()."""
    items = items.gathered()
    num_candidates = len(items.own_positions_N)
    as_of_s = max(as_of_s, float(np.nanmax(items.reference_times_N, initial=-np.inf)))
    state = profile_as_of(profile, as_of_s=as_of_s, behaviors=behaviors, decay_per_day=decay_per_day)
    own = _own_columns(profile, items, state, behaviors=behaviors, decay_per_day=decay_per_day)
    user_X = _user_values(profile, state, own.affinity_I)
    # Each block holds whole columns one after the other, so that operations run along the candidates.
    blocks = (
        own.columns_XN,
        _item_columns(items, read_s=state.read_s, behaviors=behaviors),
        _price_columns(items, own.affinity_I),
        _known(np.log1p(np.maximum(signals.neighbor_score_N, 0.0))),
        _known(signals.tower_similarity_N),
        _taste_columns(items, own.affinity_I, own.order_I),
        user_X[:, None].repeat(num_candidates, axis=1),
    )
    return np.concatenate(blocks, dtype=np.float32).T


@dataclass(frozen=True, kw_only=True, eq=False)
class _Own:
    affinity_I: FloatArray
    order_I: FloatArray
    columns_XN: FloatArray


def _own_columns(
    profile: UserProfile, items: ItemFacts, state: ProfileAsOf, *, behaviors: BehaviorSet, decay_per_day: float
) -> _Own:
    """How the user treated each candidate before."""
    num_items = profile.num_items
    ages_I, affinity_I = state.ages_I, state.positive_affinity_I
    decayed_IB = state.counts_IB * decay(ages_I, decay_per_day=decay_per_day)[:, None]
    order_I = np.empty(num_items)
    order_I[np.argsort(-profile.reference_times_I, kind="stable")] = order_share(np.arange(num_items))
    recent = Counter(profile.recent_item_ids)
    total = affinity_I.sum()
    # The last column, which NOT_OWN reads, stands for "never touched".
    columns_XI = np.zeros((len(behaviors) + 7, num_items + 1))
    columns_XI[:, :num_items] = [
        *np.log1p(np.maximum(decayed_IB.T, 0.0)),
        np.log1p(affinity_I),
        affinity_I / total if total > 0 else affinity_I,
        np.ones(num_items),
        freshness(ages_I, HOUR_S),
        freshness(ages_I, SECONDS_PER_DAY),
        order_I,
        np.log1p([float(recent[item_id]) for item_id in profile.item_ids]),
    ]
    return _Own(affinity_I=affinity_I, order_I=order_I, columns_XN=columns_XI[:, items.own_positions_N])


def _item_columns(items: ItemFacts, *, read_s: float, behaviors: BehaviorSet) -> FloatArray:
    """How all users treat each candidate, and how new it is, shape (X, N)."""
    counted_N = np.isfinite(items.reference_times_N)
    ages_N = np.where(counted_N, read_s - np.where(counted_N, items.reference_times_N, 0.0), 0.0)
    left_HN = decay(ages_N, decay_per_day=items.decay_per_day_H[:, None]) * counted_N
    net_NHB = net_counts(items.counts_NHB, behaviors.cancels)
    counts_HBN = np.ascontiguousarray(net_NHB.transpose(1, 2, 0)) * left_HN[:, None, :]
    affinity_HN = np.einsum("hbn,b->hn", counts_HBN, behaviors.weights_B)
    log_HN = np.log1p(np.maximum(affinity_HN, 0.0))
    counts_BN = counts_HBN[rates_half_life(len(counts_HBN))]
    ages_known_N = np.isfinite(items.content.publish_times_X)
    published_ages_N = np.maximum(read_s - np.where(ages_known_N, items.content.publish_times_X, read_s), 0.0)
    return np.array(
        [
            *log_HN,
            *np.log1p(np.maximum(counts_BN, 0.0)),
            *smoothed_rates(counts_BN.T).T,
            log_HN[0] - log_HN[-1],
            counted_N * freshness(ages_N, SECONDS_PER_DAY),
            counted_N,
            ages_known_N * freshness(published_ages_N, WEEK_S),
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
    ratio_N = np.log(items.content.prices_X) - usual
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

    domains_N, newest_domain = content.tokens_TX[-1], own.tokens_TX[-1, np.argmax(order_I)]
    by_affinity_TN, by_order_TN = shares(affinity_I), shares(order_I)
    num_values_N = np.maximum(np.count_nonzero(content.tokens_TX[:-1], axis=0), 1)
    return np.array(
        [
            by_affinity_TN[-1],
            (domains_N == newest_domain) & (domains_N != NO_TOKEN),
            by_affinity_TN[:-1].max(axis=0, initial=0.0),
            by_affinity_TN[:-1].sum(axis=0) / num_values_N,
            by_order_TN[:-1].max(axis=0, initial=0.0),
            by_order_TN[:-1].sum(axis=0) / num_values_N,
        ],
        dtype=np.float64,
    )


def _user_values(profile: UserProfile, state: ProfileAsOf, affinity_I: FloatArray) -> FloatArray:
    """How much is known of the user, shape (X,); the same in every row."""
    totals_B = np.maximum(state.counts_IB.sum(axis=0), 0.0)
    shares_B = totals_B / max(totals_B.sum(), 1e-12)
    age_s = state.read_s - profile.newest_event_time_s
    known = [profile.num_events, profile.num_items, affinity_I.sum()]
    fresh_hour = freshness(age_s, HOUR_S)
    return np.array([*np.log1p(known), fresh_hour, *shares_B], dtype=np.float64)


def _known(values_N: FloatArray) -> FloatArray:
    """Values with NaN as 0, and whether they are known and not 0, shape (2, N): unknown and 0 give the same row."""
    known_N = np.isfinite(values_N) & (values_N != 0.0)
    return np.array([np.where(known_N, values_N, 0.0), known_N], dtype=np.float64)
