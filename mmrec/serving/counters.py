"""What a replica counts."""

from dataclasses import dataclass, field


@dataclass
class Counters:
    """Figures for `mmrec status`."""

    num_requests: int = 0
    num_failed: int = 0
    num_degraded: int = 0
    num_overlay_events: int = 0
    """Acknowledged events that lists used before the stream had stored them."""
    num_item_updates: int = 0
    num_broken_updates: int = 0
    degraded_by_reason: dict[str, int] = field(default_factory=dict)
