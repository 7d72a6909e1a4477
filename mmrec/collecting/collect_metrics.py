"""What the collector shows to Prometheus: its answers, how long they took, and how full the overlay is."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from mmrec.collecting.outcome_counts import CollectorFigures
from mmrec.telemetry.metrics import Metrics
from mmrec.v1.collector_pb2 import EventOutcome, EventStatus

_OUTCOMES: Final = {
    EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED: "acknowledged",
    EventOutcome.EVENT_OUTCOME_REJECTED: "rejected",
    EventOutcome.EVENT_OUTCOME_RETRY: "retry",
}


class CollectorMetrics:
    """Fills one registry. Safe to call from several threads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answered_many(self, answers: Sequence[tuple[Sequence[EventStatus], float]]) -> None:
        """Take in answered requests, several at once, since one observation costs more than one event.

        Args:
            answers: (statuses, seconds) per request: a status for each event, and the time since the request arrived.
                Acknowledged events are in the overlay, so that requests see them.
        """
        found: Counter[tuple[EventOutcome, str]] = Counter()
        acknowledged_R = np.zeros(len(answers), dtype=np.int64)
        for place, (statuses, _) in enumerate(answers):
            outcomes = [(status.outcome, status.reason) for status in statuses]
            found.update(outcomes)
            acknowledged_R[place] = outcomes.count((EventOutcome.EVENT_OUTCOME_ACKNOWLEDGED, ""))
        for (outcome, reason), number in found.items():
            name = _OUTCOMES.get(outcome, "unknown")
            self._metrics.add("mmrec_collector_events_total", number, outcome=name, reason=reason)
        seconds_R = np.array([seconds for _, seconds in answers], dtype=np.float64)
        self._metrics.observe_many("mmrec_collector_ack_seconds", seconds_R)
        if acknowledged_R.any():
            seen_E = np.repeat(seconds_R, acknowledged_R)
            self._metrics.observe_many("mmrec_event_to_servable_seconds", seen_E, path="overlay")

    def figures(self, figures: CollectorFigures) -> None:
        """The figures of the status file that the metrics have as well."""
        self._metrics.set("mmrec_collector_in_flight", figures.in_flight)
        for outcome, reason, number in figures.items.answers():
            self._metrics.set("mmrec_collector_items_total", number, outcome=outcome, reason=reason)
        if "overlay_entries" in figures.overlay:
            self._metrics.set("mmrec_overlay_entries", figures.overlay["overlay_entries"])
        if "overlay_dropped" in figures.overlay:
            self._metrics.set("mmrec_overlay_dropped_total", figures.overlay["overlay_dropped"])
