"""What each style would choose on a day: planted propensity of styles over items.

    log propensity[s, i] = match[s, i] + log popularity[i] + season[i](day) + novelty[i](day)

and nothing for items that are not on sale that day. Within one domain propensities sum to 1. One extra row, after
the styles, is even over what is on sale: that is how scripts look around. Axes: I items, S styles.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmrec.simulator import vocabulary as words
from mmrec.simulator.assortment import Assortment
from mmrec.simulator.settings import StorefrontConfig, generator

SEASON_AMPLITUDE = 0.8
NOVELTY = 0.7
NOVELTY_DAYS = 10.0
STOCK_PERIOD_DAYS = 3
"""An item that runs out stays out for so many days."""


@dataclass(frozen=True, kw_only=True)
class DayAppeal:
    """Propensities of one day."""

    propensity_SI: np.ndarray
    """float64, shape (styles + 1, I); each row sums to 1 within each domain."""
    cumulative: np.ndarray
    """Running sum of `propensity_SI` read row by row: row r, domain d covers [2 r + d, 2 r + d + 1)."""
    on_sale_I: np.ndarray


class Appeal:
    """Propensities by day, made when asked for."""

    def __init__(self, config: StorefrontConfig, assortment: Assortment) -> None:
        self._config = config
        self._assortment = assortment
        self.day = lru_cache(maxsize=4)(self._day)

    def on_sale(self, day: int) -> np.ndarray:
        """Which items can be bought on a day after the start: published before it began, and in stock."""
        published: np.ndarray = self._assortment.publish_day_I < day
        on_sale: np.ndarray = published & ~self.out_of_stock(day)
        return on_sale

    def out_of_stock(self, day: int) -> np.ndarray:
        """Which items have run out on a day, whether or not they are published yet."""
        rng = generator(self._config, 3, max(day, 0) // STOCK_PERIOD_DAYS)
        is_out: np.ndarray = rng.random(self._assortment.num_items) < self._config.share_out_of_stock
        return is_out

    def _day(self, day: int) -> DayAppeal:
        items = self._assortment
        on_sale = self.on_sale(day)
        split = items.num_beauty
        for first, last in ((0, split), (split, items.num_items)):
            if not on_sale[first:last].any():
                # A tiny shop may have sold out altogether; the item that has been there longest then stays.
                on_sale[first + int(np.argmin(items.publish_day_I[first:last]))] = True
        log_even = np.where(on_sale, 0.0, -np.inf)
        common = log_even + items.log_popularity_I + self._season(day)
        age = day - items.publish_day_I
        common = common + NOVELTY * ((age >= 0) & (age < NOVELTY_DAYS))
        logits = np.concatenate((items.match_SI + common, log_even[None, :]))
        for first, last in ((0, split), (split, items.num_items)):
            part = logits[:, first:last]
            part -= part.max(axis=1, keepdims=True)
            np.exp(part, out=part)
            part /= part.sum(axis=1, keepdims=True)
        cumulative = np.empty_like(logits)
        for domain, (first, last) in enumerate(((0, split), (split, items.num_items))):
            rows = np.arange(len(logits))[:, None]
            running = np.minimum(np.cumsum(logits[:, first:last], axis=1), 1.0)
            # The last item on sale takes what rounding left over.
            running[:, int(np.flatnonzero(on_sale[first:last])[-1]) :] = 1.0
            cumulative[:, first:last] = 2 * rows + domain + running
        return DayAppeal(propensity_SI=logits, cumulative=cumulative.ravel(), on_sale_I=on_sale)

    def _season(self, day: int) -> np.ndarray:
        # Spring has its peak a quarter of a year after winter; the story begins at the turn of winter to spring.
        season = self._assortment.season_I
        phase = 2 * np.pi * ((day / 365.0) - (season - 1) / 4.0)
        return np.where(season == words.SEASONS.index("all-year"), 0.0, SEASON_AMPLITUDE * np.cos(phase))


def draw_items(day: DayAppeal, rows: np.ndarray, domains: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Items drawn by propensity.

    Args:
        day: The day's propensities.
        rows: Row (style, or the even row) of each draw, broadcasts against `uniform`.
        domains: 0 beauty, 1 fashion, broadcasts likewise.
        uniform: Numbers in [0, 1).

    Returns:
        Item indices, int64, of the shape of `uniform`.
    """
    num_items = day.propensity_SI.shape[1]
    # Just below 1: a sum that rounds up would otherwise land in the next domain.
    at = np.searchsorted(day.cumulative, 2 * rows + domains + uniform * (1 - 1e-9), side="right")
    found: np.ndarray = at - rows * num_items
    return found
