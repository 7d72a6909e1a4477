"""The planted truth: what each user would choose, and what a list is worth against it.

    preference[i] = sum over domains d, tastes k of
                        share[d] * mix_k(t) * propensity[s_k, i](day) * exp(bonus_i) / normalizer

where propensity is that of mmrec.simulator.appeal, bonus the user's own color and brand, and the normalizer makes
every (d, k) term sum to 1: the chance that a session's first look is at item i. (Shoppers compare a handful of items
drawn by propensity, so the tilt by the bonus is slightly weaker in the events than here.) Items that are not on sale
have preference 0.
"""

from collections.abc import Collection, Sequence

import numpy as np

from mmrec.errors import NotFoundError
from mmrec.simulator.appeal import Appeal
from mmrec.simulator.assortment import Assortment
from mmrec.simulator.people import People
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.traffic import days_after_start


class Oracle:
    """Answers from the truth. No recommender may ask it."""

    def __init__(self, config: StorefrontConfig, assortment: Assortment, people: People, appeal: Appeal) -> None:
        self._config = config
        self._items = assortment
        self._people = people
        self._appeal = appeal
        self._user_index = {user_id: index for index, user_id in enumerate(people.user_ids)}
        self._item_index = {item_id: index for index, item_id in enumerate(assortment.item_ids)}

    def preference(self, user_id: str, *, as_of_s: float) -> np.ndarray:
        """Chance of each item to be a session's first look, float64, shape (I,), in catalogue order; sums to 1.

        Raises:
            NotFoundError: the world has no such user.
        """
        try:
            user = self._user_index[user_id]
        except KeyError:
            raise NotFoundError(f"no user {user_id!r} in this world of {len(self._user_index)} users") from None
        day = days_after_start(self._config, as_of_s)
        propensity_SI = self._appeal.day(int(day // 1)).propensity_SI
        split = self._items.num_beauty
        if self._people.is_bot_U[user]:
            even: np.ndarray = propensity_SI[-1] / 2
            return even
        mix = self._people.mix(np.array([user]), np.array([day]))[0]
        tilt = np.exp(self._people.bonus(np.array([user]), np.arange(self._items.num_items), self._items))
        chosen_TI = propensity_SI[self._people.style_UT[user]] * tilt
        preference = np.zeros(self._items.num_items)
        beauty_share = float(self._people.beauty_share_U[user])
        for part, share in ((slice(0, split), beauty_share), (slice(split, None), 1 - beauty_share)):
            terms = chosen_TI[:, part]
            preference[part] = share * (mix @ (terms / terms.sum(axis=1, keepdims=True)))
        return preference

    def best(self, user_id: str, *, as_of_s: float, num_items: int, excluded: Collection[str] = ()) -> tuple[str, ...]:
        """The items the user would most likely look at, best first; fewer where fewer are on sale."""
        preference = self._without(self.preference(user_id, as_of_s=as_of_s), excluded)
        order = np.argsort(-preference, kind="stable")[:num_items]
        return tuple(self._items.item_ids[index] for index in order if preference[index] > 0)

    def value(self, user_id: str, item_ids: Sequence[str], *, as_of_s: float) -> float:
        """Chance that the user's next first look is at one of the items; repeated and unknown items add nothing."""
        preference = self.preference(user_id, as_of_s=as_of_s)
        known = {self._item_index[item_id] for item_id in item_ids if item_id in self._item_index}
        return float(preference[sorted(known)].sum())

    def regret(self, user_id: str, item_ids: Sequence[str], *, as_of_s: float, excluded: Collection[str] = ()) -> float:
        """Share of the best list's value that a list of the same length misses: 0 for the best one, 1 for a useless."""
        best = self.best(user_id, as_of_s=as_of_s, num_items=len(item_ids), excluded=excluded)
        best_value = self.value(user_id, best, as_of_s=as_of_s)
        if best_value <= 0:
            return 0.0
        out = set(excluded)
        value = self.value(user_id, [item_id for item_id in item_ids if item_id not in out], as_of_s=as_of_s)
        return max(0.0, 1.0 - value / best_value)

    def is_bot(self, user_id: str) -> bool:
        """Whether a user id belongs to a script."""
        index = self._user_index.get(user_id)
        return index is not None and bool(self._people.is_bot_U[index])

    def _without(self, preference: np.ndarray, excluded: Collection[str]) -> np.ndarray:
        rows = [self._item_index[item_id] for item_id in excluded if item_id in self._item_index]
        preference = preference.copy()
        preference[rows] = 0.0
        return preference
