"""Configuration of a simulated storefront."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

DAY_S = 86_400.0
BEHAVIORS = ("browse", "favorite", "cart", "purchase")
OUTFIT_MATES = 2
FUNNEL_SHARES = (0.60, 0.15, 0.15, 0.10)
"""Share of each behavior among all events."""

Some = Annotated[float, Meta(ge=0, le=0.9)]
"""A share that leaves the others enough."""


@dataclass(frozen=True, kw_only=True)
class StorefrontConfig:
    """A world is a function of these values alone: the same configuration gives the same bytes.

    What people like and choose does not depend on `start_s`: a storefront that ends today tells the same story as one
    that ended last year.
    """

    seed: Count = 7
    num_users: Annotated[int, Meta(ge=2)] = 600
    num_items: Annotated[int, Meta(ge=20)] = 1_000
    """Half of them beauty, half fashion."""
    start_s: NotNegative = 1_767_225_600.0
    """Epoch seconds of the first instant; taken to the millisecond. 2026-01-01 by default."""
    days: Positive = 60.0
    """Length of the default window; new items appear within it."""
    events_per_user_day: Positive = 1.1
    """Mean events of a person per day, over all people."""
    num_styles: Annotated[int, Meta(ge=2)] = 24
    """Planted styles: what tastes are made of."""
    tastes_per_user: AtLeastOne = 3
    share_both_domains: Some = 0.4
    """Share of users who buy in both domains; the others are split evenly."""
    share_new_items: Some = 0.2
    """Share of items published during the window; the others are there from the start."""
    share_new_users: Some = 0.2
    """Share of users whose first event comes during the window."""
    share_out_of_stock: Some = 0.04
    """Share of item-days without stock."""
    share_without_image: Some = 0.01
    share_duplicates: Some = 0.01
    """Share of events that are sent a second time, same bytes."""
    share_outfits: Some = 0.0
    """Share of purchases after which the same session buys what goes with the item: another category of the same
    color, one of OUTFIT_MATES that each item has."""
    share_late: Some = 0.01
    """Share of events that are sent long after they happened, up to `max_late_s`."""
    max_late_s: Annotated[float, Meta(ge=600)] = 2 * DAY_S
    share_bots: Some = 0.005
    """Share of user ids that are scripts; at least one where above 0."""
    bot_event_share: Some = 0.03
    """Share of all events that bots make."""
    image_size: Annotated[int, Meta(ge=32, le=1024)] = 160
    """Pixels per side."""

    def __post_init__(self) -> None:
        check(self, "storefront")

    @property
    def start_ms(self) -> int:
        """Milliseconds of the epoch of the first instant."""
        return round(self.start_s * 1000)

    @property
    def end_s(self) -> float:
        """Epoch seconds of the end of the default window."""
        return self.start_ms / 1000 + self.days * DAY_S


def generator(config: StorefrontConfig, *purpose: int) -> np.random.Generator:
    """Random numbers of one purpose, independent of all others and of the order of use."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([config.seed, *purpose])))
