"""Popularity of all items while it changes: each change costs its own rows, and requests read a snapshot.

Popularity decays alike for all items, so it is kept as of one instant for good, at which nothing has to be computed
again; a snapshot says by what factor it is less at the newest count. Axes: I items, N changed ones, H half-lives,
B behaviors.
"""

from typing import Final

import numpy as np

from mmrec.recall.catalogue import FloatArray, RowArray
from mmrec.recall.growing import GrowingColumn
from mmrec.recall.popular_order import PopularHead, Popularity
from mmrec.scoring.decay import SECONDS_PER_DAY, share_left
from mmrec.scoring.item_statistics import popularities_as_of, popularity_rate
from mmrec.scoring.profile import NEVER_S

FARTHEST: Final = 300.0
"""Largest exponent of a decay between a count and the instant that popularity is kept as of."""


class PopularityTable:
    """For one thread; snapshots are for all."""

    def __init__(self, *, decay_per_day_H: FloatArray) -> None:
        self._rates_H, self._rate = decay_per_day_H, popularity_rate(decay_per_day_H)
        self._weights_B: FloatArray | None = None
        self._popularity = GrowingColumn(fill=0.0, dtype=np.float64)
        self._published = GrowingColumn(fill=-np.inf, dtype=np.float64)
        self._head = PopularHead()
        self._as_of_s, self._newest_s = NEVER_S, NEVER_S

    def publish(self, rows_N: RowArray, publish_times_N: FloatArray) -> None:
        """Replace publish times; NaN where unknown. Rows are given to follow() as well."""
        self._published.put(rows_N, np.nan_to_num(publish_times_N, nan=-np.inf))

    def follow(
        self, rows_N: RowArray, counts_IHB: FloatArray, references_I: FloatArray, *, weights_B: FloatArray
    ) -> None:
        """Follow changes.

        Args:
            rows_N: Rows whose counts or publish times changed, or that are new; each once.
            counts_IHB: Counts of all items as they are now.
            references_I: Instants they are as of; not finite where an item has none.
        """
        newest_s = float(references_I[rows_N].max(initial=self._newest_s, where=np.isfinite(references_I[rows_N])))
        far = self._rate * (newest_s - self._as_of_s) / SECONDS_PER_DAY > FARTHEST
        is_other = self._weights_B is None or not np.array_equal(self._weights_B, weights_B)
        is_anew = is_other or far or self._as_of_s == NEVER_S
        if is_anew:
            self._as_of_s, self._weights_B = newest_s, weights_B
            rows_N = np.arange(len(references_I))
        self._newest_s = newest_s
        popularity_N = popularities_as_of(
            counts_IHB[rows_N],
            references_I[rows_N],
            as_of_s=self._as_of_s,
            weights_B=weights_B,
            decay_per_day_H=self._rates_H,
        )
        self._popularity.put(rows_N, popularity_N)
        num_items = len(references_I)
        now = self._popularity.now(num_items), self._published.now(num_items)
        if is_anew:
            self._head.renew(*now)
        else:
            self._head.change(rows_N, *now)

    def snapshot(self, num_items: int) -> Popularity:
        """As it is now, for requests."""
        left = 1.0 if self._as_of_s == NEVER_S else float(share_left(self._newest_s - self._as_of_s, self._rate))
        return Popularity(
            head=self._head.rows,
            kept_I=self._popularity.view(num_items),
            left=left,
            published_from_I=self._published.view(num_items),
        )
