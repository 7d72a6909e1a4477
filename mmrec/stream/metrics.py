"""What the scoring stream shows to Prometheus, made of its batches and its progress.

    watch = StreamMetrics(Metrics("score_stream"), late_s=3_600)
    watch.observe(batch, num_records=..., num_profiles=..., phases_s={...}, progress=..., now_s=...)   per micro-batch
    watch.lag(ends, progress, now_s=...)                                                               every few seconds

Totals come from the stored progress, so they continue after a restart; durations and freshness are of this process.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import were_resubmitted
from mmrec.features.values import StreamProgress
from mmrec.scoring.source import Source
from mmrec.stream.rows import StreamBatch
from mmrec.telemetry.metrics import Metrics

_TOTALS: Final = {
    "served_lists": ("mmrec_served_lists_total", {"outcome": "logged"}),
    "malformed_served_lists": ("mmrec_served_lists_total", {"outcome": "malformed"}),
    "unknown_fields": ("mmrec_unknown_fields_total", {}),
    "skipped_batches": ("mmrec_skipped_batches_total", {}),
    "pruned": ("mmrec_profile_items_pruned_total", {}),
    "identified": ("mmrec_identified_total", {}),
    "forgotten_users": ("mmrec_forgotten_total", {}),
    "not_configured": ("mmrec_events_total", {"verdict": "not_configured", "reason": ""}),
}
"""Metrics for the counts in the progress that are neither verdicts nor reasons; shown once something was counted."""
STORE_PHASES: Final = {"read": "read", "write": "write"}
"""Phases of a step that the feature store is busy with, and what it does in them."""
LOG_PHASE: Final = "log"
WHOLE: Final = "whole"
DECODE: Final = "decode"


class StreamMetrics:
    """Fills one registry; called by the stream's own thread."""

    def __init__(self, metrics: Metrics, *, late_s: float) -> None:
        """Start counting.

        Args:
            late_s: Events whose time is more than this before their ingest time are late.
        """
        self._metrics = metrics
        self._late_s = late_s
        self._newest_s: dict[Source, float] = {}

    def observe(
        self,
        batch: StreamBatch,
        *,
        num_records: int,
        num_profiles: int,
        phases_s: Mapping[str, float],
        progress: StreamProgress,
        now_s: float,
    ) -> None:
        """Take in one micro-batch that is in the store.

        Args:
            batch: As it was processed.
            num_records: Records that were not processed before.
            num_profiles: Profiles written.
            phases_s: Seconds by phase; `whole` is the total, and what no other phase covers is reported as `decode`.
            progress: What the store holds now.
            now_s: Instant at which requests see the batch.
        """
        metrics = self._metrics
        metrics.observe("mmrec_stream_batch_records", num_records)
        metrics.add("mmrec_profiles_written_total", num_profiles)
        decode_s = phases_s.get(WHOLE, 0.0) - sum(seconds for phase, seconds in phases_s.items() if phase != WHOLE)
        for phase, seconds in {**phases_s, DECODE: max(decode_s, 0.0)}.items():
            metrics.observe("mmrec_stream_batch_seconds", seconds, phase=phase)
            if phase in STORE_PHASES:
                metrics.observe("mmrec_store_seconds", seconds, operation=STORE_PHASES[phase])
            elif phase == LOG_PHASE:
                metrics.observe("mmrec_log_append_seconds", seconds)
        events = batch.events.select(["event_time_s", "ingest_time_s", "imported", "context"])
        fresh = events.filter(pc.invert(events["imported"]))
        ingest_N = fresh["ingest_time_s"].to_numpy()
        metrics.observe_many("mmrec_event_to_servable_seconds", np.maximum(now_s - ingest_N, 0.0), path="stream")
        late_N = ingest_N - fresh["event_time_s"].to_numpy() > self._late_s
        metrics.add("mmrec_late_events_total", int(np.sum(late_N)))
        again = pc.sum(were_resubmitted(events["context"])).as_py()
        metrics.add("mmrec_resubmitted_total", again or 0)
        for table in (batch.events, batch.rejected, batch.served):
            self._note_newest(table)
        self.totals(progress)

    def totals(self, progress: StreamProgress) -> None:
        """Set the counters that the store keeps; also to be called at the start, before the first batch."""
        metrics = self._metrics
        counts = progress.counts
        for verdict, number in counts.named_verdicts().items():
            metrics.set("mmrec_events_total", number, verdict=verdict, reason="")
        for reason, number in counts.rejected.items():
            metrics.set("mmrec_events_total", number, verdict="rejected", reason=reason)
        for kind, (metric, labels) in _TOTALS.items():
            if number := getattr(counts, kind):
                metrics.set(metric, number, **labels)
        metrics.set("mmrec_log_sequence", progress.log_sequence)

    def lag(
        self, ends: Mapping[Source, int], topics: Mapping[str, str], progress: StreamProgress, *, now_s: float
    ) -> None:
        """Set how far each partition is behind.

        Args:
            ends: The offset that the next record of each source will have, according to the broker.
            topics: Name by topic id; sources of other topics are left out.
            progress: What the store holds.
        """
        for source, end in ends.items():
            if source.topic_id not in topics:
                continue
            place = {"topic": topics[source.topic_id], "partition": str(source.partition)}
            num_behind = max(end - 1 - progress.marks.get(source, -1), 0)
            newest_s = self._newest_s.get(source, progress.newest_ingest_time_s)
            self._metrics.set("mmrec_stream_lag_records", num_behind, **place)
            if newest_s or not num_behind:  # before the first record, the age of the next one is unknown
                lag_s = max(now_s - newest_s, 0.0) if num_behind else 0.0
                self._metrics.set("mmrec_stream_lag_seconds", lag_s, **place)

    def _note_newest(self, table: pa.Table) -> None:
        keys = ["cluster_id", "topic_id", "partition"]
        newest = table.select([*keys, "ingest_time_s"]).group_by(keys).aggregate([("ingest_time_s", "max")])
        for row in newest.to_pylist():
            source = Source(cluster_id=row["cluster_id"], topic_id=row["topic_id"], partition=row["partition"])
            self._newest_s[source] = max(self._newest_s.get(source, 0.0), row["ingest_time_s_max"])
