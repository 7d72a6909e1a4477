"""What the stream reports about itself, for `mmrec status` and health checks."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mmrec.features.values import StreamProgress
from mmrec.stream.rows import StreamBatch

NUM_STEPS: Final = 50
"""The figures cover this many micro-batches, the newest ones."""
MAX_AGES: Final = 1_000
"""Events of a micro-batch, evenly drawn, for which freshness is recorded."""


class RecentSteps:
    """Durations by phase and freshness of the newest micro-batches."""

    def __init__(self) -> None:
        self._steps: deque[tuple[Mapping[str, float], int, npt.NDArray[np.float64]]] = deque(maxlen=NUM_STEPS)

    def add(self, batch: StreamBatch, *, phases_s: Mapping[str, float], num_records: int, stored_time_s: float) -> None:
        """Add a micro-batch that is in the store since `stored_time_s`."""
        ingest_N = batch.events["ingest_time_s"].to_numpy()
        drawn_N = ingest_N[:: max(len(ingest_N) // MAX_AGES, 1)]
        self._steps.append((phases_s, num_records, np.maximum(stored_time_s - drawn_N, 0.0)))

    def figures(self) -> dict[str, Any]:
        """Totals of seconds by phase and of records, and the time from ingest to store; empty before the first step."""
        steps = list(self._steps)
        phases_s: dict[str, float] = {}
        for step, _, _ in steps:
            for phase, seconds in step.items():
                phases_s[phase] = phases_s.get(phase, 0.0) + seconds
        ages_s = np.concatenate([ages for _, _, ages in steps]) if steps else np.zeros(0)
        found: dict[str, Any] = {"phases_s": phases_s, "phases_records": sum(records for _, records, _ in steps)}
        if len(ages_s):
            p50, p95, p99 = np.percentile(ages_s, (50, 95, 99)).tolist()
            found["ingest_to_stored_s"] = {"p50": p50, "p95": p95, "p99": p99}
        return found


def stream_figures(progress: StreamProgress, last_batch: Mapping[str, Any] | None, *, now_s: float) -> dict[str, Any]:
    """Counters of the scoring stream.

    Args:
        progress: What the store holds.
        last_batch: Spark's report of the newest micro-batch; None before the first.
    """
    batch = last_batch or {}
    behind = [int(source["metrics"].get("maxOffsetsBehindLatest") or 0) for source in batch.get("sources", [])]
    newest_s = progress.newest_ingest_time_s
    return {
        "counts": progress.counts.document(),
        "newest_ingest_time_s": newest_s,
        "seconds_since_newest_record": max(now_s - newest_s, 0.0) if newest_s else None,
        "records_behind": max(behind, default=0),
        "batch_records": int(batch.get("numInputRows", 0)),
        "batch_ms": {name: int(value) for name, value in batch.get("durationMs", {}).items()},
        "log_sequence": progress.log_sequence,
    }
