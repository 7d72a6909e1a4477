"""The state of a deployment: its programs, its events by verdict and reason, and how fresh everything is.

standing = read_standing(record, settings, now_s=...)      facts

Totals come from what outlives a process: the stream's progress, the content store, the mark of the catalogue's feed.
Counts that begin at 0 when a process starts are labelled "since start".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmrec.collecting.outcome_counts import collector_figures_in
from mmrec.config import Settings
from mmrec.content.store import ContentStore
from mmrec.errors import InvalidRequestError, StoreError
from mmrec.features.record_counts import RecordCounts, counts_in
from mmrec.operating.observed import Lag, Observed
from mmrec.operating.running import ProgramState, StackRecord
from mmrec.telemetry.logs import read_status
from mmrec.wire.instants import rfc3339

NOTHING_OBSERVED = Observed()
MAX_AGE_S = 30.0
"""A process writes its counters every second or two; older ones are reported as stale."""
_BESIDE_VERDICTS = ("identified", "forgotten_users", "not_configured", "pruned")
"""Counts of the stream that are shown together with those of events."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What `mmrec status` shows."""

    as_of_s: float
    home: str
    """Folder of the stack; empty where only a configuration is known."""
    pid: int
    started_s: float
    programs: tuple[ProgramState, ...]
    events: Mapping[str, int]
    """Events by verdict, and `rejected` for all that were refused."""
    rejected: Mapping[str, int]
    """Refused records by reason."""
    catalogue_rejected: Mapping[str, int]
    """Refused records of catalog-items by reason; those that the collector refused are among its answers."""
    collector: Mapping[str, int]
    """What the collector answered since it started, by outcome and reason."""
    figures: Mapping[str, str | int | float | bool | None]
    """Freshness and sizes by name."""
    rates: Mapping[str, float]
    """Events, profiles and requests per second; empty where no metrics endpoint answers."""
    stale: tuple[str, ...]
    """Processes with counters that are older than they should be."""
    lags: tuple[Lag, ...] = ()
    """What the stream has still to read, by partition."""


def read_standing(
    settings: Settings,
    *,
    now_s: float,
    record: StackRecord | None = None,
    home: str = "",
    release_id: str = "",
    observed: Observed = NOTHING_OBSERVED,
) -> Standing:
    """Facts from the stack's record, the status files, and the metrics endpoints that answered.

    Args:
        settings: Settings with the status folder to read.
        record: The stack's record; None where no embedded stack runs.
        home: The stack's folder, for display.
        release_id: The release that the pointer names.
        observed: What the endpoints reported.
    """
    status = read_status(settings.stores.status)
    content, collector = status.get("encode_items", {}), status.get("collector", {})
    counts = counts_in(status.get("score_stream", {}).get("counts", {}))
    figures = {
        **_figures(
            status,
            counts,
            now_s=now_s,
            catalogue_items=_catalogue_items(settings, content),
            release_id=release_id,
        ),
        **observed.figures,
    }
    return Standing(
        as_of_s=now_s,
        home=home,
        pid=record.pid if record else 0,
        started_s=record.started_s if record else 0.0,
        programs=record.programs if record else (),
        events=_events(counts),
        rejected=counts.rejected,
        catalogue_rejected={str(name): int(n) for name, n in dict(content.get("rejected_total", {})).items()},
        collector=collector_figures_in(collector).answers() if collector else {},
        figures={name: value for name, value in figures.items() if value is not None},
        rates=observed.rates,
        stale=tuple(n for n, f in status.items() if now_s - float(f.get("updated_s", 0.0)) > MAX_AGE_S),
        lags=observed.lags,
    )


def _events(counts: RecordCounts) -> dict[str, int]:
    """What became of events; empty before the first record."""
    if counts == RecordCounts():
        return {}
    beside = {name: number for name in _BESIDE_VERDICTS if (number := getattr(counts, name))}
    return {**counts.named_verdicts(), **beside, "rejected": counts.num_rejected}


def _figures(
    status: Mapping[str, Mapping[str, Any]],
    counts: RecordCounts,
    *,
    now_s: float,
    catalogue_items: int | None,
    release_id: str,
) -> dict[str, Any]:
    """Freshness and sizes as the processes report them; None where no process reports one."""
    stream, views, serving = (status.get(name, {}) for name in ("score_stream", "build_neighbors", "recommender"))
    return {
        "stream_records_behind": stream.get("records_behind"),
        "stream_batch_ms": _total_ms(stream.get("batch_ms")),
        "seconds_since_newest_record": _since(stream.get("newest_ingest_time_s"), now_s),
        "log_sequence": views.get("sequence"),
        "item_views_age_s": _since(views.get("updated_s"), now_s),
        "neighbors_sequence": views.get("neighbors_sequence"),
        "served_lists": counts.served_lists or None,
        "catalogue_items": catalogue_items,
        "catalogue_items_not_published_yet": serving.get("num_items_to_come"),
        "next_publish_time": _moment(serving.get("next_publish_s")),
        "skipped_batches": counts.skipped_batches + _skipped_elsewhere(status) or None,
        "release_id": release_id or None,
        "serving_release_id": serving.get("release_id") or None,
        "serving_ready": serving.get("ready"),
        "serving_refused_release_id": serving.get("unusable_release_id") or None,
        "serving_items": serving.get("num_items"),
        "serving_items_indexed": serving.get("num_items_indexed"),
        "serving_has_neighbors": serving.get("has_neighbors"),
        "serving_updates_refused_since_start": serving.get("num_broken_updates"),
        "serving_error": serving.get("error"),
    }


def _catalogue_items(settings: Settings, content: Mapping[str, Any]) -> int | None:
    """Items of the content store; where the store is not on this machine, the number its writer reported last."""
    folder = Path(settings.stores.content)
    if folder.is_dir():
        try:
            return ContentStore(folder).num_items()
        except StoreError:
            pass  # merged while it was read, or damaged, which the writer's own error says; its number is good enough
    told = content.get("num_catalogue_items")
    return None if told is None else int(told)


def _moment(time_s: Any) -> str | None:
    try:
        return None if time_s is None else rfc3339(float(time_s))
    except InvalidRequestError:
        return None


def _skipped_elsewhere(status: Mapping[str, Mapping[str, Any]]) -> int:
    """Batches of Kafka that processes other than the stream could not decode; several may have met the same batch."""
    return sum(int(figures.get("num_skipped_batches", 0)) for figures in status.values())


def _total_ms(batch_ms: Any) -> Any:
    return batch_ms.get("triggerExecution") if isinstance(batch_ms, Mapping) else batch_ms


def _since(time_s: Any, now_s: float) -> float | None:
    return None if not time_s else round(max(now_s - float(time_s), 0.0), 1)


def standing_document(standing: Standing) -> dict[str, Any]:
    """The same facts for machines."""
    return asdict(standing)
