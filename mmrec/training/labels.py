"""Every event as a possible label: its instant, its part of the log, and whether serving could have shown its item.

Axis: E events, as in EventColumns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.training.event_columns import EventColumns, FloatArray
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.known_before import known_before

DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """What each event is as a label; the label time is the event time."""

    parts_E: npt.NDArray[np.uint8]
    """Values of Part, by label time."""
    in_time_E: npt.NDArray[np.bool_]
    """Whether the label itself was known before the next part began: a later one could not have been learned from."""
    hidden_E: npt.NDArray[np.bool_]
    """Whether a hiding behavior of the user on the item was known before the label."""
    in_window_E: npt.NDArray[np.bool_]
    """Whether it is of the days whose events are labels; the parts divide these. The first part holds all before."""
    ranker_begins_s: float
    validation_begins_s: float

    def begins_s(self, part: Part) -> float:
        """Label time at which a part begins; -inf for the first."""
        return (-np.inf, self.ranker_begins_s, self.validation_begins_s)[part]


def labels_of(events: EventColumns, *, config: ExampleConfig) -> Labels:
    """All events as labels; what serving hides, the events' behaviors say (Behavior.hides)."""
    times_E = events.event_times_E
    window_s = config.window_days * DAY_S or np.inf
    in_window_E = times_E >= times_E.max(initial=-np.inf) - window_s
    ordered = np.sort(times_E[in_window_E])
    ranker_begins_s = _time_at(ordered, config.towers_fraction)
    validation_begins_s = _time_at(ordered, config.towers_fraction + config.ranker_fraction)
    parts_E = (times_E >= ranker_begins_s).astype(np.uint8) + (times_E >= validation_begins_s).astype(np.uint8)
    ends_s = np.array([ranker_begins_s, validation_begins_s, np.inf])[parts_E]
    return Labels(
        parts_E=parts_E,
        in_time_E=known_before(events.known_times_E, ends_s),
        hidden_E=known_before(_first_hidden_s(events), times_E),
        in_window_E=in_window_E,
        ranker_begins_s=ranker_begins_s,
        validation_begins_s=validation_begins_s,
    )


def _time_at(ordered: FloatArray, fraction: float) -> float:
    """Instant before which `fraction` of the label times lie."""
    place = round(fraction * len(ordered))
    return float(ordered[place]) if place < len(ordered) else float("inf")


def _first_hidden_s(events: EventColumns) -> FloatArray:
    """When a hiding behavior on each event's (user, item) was first known, +inf where never."""
    pair_E = events.users_E * max(len(events.item_ids), 1) + events.items_E
    hiding = np.flatnonzero(np.isin(events.behaviors_E, events.behaviors.hiding))
    # Events stand in known order, so the first of a pair is the earliest.
    pairs, first = np.unique(pair_E[hiding], return_index=True)
    first_s = np.full(len(events), np.inf)
    if len(pairs):
        place_E = np.minimum(np.searchsorted(pairs, pair_E), len(pairs) - 1)
        hit = pairs[place_E] == pair_E
        first_s[hit] = events.known_times_E[hiding[first[place_E[hit]]]]
    return first_s
