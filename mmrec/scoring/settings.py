"""How behaviors are scored and how much of a user is kept."""

from dataclasses import dataclass
from typing import Final

from mmrec.errors import ConfigurationError
from mmrec.scoring.behaviors import BehaviorSet

MAX_RECENT: Final = (1 << 16) - 1
MAX_RATES: Final = (1 << 8) - 1
MAX_NUMBER: Final = (1 << 32) - 1
"""What a packed profile has room for (mmrec.scoring.packing): newest events; half-lives; items, ids, events counted."""


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How behaviors are scored and how much of a user is kept."""

    decay_per_day: tuple[float, ...] = (0.05,)
    """lambda of each half-life, per day; the first one is the one affinity and pruning use (METHODS M2)."""
    max_items: int = 256
    """Items kept per user, the most valuable ones; 0 keeps all."""
    max_recent: int = 50
    """Newest events kept per user."""
    ring_size: int = 512
    """Event ids remembered per user to find duplicates."""
    ring_window_s: float = 7 * 86_400.0
    """Ids older than this, by the profile's newest ingest time, are forgotten."""
    idle_horizon_s: float = 400 * 86_400.0
    """Items without an event for this long, by the profile's newest event time, are dropped; 0 never. At 0.05 per day
    2e-9 of a count is left after 400 days."""
    cap_events: int = 0
    """Events accepted of one user per window of ingest time; 0 is no cap."""
    cap_window_s: float = 60.0
    """Length of that window."""
    bot_windows: int = 0
    """Full windows in a row that make a user a bot; 0 is no bot rule."""
    bot_quiet_s: float = 86_400.0
    """For this long a bot's events are refused."""
    behaviors: BehaviorSet
    """The configured set with its weights."""

    def __post_init__(self) -> None:
        if not self.decay_per_day or min(self.decay_per_day) < 0:
            raise ConfigurationError(f"decay_per_day is {self.decay_per_day}; give one or more rates >= 0")
        if self.max_items < 0 or self.max_recent < 1 or self.ring_size < 0 or self.ring_window_s < 0:
            raise ConfigurationError("profile bounds must not be negative, and max_recent at least 1")
        room = {
            "max_recent": (self.max_recent, MAX_RECENT),
            "max_items": (self.max_items, MAX_NUMBER),
            "ring_size": (self.ring_size, MAX_NUMBER),
            "cap_events": (self.cap_events, MAX_NUMBER),
            "number of rates in decay_per_day": (len(self.decay_per_day), MAX_RATES),
        }
        for name, (value, most) in room.items():
            if value > most:
                raise ConfigurationError(f"{name} is {value}; a stored profile has room for {most}")
        if not self.idle_horizon_s >= 0:
            raise ConfigurationError(f"idle_horizon_s is {self.idle_horizon_s}; give seconds, or 0 to keep idle items")
        if self.cap_events < 0 or not self.cap_window_s > 0 or self.bot_windows < 0 or not self.bot_quiet_s >= 0:
            raise ConfigurationError("caps and bot rule must not be negative, and cap_window_s above 0")
        if self.bot_windows and not self.cap_events:
            raise ConfigurationError(f"bot_windows is {self.bot_windows} without a cap; set cap_events, too")
