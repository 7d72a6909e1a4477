"""Puts records that were sent straight onto Kafka into the overlay, so that the next list shows their events, too.

    follower.take(records, topic=...)      False: too far behind; start again at the topic's end

Records that the stream would refuse are left out by the same rules. So are records that their sender (the collector)
puts into the overlay itself, and imported history. The stream counts events that are left out here, for any reason.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from mmrec.clock import Clock
from mmrec.collecting.overlay_writer import OverlayWriter
from mmrec.config import EventSettings
from mmrec.events.control import CONTROL_BEHAVIORS
from mmrec.events.producer import RecordPlace, TopicRecord
from mmrec.events.rules import EventFields, Refusal, decode_record
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.telemetry.metrics import Metrics

MAX_LAG_S: Final = 5.0
"""Records older than this are left to the stream: following a backlog record by record would only slow it down."""


class OverlayFollower:
    """Takes the records that a consumer of behavior-events read. For one thread."""

    def __init__(
        self, writer: OverlayWriter, metrics: Metrics, clock: Clock, *, behaviors: BehaviorSet, settings: EventSettings
    ) -> None:
        """Follow into `writer`.

        Args:
            clock: Current time, compared with the broker's append times.
        """
        self._writer, self._metrics, self._clock = writer, metrics, clock
        self._behaviors, self._settings = behaviors, settings
        self._counts: Counter[str] = Counter()

    def figures(self) -> dict[str, int]:
        """Records so far by outcome: followed, collected, imported, refused, behind, or passed (applied, unwritten)."""
        return dict(self._counts)

    def take(self, records: Sequence[TopicRecord], *, topic: tuple[str, str]) -> bool:
        """Put the records of one poll into the overlay.

        Args:
            topic: (cluster id, topic id) the records are of.

        Returns:
            False where even the newest record is older than MAX_LAG_S; then none was added.
        """
        if not records:
            return True
        if self._clock.now_s() - max(record.timestamp_s for record in records) > MAX_LAG_S:
            self._count("behind", len(records))
            return False
        read: list[tuple[EventFields, RecordPlace]] = []
        for record in records:
            if record.in_overlay:
                self._count("collected")
                continue
            event = decode_record(
                record.key,
                record.value,
                ingest_time_s=record.timestamp_s,
                behaviors=self._behaviors,
                settings=self._settings,
            )
            if isinstance(event, Refusal):
                self._count("refused")
            elif event.imported and event.behavior not in CONTROL_BEHAVIORS:
                self._count("imported")
            else:
                read.append((event, RecordPlace(record.partition, record.offset, record.timestamp_s)))
        brought = self._writer.follow(read, topic=topic)
        self._count("followed", len(brought))
        self._count("passed", len(read) - len(brought))
        now_s = self._clock.now_s()
        ages_N = np.array([now_s - place.ingest_time_s for place in brought])
        self._metrics.observe_many("mmrec_event_to_servable_seconds", np.maximum(ages_N, 0.0), path="followed")
        return True

    def _count(self, outcome: str, number: int = 1) -> None:
        if number:
            self._counts[outcome] += number
            self._metrics.add("mmrec_followed_records_total", number, outcome=outcome)
