"""Configurations to start from, one for each domain: behaviors with weights and phrases, memories, missing values.

    starter_text("music")                   TOML with comments; every setting that is not in it has its default

Weights and half-lives are where to begin, not what was measured: a favorite says about three times as much as a look,
news are forgotten in days and films in years. A half-life of h days is a decay of ln 2 / h per day.
"""

import math
from dataclasses import dataclass
from typing import Final

from mmrec.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class Told:
    """One behavior of a domain."""

    name: str
    behavior_id: int
    weight: float
    phrase: str = ""
    hides: bool = False
    takes_back: str = ""
    """Behavior of which it cancels one."""

    def text(self) -> str:
        """Its table."""
        lines = [
            "[[behaviors]]",
            f'name = "{self.name}"',
            f"behavior_id = {self.behavior_id}",
            f"weight = {self.weight}",
        ]
        if self.takes_back:
            lines += [f'undo_of = "{self.takes_back}"', 'undo = "cancel"']
        if self.phrase:
            lines.append(f'phrase = "{self.phrase}"')
        if self.hides:
            lines.append("hides = true")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Starter:
    """What a domain needs that differs from the defaults."""

    behaviors: tuple[Told, ...]
    half_life_days: float
    """Of what a user did."""
    statistics_days: tuple[float, ...]
    """Half-lives of what is popular; the second one orders lists for strangers."""
    kept_items: int
    """Per user; 0 keeps all, as items that hide for good need."""
    ring_size: int
    """Event ids remembered per user; an import brings many events of one user at once."""
    missing: str
    """Table of [catalog] missing_values."""
    why: str
    """Of the memories, in a sentence."""


STARTERS: Final = {
    "shop": Starter(
        behaviors=(
            Told(name="browse", behavior_id=1, weight=1.0, phrase="browsed {}"),
            Told(name="favorite", behavior_id=2, weight=3.0, phrase="saved {}"),
            Told(name="cart", behavior_id=3, weight=5.0, phrase="put {} in the cart"),
            Told(name="purchase", behavior_id=4, weight=10.0, phrase="bought {}", hides=True),
        ),
        half_life_days=14.0,
        statistics_days=(1.0, 7.0, 30.0),
        kept_items=256,
        ring_size=512,
        missing='{ color = ["n/a", "-"], size = ["n/a", "-", "one size"], brand = ["unbranded", "no brand"] }',
        why="Wishes of a shop last for weeks",
    ),
    "movies": Starter(
        behaviors=(
            Told(name="watch", behavior_id=16, weight=1.0, phrase="watched {}", hides=True),
            Told(name="like", behavior_id=17, weight=5.0, phrase="liked {}"),
            Told(name="watchlist", behavior_id=18, weight=3.0, phrase="put {} on your list"),
            Told(name="unlike", behavior_id=19, weight=0.0, takes_back="like"),
        ),
        half_life_days=180.0,
        statistics_days=(30.0, 365.0, 1460.0),
        kept_items=0,
        ring_size=8192,
        missing='{ genres = ["(no genres listed)", "n/a"], language = ["und", "n/a"] }',
        why="Taste in films lasts for years, and a film that was seen is not shown again",
    ),
    "music": Starter(
        behaviors=(
            Told(name="play", behavior_id=32, weight=1.0, phrase="played {}"),
            Told(name="like", behavior_id=33, weight=5.0, phrase="liked {}"),
            Told(name="playlist", behavior_id=34, weight=4.0, phrase="put {} on a playlist"),
            Told(name="unlike", behavior_id=35, weight=0.0, takes_back="like"),
        ),
        half_life_days=30.0,
        statistics_days=(1.0, 14.0, 180.0),
        kept_items=1024,
        ring_size=4096,
        missing='{ genre = ["unknown", "other", "n/a"], album = ["unknown album", "n/a"] }',
        why="Songs are played again and again, and taste moves within months",
    ),
    "news": Starter(
        behaviors=(
            Told(name="read", behavior_id=48, weight=1.0, phrase="read {}", hides=True),
            Told(name="save", behavior_id=49, weight=3.0, phrase="saved {}"),
            Told(name="share", behavior_id=50, weight=5.0, phrase="shared {}"),
        ),
        half_life_days=2.0,
        statistics_days=(0.125, 0.5, 3.0),
        kept_items=512,
        ring_size=1024,
        missing='{ section = ["n/a", "none", "uncategorized"], author = ["n/a", "staff"] }',
        why="News are old after a day",
    ),
}
"""By domain. Ids of behaviors differ between domains, since they are never reused; movies begin as `movielens` does."""


def starter_text(domain: str) -> str:
    """The configuration of a domain.

    Raises:
        InvalidRequestError: there is no such domain.
    """
    if domain not in STARTERS:
        raise InvalidRequestError(f"no domain {domain!r}; there are {', '.join(STARTERS)}")
    starter = STARTERS[domain]
    behaviors = "\n".join(behavior.text() for behavior in starter.behaviors)
    return f"""\
# A configuration to start from, for {domain}: `mmrec up --config FILE`.
# Settings that are not here have their defaults (mmrec/config.py). Weights and half-lives are where to begin.

# What users do. `weight` is the affinity that one event adds. `behavior_id` is kept for ever: never change or reuse
# one. `phrase` is what explanations say after "You". `hides` takes the item off the user's lists. A behavior that takes
# another one back names it in `undo_of`.
{behaviors}
[scoring]
# {starter.why}: half of a count is left after {starter.half_life_days:g} days (ln 2 / {starter.half_life_days:g}).
decay_per_day = [{math.log(2) / starter.half_life_days:.4f}]
# Items kept per user, the most valuable ones; 0 keeps all.
max_items = {starter.kept_items}
# Event ids remembered per user to find events that are sent twice; at least as many as an import has of one user.
ring_size = {starter.ring_size}

[statistics]
# Half-lives, in days, of what is popular; the second one orders lists for people nobody knows yet.
half_lives_days = [{", ".join(f"{days:g}" if days % 1 else f"{days:.1f}" for days in starter.statistics_days)}]

[catalog]
# Values that mean "none", by attribute and in upper or lower case; other attributes are missing where they are empty.
missing_values = {starter.missing}
"""
