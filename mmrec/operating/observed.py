"""The main metrics of a deployment, read from its processes: rates over an interval, lag, freshness, latencies.

observed = observe(settings.metrics, interval_s=1.0, sleep=time.sleep)
observed.rates, observed.figures          empty where no endpoint answers
"""

import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException

from mmrec.config import MetricsSettings
from mmrec.connections.certificates import CertificateFiles
from mmrec.errors import NotFoundError
from mmrec.operating.readings import Readings, read_metrics, read_text
from mmrec.telemetry.metric_names import PROCESSES

_NOTHING = Readings(values={})
_RATES: tuple[tuple[str, str, str, str], ...] = (
    ("score_stream", "events", "mmrec_events_total", "verdict"),
    ("score_stream", "", "mmrec_profiles_written_total", ""),
    ("collector", "collector", "mmrec_collector_events_total", "outcome"),
    ("recommender", "requests", "mmrec_requests_total", "method"),
    ("recommender", "degraded", "mmrec_degraded_total", "reason"),
    ("follow_events", "kafka", "mmrec_followed_records_total", "outcome"),
)
"""Process, word before the label's value, counter, label by which it is split."""
_QUANTILES: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("score_stream", "freshness_stream", "mmrec_event_to_servable_seconds", {"path": "stream"}),
    ("collector", "freshness_overlay", "mmrec_event_to_servable_seconds", {"path": "overlay"}),
    ("follow_events", "freshness_kafka", "mmrec_event_to_servable_seconds", {"path": "followed"}),
    ("score_stream", "batch", "mmrec_stream_batch_seconds", {"phase": "whole"}),
    ("score_stream", "store_read", "mmrec_store_seconds", {"operation": "read"}),
    ("score_stream", "store_write", "mmrec_store_seconds", {"operation": "write"}),
    ("score_stream", "log_append", "mmrec_log_append_seconds", {}),
    ("recommender", "request", "mmrec_request_seconds", {"method": "RecommendItems"}),
)
_GAUGES: tuple[tuple[str, str, str], ...] = (
    ("score_stream", "stream_lag_records", "mmrec_stream_lag_records"),
    ("score_stream", "stream_lag_s", "mmrec_stream_lag_seconds"),
    ("score_stream", "late_events_since_start", "mmrec_late_events_total"),
    ("score_stream", "resubmitted_events_since_start", "mmrec_resubmitted_total"),
    ("score_stream", "profile_items_pruned", "mmrec_profile_items_pruned_total"),
    ("score_stream", "identified", "mmrec_identified_total"),
    ("score_stream", "forgotten", "mmrec_forgotten_total"),
    ("collector", "overlay_entries", "mmrec_overlay_entries"),
    ("collector", "overlay_dropped_since_start", "mmrec_overlay_dropped_total"),
    ("tend_log", "log_files", "mmrec_log_files"),
    ("tend_log", "log_bytes", "mmrec_log_bytes"),
)
"""Process, name shown, metric; of several series the largest is shown. Counters that begin at 0 when a process starts
have `since_start` in their name."""


@dataclass(frozen=True, kw_only=True)
class Lag:
    """What the stream has still to read of a partition."""

    topic: str
    partition: int
    num_records: int
    lag_s: float
    """Age of the newest record that it has read; 0 where none is behind."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What endpoints report."""

    processes: tuple[str, ...] = ()
    """Processes that answered."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Per second, over the interval."""
    figures: Mapping[str, float | str] = field(default_factory=dict)
    """By name; names that end in _s are seconds. Quantiles are linear within buckets, since the process
    began; those of freshness `now` are of the interval alone, and absent where it saw nothing."""
    lags: tuple[Lag, ...] = ()
    """By topic and partition."""


def observe(settings: MetricsSettings, *, interval_s: float, sleep: Callable[[float], None]) -> Observed:
    """Ask every endpoint twice, `interval_s` apart; once, and without rates, where that is 0.

    Args:
        sleep: Waits for the given number of seconds; not called where no endpoint answers.
    """
    before = _ask(settings)
    after = before
    if before and interval_s > 0:
        sleep(interval_s)
        after = _ask(settings)
    rates: dict[str, float] = {}
    for process, word, name, label in _RATES:
        if interval_s > 0 and process in before and process in after:
            counts = _counted(before[process], after[process], word=word, name=name, label=label)
            rates |= {shown: round(count / interval_s, 2) for shown, count in counts.items() if count > 0}
    figures: dict[str, float | str] = {}
    for process, shown, name in _GAUGES:
        if (value := after.get(process, _NOTHING).most(name)) is not None:
            figures[shown] = value if shown.endswith("_s") else int(value)
    for process, shown, name, labels in _QUANTILES:
        for percent in (50, 95):
            value = after.get(process, _NOTHING).quantile(name, percent / 100, **labels)
            if value is not None:
                figures[f"{shown}_p{percent}_s"] = round(value, 4)
            lately = after.get(process, _NOTHING).since(before.get(process, _NOTHING))
            if shown.startswith("freshness") and (value := lately.quantile(name, percent / 100, **labels)) is not None:
                figures[f"{shown}_now_p{percent}_s"] = round(value, 4)
    for generation, is_live in after.get("build_neighbors", _NOTHING).by("generation", "mmrec_live_generation").items():
        if is_live:
            figures["generation"] = generation
    lags = _lags(after.get("score_stream", _NOTHING))
    return Observed(processes=tuple(after), rates=rates, figures=figures, lags=lags)


def _lags(stream: Readings) -> tuple[Lag, ...]:
    seconds = stream.values.get("mmrec_stream_lag_seconds", {})
    found = [
        Lag(
            topic=dict(place).get("topic", ""),
            partition=int(dict(place).get("partition", "0")),
            num_records=int(number),
            lag_s=seconds.get(place, 0.0),
        )
        for place, number in stream.values.get("mmrec_stream_lag_records", {}).items()
    ]
    return tuple(sorted(found, key=lambda lag: (lag.topic, lag.partition)))


def _ask(settings: MetricsSettings) -> dict[str, Readings]:
    tls = _tls(settings)
    with ThreadPoolExecutor(len(PROCESSES)) as pool:
        asked = {process: pool.submit(read_metrics, settings.address(process), tls=tls) for process in PROCESSES}
        return {process: found for process, answer in asked.items() if (found := answer.result()) is not None}


def exposition(settings: MetricsSettings, process: str) -> str:
    """A process's metrics in Prometheus' text format; NotFoundError where it does not show them."""
    address = settings.address(process)
    try:
        return read_text(address, timeout_s=2.0, tls=_tls(settings)) if address else "# shown nowhere\n"
    except (OSError, ValueError, HTTPException) as error:
        raise NotFoundError(f"{process} does not show its metrics at {address}: {error}") from None


def _tls(settings: MetricsSettings) -> ssl.SSLContext | None:
    """How endpoints with a certificate are read; the host may be another name for this machine, so it is not checked.

    Raises:
        ConfigurationError: a file does not do.
    """
    if not settings.certificate_file:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.check_hostname = False
    CertificateFiles(settings.certificate_file, settings.key_file, setting="metrics.certificate_file").pem()
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def _counted(before: Readings, after: Readings, *, word: str, name: str, label: str) -> dict[str, float]:
    if not label:
        return {name.removeprefix("mmrec_").removesuffix("_total"): after.total(name) - before.total(name)}
    earlier = before.by(label, name)
    return {f"{word} {value}".strip(): n - earlier.get(value, 0.0) for value, n in after.by(label, name).items()}
