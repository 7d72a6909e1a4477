"""Configuration of a simulated storefront."""

from dataclasses import dataclass

import numpy as np

from mmrec.errors import ConfigurationError

DAY_S = 86_400.0
BEHAVIORS = ("browse", "favorite", "cart", "purchase")
FUNNEL_SHARES = (0.60, 0.15, 0.15, 0.10)
"""Share of each behavior among all events."""


@dataclass(frozen=True, kw_only=True)
class StorefrontConfig:
    """A world is a function of these values alone: the same configuration gives the same bytes.

    What people like and choose does not depend on `start_s`: a storefront that ends today tells the same story as one
    that ended last year.
    """

    seed: int = 7
    num_users: int = 600
    num_items: int = 1_000
    """Half of them beauty, half fashion."""
    start_s: float = 1_767_225_600.0
    """Epoch seconds of the first instant; taken to the millisecond. 2026-01-01 by default."""
    days: float = 60.0
    """Length of the default window; new items appear within it."""
    events_per_user_day: float = 1.1
    """Mean events of a person per day, over all people."""
    num_styles: int = 24
    """Planted styles: what tastes are made of."""
    tastes_per_user: int = 3
    share_both_domains: float = 0.4
    """Share of users who buy in both domains; the others are split evenly."""
    share_new_items: float = 0.2
    """Share of items published during the window; the others are there from the start."""
    share_new_users: float = 0.2
    """Share of users whose first event comes during the window."""
    share_out_of_stock: float = 0.04
    """Share of item-days without stock."""
    share_without_image: float = 0.01
    share_duplicates: float = 0.01
    """Share of events that are sent a second time, same bytes."""
    share_late: float = 0.01
    """Share of events that are sent long after they happened, up to `max_late_s`."""
    max_late_s: float = 2 * DAY_S
    share_bots: float = 0.005
    """Share of user ids that are scripts; at least one where above 0."""
    bot_event_share: float = 0.03
    """Share of all events that bots make."""
    image_size: int = 160
    """Pixels per side."""

    def __post_init__(self) -> None:
        if self.num_users < 2 or self.num_items < 20 or self.num_styles < 2 or self.tastes_per_user < 1:
            raise ConfigurationError(
                f"a storefront of {self.num_users} users, {self.num_items} items, {self.num_styles} styles and "
                f"{self.tastes_per_user} tastes; it needs at least 2, 20, 2 and 1"
            )
        if not (np.isfinite(self.start_s) and self.start_s >= 0 and self.days > 0 and self.events_per_user_day > 0):
            raise ConfigurationError("start_s must be >= 0, days and events_per_user_day above 0")
        for name in (
            "share_both_domains",
            "share_new_items",
            "share_new_users",
            "share_out_of_stock",
            "share_without_image",
            "share_duplicates",
            "share_late",
            "share_bots",
            "bot_event_share",
        ):
            if not 0 <= getattr(self, name) <= 0.9:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; shares go from 0 to 0.9")
        if not 32 <= self.image_size <= 1024 or self.max_late_s < 600 or self.seed < 0:
            raise ConfigurationError("image_size goes from 32 to 1024, max_late_s from 600 up, seed from 0 up")

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
