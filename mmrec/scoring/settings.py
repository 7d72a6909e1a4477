"""How behaviors are scored and how much of a user is kept."""

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from mmrec.errors import SettingError
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.wire.declared import Count, NotNegative, NotNegativeOrEndless, Positive, check

MAX_RECENT: Final = (1 << 16) - 1
MAX_RATES: Final = (1 << 8) - 1
MAX_NUMBER: Final = (1 << 32) - 1
"""Largest numbers that a packed profile can hold (mmrec.scoring.packing): of newest events; of half-lives; of items,
ids and counted events."""

Stored = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How behaviors are scored and how much of a user is kept."""

    decay_per_day: Annotated[tuple[NotNegative, ...], Meta(min_length=1, max_length=MAX_RATES)] = (0.05,)
    """lambda of each half-life, per day; the first one is the one affinity and pruning use (METHODS M2)."""
    neighbor_decay_per_day: NotNegative = 0.005
    """Decay of a user's own items, by age, as sources of neighbors (METHODS M36); 0 leaves the age out. Beside
    the order it says little: 0, .005 and .05 are alike on the validation part of Taobao."""
    neighbor_order_decay: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """Factor by which an own item weighs less there for each that came after it; 1 leaves the order out. On validation
    parts .8 gains 15 to 21 % of NDCG@10 over 1 (Amazon Beauty, Taobao, MovieLens small); .7 is better for the first two
    and .9 for the last. The ranker reads what comes of both as a feature: train again after a change."""
    max_items: Stored = 256
    """Items kept per user, the most valuable ones; 0 keeps all."""
    max_recent: Annotated[int, Meta(ge=1, le=MAX_RECENT)] = 50
    """Newest events kept per user."""
    ring_size: Stored = 512
    """Event ids remembered per user to find duplicates."""
    ring_window_s: NotNegativeOrEndless = 7 * 86_400.0
    """Ids older than this, by the profile's newest ingest time, are forgotten; inf never."""
    idle_horizon_s: NotNegativeOrEndless = 400 * 86_400.0
    """Items without an event for this long, by the profile's newest event time, are dropped; 0 or inf never. At 0.05
    per day 2e-9 of a count is left after 400 days."""
    cap_events: Stored = 0
    """Events accepted of one user per window of ingest time; 0 is no cap."""
    cap_window_s: Positive = 60.0
    """Length of that window."""
    bot_windows: Count = 0
    """Full windows in a row after which a user counts as a bot; 0 turns the bot rule off."""
    bot_quiet_s: NotNegativeOrEndless = 86_400.0
    """How long a bot's events are refused; inf for good, those of earlier instants that arrive later included."""
    behaviors: BehaviorSet
    """The configured set with its weights."""

    def __post_init__(self) -> None:
        check(self, "scoring")
        if self.bot_windows and not self.cap_events:
            raise SettingError(
                ("scoring", "bot_windows"), f"is {self.bot_windows} without a cap; set scoring.cap_events, too"
            )
