"""Metrics for Prometheus: the fixed list of names, and one registry per process.

    metrics = Metrics("collector")
    metrics.add("mmrec_collector_events_total", 3, outcome="acknowledged", reason="")
    metrics.observe("mmrec_collector_ack_seconds", 0.004)
    text = metrics.exposition()                     Prometheus' text format

METRICS is the whole list; a name or label that is not in it is an error, not a new series. Values are kept in plain
tables, so that 100,000 ages of a micro-batch are one call, and totals kept in a store can be shown as they are.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from mmrec.telemetry.metric_names import METRICS, MetricKind, MetricName

MAX_SERIES: Final = 200
"""Series per metric; further label values are counted under OTHER."""
OTHER: Final = "other"
_MAX_LABEL: Final = 64
Labels = tuple[str, ...]


@dataclass(slots=True)
class _Histogram:
    counts: list[int]
    """Observations by bucket, the infinite one last; not cumulated."""
    total: float = 0.0


class Metrics:
    """One process's registry. Safe to use from several threads; the shell makes it and passes it on."""

    def __init__(self, process: str) -> None:
        """Start without values.

        Args:
            process: The process that shows these metrics; decides which of METRICS it may write.
        """
        self.process = process
        self._names = {metric.name: metric for metric in METRICS if process in metric.processes}
        self._values: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)  # type: ignore[arg-type]

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter. KeyError where this process has no such counter, or other labels were given."""
        metric = self._metric(name, MetricKind.COUNTER)
        with self._lock:
            series = self._values.setdefault(name, {})
            place = _place(metric, labels, series)
            series[place] = series.get(place, 0.0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter whose total is kept elsewhere (it may start high, and never falls)."""
        metric = self._metric(name, MetricKind.GAUGE, MetricKind.COUNTER)
        with self._lock:
            series = self._values.setdefault(name, {})
            place = _place(metric, labels, series)
            counted = series.get(place, 0.0) if metric.kind is MetricKind.COUNTER else value
            series[place] = max(value, counted)

    def observe(self, name: str, value: float, *, times: int = 1, **labels: str) -> None:
        """One observation of a histogram, or `times` equal ones."""
        metric = self._metric(name, MetricKind.HISTOGRAM)
        with self._lock:
            histogram = self._histogram(metric, labels)
            # Prometheus' buckets hold what is at most their bound.
            histogram.counts[bisect_left(metric.buckets, value)] += times
            histogram.total += value * times

    def observe_many(self, name: str, values_N: npt.NDArray[np.float64], **labels: str) -> None:
        """Many observations at once; values that are not numbers are left out."""
        metric = self._metric(name, MetricKind.HISTOGRAM)
        values_N = values_N[np.isfinite(values_N)]
        places_N = np.searchsorted(metric.buckets, values_N, side="left")
        found = np.bincount(places_N, minlength=len(metric.buckets) + 1).tolist()
        with self._lock:
            histogram = self._histogram(metric, labels)
            histogram.counts = [before + more for before, more in zip(histogram.counts, found, strict=True)]
            histogram.total += float(values_N.sum())

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that an endpoint serves."""
        return self._registry

    def exposition(self) -> bytes:
        """All values in Prometheus' text format."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus' registry: the metric families that have values."""
        with self._lock:
            values = {name: dict(series) for name, series in self._values.items()}
            histograms = {
                name: {place: (list(h.counts), h.total) for place, h in series.items()}
                for name, series in self._histograms.items()
            }
        for name, series in sorted(values.items()):
            metric = self._names[name]
            family = _family(metric)
            for place, value in sorted(series.items()):
                family.add_metric(place, value)
            yield family
        for name, found in sorted(histograms.items()):
            metric = self._names[name]
            buckets = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
            for place, (counts, total) in sorted(found.items()):
                cumulated = list(accumulate(counts))
                buckets.add_metric(place, list(zip(bounds, cumulated, strict=True)), total)
            yield buckets

    def _histogram(self, metric: MetricName, labels: Mapping[str, str]) -> _Histogram:
        series = self._histograms.setdefault(metric.name, {})
        place = _place(metric, labels, series)
        return series.setdefault(place, _Histogram([0] * (len(metric.buckets) + 1)))

    def _metric(self, name: str, *kinds: MetricKind) -> MetricName:
        metric = self._names.get(name)
        if metric is None or metric.kind not in kinds:
            raise KeyError(
                f"{self.process} has no {'/'.join(k.value for k in kinds)} {name}; "
                "mmrec.telemetry.metric_names lists all"
            )
        return metric


def _family(metric: MetricName) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)


def _place(metric: MetricName, labels: Mapping[str, str], series: Mapping[Labels, object]) -> Labels:
    """The series of these label values; beyond MAX_SERIES, the one for all others."""
    if set(labels) != set(metric.labels):
        raise KeyError(f"{metric.name} has labels {metric.labels}, not {tuple(labels)}")
    place = tuple(labels[name][:_MAX_LABEL] for name in metric.labels)
    if place in series or len(series) < MAX_SERIES:
        return place
    return tuple(OTHER for _ in metric.labels)
