"""Sessions of the simulated world, block by block.

Time is cut into blocks; a block's sessions are a function of (configuration, block number) alone, so any window can
be made without what came before it, in bounded memory, and cut into chunks of any size.

A session has one user, one of the user's tastes (by how much each counts at that time), one domain and a number of
looks. The first look is drawn by the taste's propensity, tilted by the user's own color and brand; a later one goes
with COMPANION_SHARE to an item of the same collection as the item before. Each look is a browse event; favorite, cart
and purchase follow it the more likely, the better the item fits, with the funnel's shares overall.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmrec.simulator.appeal import Appeal, DayAppeal, draw_items
from mmrec.simulator.assortment import Assortment
from mmrec.simulator.people import People
from mmrec.simulator.settings import DAY_S, FUNNEL_SHARES, StorefrontConfig, generator

DAY_MS = 86_400_000
MAX_BLOCK_EVENTS = 32_768
MEAN_LOOKS = 4.0
MAX_LOOKS = 24
BOT_LOOKS = 40
MAX_GAP_S = 300.0
BOT_SPEED = 60.0
"""Scripts are so many times as fast as people."""
COMPANION_SHARE = 0.35
REPEAT_PENALTY = 4.0
"""People rarely look at the same item twice in a row."""
PILOT_SESSIONS = 4_000
NUM_DRAWN = 8
"""Items a look is chosen among, drawn by propensity."""
FIT_SLOPE = 0.35
"""How much better items get more favorites, carts and purchases."""
BUY_FROM_CART = 0.5
MAX_SEND_JITTER_S = 0.8
LATE_FROM_S = 600.0
MAX_RETRY_S = 1_800.0
OUTFIT_MAX_S = 600.0
BROWSE, PURCHASE = 0, 3
"""Places of FUNNEL_SHARES."""
SESSION_MAX_S = MAX_LOOKS * MAX_GAP_S + 120.0

EVENT_DTYPE = np.dtype(
    [
        ("send_ms", np.int64),
        ("event_ms", np.int64),
        ("event_number", np.int64),
        ("session_number", np.int64),
        ("user", np.int32),
        ("item", np.int32),
        ("behavior", np.uint8),
        ("is_late", np.bool_),
        ("is_duplicate", np.bool_),
        ("is_bot", np.bool_),
    ]
)
"""One event as it is sent; a duplicate repeats all of it but send_ms and is_duplicate."""


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Sessions of one block, aligned."""

    users: np.ndarray
    starts_ms: np.ndarray
    """Milliseconds after the world's start."""
    styles: np.ndarray
    """Row of the day's propensities: a taste of the user's, or the even row for scripts."""
    domains: np.ndarray
    looks: np.ndarray
    """Number of looks."""
    is_bot: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Looks of one block, aligned."""

    session: np.ndarray
    """Index into the sessions."""
    times_ms: np.ndarray
    items: np.ndarray


class Traffic:
    """Events of the world by block and by window."""

    def __init__(self, config: StorefrontConfig, assortment: Assortment, people: People, appeal: Appeal) -> None:
        self._config = config
        self._items = assortment
        self._people = people
        self._appeal = appeal
        events_per_day = config.events_per_user_day * config.num_users
        self._events_per_session = MEAN_LOOKS / FUNNEL_SHARES[0]
        blocks_per_day = 1
        while events_per_day / blocks_per_day > MAX_BLOCK_EVENTS and blocks_per_day < 1024:
            blocks_per_day *= 2
        self.block_ms = DAY_MS // blocks_per_day
        longest_s = SESSION_MAX_S + (OUTFIT_MAX_S if config.share_outfits else 0.0)
        self._lookback_blocks = -int(-(longest_s + config.max_late_s + MAX_RETRY_S + 60) * 1000 // self.block_ms)
        self._mates_IM = assortment.outfit_mates(config) if config.share_outfits else np.empty((0, 1), np.int64)
        self._mean_fit = 0.0
        self._bots = np.flatnonzero(people.is_bot_U)
        self._cart_rate, self._favorite_rate, self._direct_rate = self._calibrate()

    def window(self, start_ms: int, end_ms: int) -> Iterator[np.ndarray]:
        """Events sent in [start_ms, end_ms), in the order they are sent; one array of EVENT_DTYPE per block.

        The arrays of two adjoining windows put together are those of the whole window.
        """
        first = (start_ms - self._config.start_ms) // self.block_ms
        last = -((self._config.start_ms - end_ms) // self.block_ms)
        pending = np.empty(0, dtype=EVENT_DTYPE)
        for number in range(max(0, first - self._lookback_blocks), last):
            block_end_ms = self._config.start_ms + (number + 1) * self.block_ms
            pending = np.concatenate((pending, self.block(number)))
            pending = pending[pending["send_ms"] >= start_ms]
            is_due = pending["send_ms"] < min(block_end_ms, end_ms)
            due = pending[is_due]
            pending = pending[~is_due]
            if len(due):
                yield due[np.lexsort((due["is_duplicate"], due["event_number"], due["send_ms"]))]

    def block(self, number: int) -> np.ndarray:
        """All events of the sessions that begin in a block >= 0, duplicates too, in no particular order."""
        rng = generator(self._config, 4, number)
        start_ms = number * self.block_ms  # after the world's start
        day_number = start_ms // DAY_MS
        day = self._appeal.day(day_number)
        users, starts_ms = self._arrivals(rng, start_ms)
        sessions = self._sessions(rng, users, starts_ms)
        looks = self._look(rng, day, sessions)
        events = self._events(rng, number, sessions, looks)
        if self._config.share_outfits:
            events = np.concatenate((events, self._outfits(number, day, events)))
        return self._send(rng, events)

    def _arrivals(self, rng: np.random.Generator, start_ms: int) -> tuple[np.ndarray, np.ndarray]:
        """Users and start times, ms after the world's start, of the sessions that begin in a block."""
        people, config = self._people, self._config
        edges = np.linspace(start_ms, start_ms + self.block_ms, 33) / DAY_MS
        # Integral of 1 + .6 cos(2 pi (t - 20 h)) over the block: evenings are busy, early mornings quiet.
        integral = edges + 0.6 / (2 * np.pi) * np.sin(2 * np.pi * (edges - 20 / 24))
        share_of_day = float(integral[-1] - integral[0])
        is_here = people.join_day_U <= start_ms / DAY_MS
        activity = np.where(is_here, people.activity_U, 0.0)
        here = float(activity.sum() / people.activity_U.sum())
        weekend = 1.2 if (start_ms // DAY_MS) % 7 in {5, 6} else 0.92
        events = config.events_per_user_day * config.num_users * share_of_day
        bot_events = config.bot_event_share * events if len(self._bots) else 0.0
        num_people = rng.poisson((events - bot_events) * here * weekend / self._events_per_session)
        num_bots = rng.poisson(bot_events * here * FUNNEL_SHARES[0] / BOT_LOOKS)
        cumulative = np.cumsum(activity)
        drawn = np.searchsorted(cumulative, rng.random(num_people) * cumulative[-1], side="right")
        bots = self._bots[rng.integers(len(self._bots), size=num_bots)] if num_bots else np.empty(0, dtype=np.int64)
        users = np.concatenate((np.minimum(drawn, len(cumulative) - 1), bots))
        at = np.interp(integral[0] + rng.random(len(users)) * share_of_day, integral, edges)
        return users, np.floor(at * DAY_MS).astype(np.int64)

    def _sessions(self, rng: np.random.Generator, users: np.ndarray, starts_ms: np.ndarray) -> Sessions:
        """Taste, domain and length of each session."""
        is_bot = self._people.is_bot_U[users]
        shares = np.cumsum(self._people.mix(users, starts_ms / DAY_MS), axis=1)
        taste = np.minimum((rng.random((len(users), 1)) > shares).sum(axis=1), shares.shape[1] - 1)
        beauty_share = np.where(is_bot, 0.5, self._people.beauty_share_U[users])
        domains = (rng.random(len(users)) >= beauty_share).astype(np.int64)
        looks = np.minimum(rng.geometric(1 / MEAN_LOOKS, size=len(users)), MAX_LOOKS)
        return Sessions(
            users=users,
            starts_ms=starts_ms,
            styles=np.where(is_bot, self._config.num_styles, self._people.style_UT[users, taste]),
            domains=domains,
            looks=np.where(is_bot, BOT_LOOKS, looks),
            is_bot=is_bot,
        )

    def _look(self, rng: np.random.Generator, day: DayAppeal, sessions: Sessions) -> Looks:
        """All looks of the sessions, first looks first."""
        members, first, size = self._items.companions
        active = np.arange(len(sessions.users))
        previous = np.full(len(active), -1, dtype=np.int64)
        at_ms = sessions.starts_ms.copy()
        found = [(active[:0], at_ms[:0], previous[:0])]
        for step in range(int(sessions.looks.max(initial=0))):
            active = active[sessions.looks[active] > step]
            is_person = ~sessions.is_bot[active]
            before = previous[active]
            uniform = rng.random((len(active), NUM_DRAWN))
            drawn = draw_items(day, sessions.styles[active, None], sessions.domains[active, None], uniform)
            score = self._people.bonus(sessions.users[active, None], drawn, self._items) * is_person[:, None]
            # Gumbel-max: the largest of score + Gumbel noise is drawn with probability exp(score) / sum.
            score = score + rng.gumbel(size=drawn.shape) - REPEAT_PENALTY * (drawn == before[:, None])
            chosen = drawn[np.arange(len(active)), np.argmax(score, axis=1)]
            if step:
                chance = rng.random((2, len(active)))
                collection = self._items.collection_I[before]
                other = members[first[collection] + (chance[0] * size[collection]).astype(np.int64)]
                goes = is_person & (chance[1] < COMPANION_SHARE) & (other != before) & day.on_sale_I[other]
                chosen = np.where(goes, other, chosen)
                gap_s = np.minimum(61.0 + rng.exponential(35.0, size=len(active)), MAX_GAP_S)
                at_ms[active] += (np.where(is_person, gap_s, gap_s / BOT_SPEED) * 1000).astype(np.int64)
            previous[active] = chosen
            found.append((active, at_ms[active], chosen))
        session, times_ms, items = (np.concatenate(part) for part in zip(*found, strict=True))
        return Looks(session=session, times_ms=times_ms, items=items)

    def _fit(self, sessions: Sessions, looks: Looks) -> np.ndarray:
        """How well each item suits user and intent; 0 for scripts, which do not care."""
        styles = np.minimum(sessions.styles, self._config.num_styles - 1)[looks.session]
        bonus = self._people.bonus(sessions.users[looks.session], looks.items, self._items)
        fit: np.ndarray = (self._items.match_SI[styles, looks.items] + bonus) * ~sessions.is_bot[looks.session]
        return fit

    def _calibrate(self) -> tuple[float, float, float]:
        """Rates that give the funnel's shares, from the fits of a pilot of sessions in mid-window."""
        rng = generator(self._config, 5)
        day_number = int(self._config.days / 2)
        day = self._appeal.day(day_number)
        people = np.flatnonzero(~self._people.is_bot_U)
        weights = self._people.activity_U[people]
        users = rng.choice(people, size=PILOT_SESSIONS, p=weights / weights.sum())
        sessions = self._sessions(rng, users, np.full(len(users), day_number * DAY_MS))
        fits = self._fit(sessions, self._look(rng, day, sessions))
        self._mean_fit = float(fits.mean())
        pull = np.exp(FIT_SLOPE * (fits - self._mean_fit))
        browse, favorite, cart, purchase = FUNNEL_SHARES
        cart_rate = _rate(pull, cart / browse)
        not_carted = 1 - np.minimum(cart_rate * pull, 0.95)
        direct = (purchase - BUY_FROM_CART * cart) / browse
        return cart_rate, _rate(pull, favorite / browse), _rate(pull, direct / not_carted.mean())

    def _events(self, rng: np.random.Generator, number: int, sessions: Sessions, looks: Looks) -> np.ndarray:
        """Browse and what follows from each look; not sent yet."""
        num = len(looks.items)
        is_bot = sessions.is_bot[looks.session]
        pull = np.where(is_bot, 1.0, np.exp(FIT_SLOPE * (self._fit(sessions, looks) - self._mean_fit)))
        browse, favorite, cart, purchase = FUNNEL_SHARES
        uniform = rng.random((3, num))
        cart_rate = np.where(is_bot, cart / browse, np.minimum(self._cart_rate * pull, 0.95))
        favorite_rate = np.where(is_bot, favorite / browse, np.minimum(self._favorite_rate * pull, 0.95))
        direct = (purchase - BUY_FROM_CART * cart) / browse
        direct_rate = np.where(is_bot, direct / (1 - cart / browse), np.minimum(self._direct_rate * pull, 0.95))
        carted = uniform[0] < cart_rate
        happens = np.stack(
            (
                np.ones(num, dtype=bool),
                uniform[1] < favorite_rate,
                carted,
                uniform[2] < np.where(carted, BUY_FROM_CART, direct_rate),
            )
        )
        # Seconds after the look; all of it before the next one.
        delay_s = np.cumsum(np.stack((np.zeros(num), *rng.uniform(4.0, 18.0, size=(3, num)))), axis=0)
        delay_s = np.where(is_bot, delay_s / BOT_SPEED, delay_s)
        behavior, look = np.nonzero(happens)
        events = np.zeros(len(look), dtype=EVENT_DTYPE)
        events["event_ms"] = (
            self._config.start_ms + looks.times_ms[look] + (delay_s[behavior, look] * 1000).astype(np.int64)
        )
        events["event_number"] = (number << 20) + np.arange(len(look))
        events["session_number"] = (number << 20) + looks.session[look]
        events["user"] = sessions.users[looks.session[look]]
        events["item"] = looks.items[look]
        events["behavior"] = behavior
        events["is_bot"] = is_bot[look]
        return events

    def _outfits(self, number: int, day: DayAppeal, events: np.ndarray) -> np.ndarray:
        """A look at and a purchase of what goes with an item, after purchases of it; by a generator of their own."""
        rng = generator(self._config, 6, number)
        bought = events[(events["behavior"] == PURCHASE) & ~events["is_bot"]]
        bought = bought[rng.random(len(bought)) < self._config.share_outfits]
        mates = self._mates_IM[bought["item"], rng.integers(self._mates_IM.shape[1], size=len(bought))]
        is_there = (mates >= 0) & day.on_sale_I[mates]
        looked = bought[is_there].copy()
        looked["item"], looked["behavior"] = mates[is_there], BROWSE
        looked["event_ms"] += (rng.uniform(20.0, OUTFIT_MAX_S - 60.0, size=len(looked)) * 1000).astype(np.int64)
        taken = looked.copy()
        taken["behavior"] = PURCHASE
        taken["event_ms"] += (rng.uniform(5.0, 60.0, size=len(taken)) * 1000).astype(np.int64)
        both = np.concatenate((looked, taken))
        both["event_number"] = (number << 20) + len(events) + np.arange(len(both))
        return both

    def _send(self, rng: np.random.Generator, events: np.ndarray) -> np.ndarray:
        """When each event is sent, and which ones are sent again."""
        config = self._config
        num = len(events)
        is_late = rng.random(num) < config.share_late
        late_s = np.exp(rng.uniform(np.log(LATE_FROM_S), np.log(config.max_late_s), size=num))
        wait_s = np.where(is_late, late_s, rng.uniform(0.0, MAX_SEND_JITTER_S, size=num))
        events["is_late"] = is_late
        events["send_ms"] = events["event_ms"] + np.ceil(wait_s * 1000).astype(np.int64)
        again = rng.random(num) < config.share_duplicates
        retry_s = np.exp(rng.uniform(np.log(0.05), np.log(MAX_RETRY_S), size=num))
        repeated = events[again]
        repeated["send_ms"] += np.ceil(retry_s[again] * 1000).astype(np.int64)
        repeated["is_duplicate"] = True
        return np.concatenate((events, repeated))


def _rate(pull: np.ndarray, share: float) -> float:
    """The factor r for which min(r * pull, .95) has mean `share`."""
    rate = share / float(pull.mean())
    for _ in range(30):
        rate *= share / float(np.minimum(rate * pull, 0.95).mean())
    return rate


def days_after_start(config: StorefrontConfig, time_s: float) -> float:
    """Days between the world's start and an instant."""
    return (time_s - config.start_ms / 1000) / DAY_S
