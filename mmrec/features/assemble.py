"""Stored state as of an instant -> feature rows: the one function behind training examples and serving.

    rows_NF = assemble(profile, items, signals, as_of_s=t, behaviors=behaviors, decay_per_day=0.05)

State is read at max(as_of, newest reference time), so no age is negative and nothing is amplified. Instants are
subtracted in float64; only final numbers become float32. Given that instant, a row depends on its own item alone, not
on the other candidates.

The work is one compiled pass (row_kernel); assemble_reference is the same in plain NumPy, and both are held equal.

Axes: N candidates, I items of the profile, F features.
"""

from itertools import repeat

import numpy as np
import numpy.typing as npt

from mmrec.features.facts import CandidateSignals, FloatArray, ItemFacts, RowArray
from mmrec.features.row_kernel import fill_rows
from mmrec.scoring.behaviors import BehaviorSet, shop_behaviors
from mmrec.scoring.profile import UserProfile, align_behaviors

DEFAULT_HALF_LIVES = 3
_DEFAULT_BEHAVIORS = shop_behaviors()


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


FEATURE_NAMES = feature_names(_DEFAULT_BEHAVIORS, num_half_lives=DEFAULT_HALF_LIVES)
"""Names for the default behaviors; feature_names() gives those of any configured set."""


def num_features(behaviors: BehaviorSet, *, num_half_lives: int) -> int:
    """Length of axis F, as many as feature_names(): four columns a behavior, one a half-life, and the others."""
    return len(FEATURE_NAMES) + 4 * (len(behaviors) - len(_DEFAULT_BEHAVIORS)) + num_half_lives - DEFAULT_HALF_LIVES


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
        Finite float32 rows, shape (N, F), columns as feature_names() says; those of a column lie side by side.
    """
    num_candidates, num_half_lives = len(items.own_positions_N), len(items.decay_per_day_H)
    rows_FN = np.empty((num_features(behaviors, num_half_lives=num_half_lives), num_candidates), dtype=np.float32)
    fill_rows(
        rows_FN,
        profile.reference_times_I,
        align_behaviors(profile.counts_IHB[:, 0, :], profile.behavior_ids_B, behaviors),
        _times_recent(profile),
        (-profile.reference_times_I).argsort(kind="stable"),
        float(profile.num_events),
        profile.newest_event_time_s,
        as_of_s,
        decay_per_day,
        items.own_positions_N,
        _rows_or_all(items.own_rows_I, profile.num_items),
        _rows_or_all(items.rows_N, num_candidates),
        items.profile_content.prices_X,
        items.profile_content.tokens_TX,
        items.content.prices_X,
        items.content.publish_times_X,
        items.content.tokens_TX,
        items.counts_NHB,
        items.reference_times_N,
        items.decay_per_day_H,
        behaviors.weights_B,
        behaviors.cancels_C2,
        signals.tower_similarity_N,
        signals.neighbor_score_N,
    )
    return rows_FN.T


def _times_recent(profile: UserProfile) -> FloatArray:
    """How often each own item occurs among the newest events, shape (I,)."""
    times: dict[str, int] = {}
    for item_id in profile.recent_item_ids:
        times[item_id] = times.get(item_id, 0) + 1
    return np.fromiter(map(times.get, profile.item_ids, repeat(0)), dtype=np.float64, count=profile.num_items)


def _rows_or_all(rows_X: RowArray | None, num_items: int) -> RowArray:
    return np.arange(num_items) if rows_X is None else rows_X
