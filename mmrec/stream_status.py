"""What the stream says about itself, for `mmrec status` and health checks."""

from collections.abc import Mapping
from typing import Any

from mmrec.features.values import StreamProgress


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
        "counts": dict(progress.counts),
        "newest_ingest_time_s": newest_s,
        "seconds_since_newest_record": max(now_s - newest_s, 0.0) if newest_s else None,
        "records_behind": max(behind, default=0),
        "batch_records": int(batch.get("numInputRows", 0)),
        "batch_ms": {name: int(value) for name, value in batch.get("durationMs", {}).items()},
        "log_sequence": progress.log_sequence,
    }
