"""A process's metrics, read over HTTP.

readings = read_metrics("127.0.0.1:18503")          None where no process answers
readings.total("mmrec_collector_events_total", outcome="acknowledged")
"""

import http.client
import math
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Readings:
    """The values of an endpoint at one instant."""

    values: Mapping[str, Mapping[Labels, float]]
    """Sample name -> labels -> value; histograms as Prometheus writes them (`_bucket`, `_count`, `_sum`)."""

    def total(self, name: str, **labels: str) -> float:
        """Sum over the samples of a name that have these labels; 0 where there are none."""
        return sum(value for place, value in self.values.get(name, {}).items() if place >= labels.items())

    def most(self, name: str, **labels: str) -> float | None:
        """The largest such sample; None where there are none."""
        found = [value for place, value in self.values.get(name, {}).items() if place >= labels.items()]
        return max(found, default=None)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Sums by the values of one label."""
        found: dict[str, float] = {}
        for place, value in self.values.get(name, {}).items():
            if place >= labels.items():
                key = dict(place).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """A quantile of a histogram, linear within its bucket as Prometheus' histogram_quantile; None where empty.

        A value beyond the last bound is reported as that bound.
        """
        buckets: dict[float, float] = {}
        for place, value in self.values.get(f"{name}_bucket", {}).items():
            if place >= labels.items():
                bound = float(dict(place)["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
        bounds = sorted(buckets)
        if not bounds or buckets[bounds[-1]] <= 0:
            return None
        wanted = share * buckets[bounds[-1]]
        below_s, below = 0.0, 0.0
        for bound in bounds:
            if buckets[bound] >= wanted:
                if math.isinf(bound) or buckets[bound] == below:
                    return below_s
                return below_s + (bound - below_s) * (wanted - below) / (buckets[bound] - below)
            below_s, below = bound, buckets[bound]
        return below_s

    def since(self, before: "Readings") -> "Readings":
        """What was counted and observed after `before`; if the process was restarted since, all of its counts."""
        earlier = before.values
        return Readings(
            values={
                name: {
                    place: v - e if (e := earlier.get(name, {}).get(place, 0.0)) <= v else v for place, v in s.items()
                }
                for name, s in self.values.items()
            }
        )


def parse_metrics(text: str) -> Readings:
    """Samples of an exposition in Prometheus' text format."""
    values: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[frozenset(sample.labels.items())] = float(sample.value)
    return Readings(values=values)


def read_metrics(address: str, *, timeout_s: float = 0.5, tls: ssl.SSLContext | None = None) -> Readings | None:
    """The values of the endpoint at host:port now; None where it does not answer in time.

    Args:
        tls: Of an endpoint that speaks TLS; None for plain HTTP.
    """
    if not address:
        return None
    try:
        return parse_metrics(read_text(address, timeout_s=timeout_s, tls=tls))
    except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException):
        return None


def read_text(address: str, *, timeout_s: float, tls: ssl.SSLContext | None) -> str:
    """What the endpoint at host:port says, as it stands; OSError or ValueError where it does not answer."""
    url = f"{'http' if tls is None else 'https'}://{address}/metrics"
    with urllib.request.urlopen(url, timeout=timeout_s, context=tls) as answer:  # noqa: S310
        text: str = answer.read().decode("utf-8")
        return text
