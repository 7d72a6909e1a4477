"""What a replica shows to Prometheus: its answers by method and status, their durations, and what they lacked."""

from collections.abc import Sequence

from mmrec.telemetry.metrics import Metrics


class RequestMetrics:
    """Fills one registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answered(self, method: str, *, status: str, seconds: float, degraded: Sequence[str] = ()) -> None:
        """One answer.

        Args:
            method: Of the service, as in the proto.
            status: Name of the gRPC status, such as OK.
            seconds: In the replica.
            degraded: What the answer lacked, by name.
        """
        self._metrics.add("mmrec_requests_total", method=method, status=status)
        self._metrics.observe("mmrec_request_seconds", seconds, method=method)
        for reason in degraded:
            self._metrics.add("mmrec_degraded_total", reason=reason)
