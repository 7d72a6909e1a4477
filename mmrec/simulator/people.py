"""Who shops in the simulated world: tastes that drift, activity with a long tail, scripts among the people.

A user has T tastes, each one of the planted styles. How much each counts moves with time:

    mix_k(t) = softmax_k( base_k + swing_k * sin(2 pi t / period_k + phase_k) )

so that the style of this week is not that of last month. Beside the tastes every user has a color and a brand of
their own. Axes: U users, T tastes, N rows asked for.
"""

from dataclasses import dataclass

import numpy as np

from mmrec.simulator import vocabulary as words
from mmrec.simulator.assortment import Assortment
from mmrec.simulator.settings import StorefrontConfig, generator

ACTIVITY_SIGMA = 1.0
"""Spread of log activity: the long tail of users."""
COLOR_BONUS = 0.9
BRAND_BONUS = 0.6


@dataclass(frozen=True, kw_only=True)
class People:
    """All users, in the order of axis U."""

    user_ids: tuple[str, ...]
    style_UT: np.ndarray
    base_UT: np.ndarray
    swing_UT: np.ndarray
    period_UT: np.ndarray
    """Days."""
    phase_UT: np.ndarray
    beauty_share_U: np.ndarray
    """Share of a user's sessions spent in beauty; 0 and 1 for users of one domain."""
    color_U: np.ndarray
    brand_U: np.ndarray
    activity_U: np.ndarray
    """Relative number of sessions; bots 0 (they have their own share)."""
    join_day_U: np.ndarray
    is_bot_U: np.ndarray

    def mix(self, users_N: np.ndarray, days_N: np.ndarray) -> np.ndarray:
        """How much each taste counts for each user on a day after the start, shape (N, T), rows sum to 1."""
        angle = 2 * np.pi * days_N[:, None] / self.period_UT[users_N] + self.phase_UT[users_N]
        logits = self.base_UT[users_N] + self.swing_UT[users_N] * np.sin(angle)
        shares: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def bonus(self, users: np.ndarray, items: np.ndarray, assortment: Assortment) -> np.ndarray:
        """What a user's own color and brand add to the log preference; arguments broadcast."""
        value: np.ndarray = COLOR_BONUS * (assortment.color_I[items] == self.color_U[users]) + BRAND_BONUS * (
            assortment.brand_I[items] == self.brand_U[users]
        )
        return value


def build_people(config: StorefrontConfig) -> People:
    """The users of a storefront; a function of the configuration alone."""
    rng = generator(config, 2)
    num, tastes = config.num_users, config.tastes_per_user
    # Styles are not equally common: some are fashions, some are niches.
    log_share = rng.normal(0.0, 0.6, size=config.num_styles)
    style_UT = np.argsort(-(log_share + rng.gumbel(size=(num, config.num_styles))), axis=1)[:, :tastes]
    if style_UT.shape[1] < tastes:
        style_UT = np.resize(style_UT, (num, tastes))
    both = rng.random(num) < config.share_both_domains
    one = (rng.random(num) < 0.5).astype(np.float64)
    join = np.where(rng.random(num) < config.share_new_users, rng.uniform(0.0, config.days, size=num), 0.0)
    is_bot = np.zeros(num, dtype=bool)
    if config.share_bots > 0:
        bots = min(num - 1, max(1, round(config.share_bots * num)))
        is_bot[rng.choice(num, size=bots, replace=False)] = True
    join[is_bot] = 0.0
    people = np.flatnonzero(~is_bot)
    join[people[np.argmin(join[people])]] = 0.0  # someone shops from the first instant
    width = max(5, len(str(num)))
    return People(
        user_ids=tuple(f"u{index:0{width}d}" for index in range(num)),
        style_UT=style_UT.astype(np.int32),
        base_UT=np.log(np.array([0.55, *([0.45 / max(tastes - 1, 1)] * (tastes - 1))])) + np.zeros((num, 1)),
        swing_UT=rng.uniform(0.5, 2.0, size=(num, tastes)),
        period_UT=rng.uniform(25.0, 90.0, size=(num, tastes)),
        phase_UT=rng.uniform(0.0, 2 * np.pi, size=(num, tastes)),
        beauty_share_U=np.where(both, rng.uniform(0.25, 0.75, size=num), one),
        color_U=rng.integers(len(words.COLORS), size=num).astype(np.int16),
        brand_U=rng.integers(len(words.BRANDS), size=num).astype(np.int16),
        activity_U=np.where(is_bot, 0.0, np.exp(rng.normal(0.0, ACTIVITY_SIGMA, size=num))),
        join_day_U=join,
        is_bot_U=is_bot,
    )
