"""How behaviors are scored and how much of a user is kept."""

from dataclasses import dataclass

from mmrec.errors import ConfigurationError
from mmrec.events.behaviors import BehaviorSet


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
    behaviors: BehaviorSet
    """The configured set with its weights."""

    def __post_init__(self) -> None:
        if not self.decay_per_day or min(self.decay_per_day) < 0:
            raise ConfigurationError(f"decay_per_day is {self.decay_per_day}; give one or more rates >= 0")
        if self.max_items < 0 or self.max_recent < 1 or self.ring_size < 0 or self.ring_window_s < 0:
            raise ConfigurationError("profile bounds must not be negative, and max_recent at least 1")
