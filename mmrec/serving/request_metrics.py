"""What a replica shows to Prometheus: its answers by method and status, their durations, and what they lacked."""

from collections.abc import Iterable, Sequence

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

    def searched(self, kinds: Iterable[str]) -> None:
        """One search.

        Args:
            kinds: Of its parts: item_id, text or image.
        """
        for kind in kinds:
            self._metrics.add("mmrec_search_parts_total", kind=kind)

    def encoded(self, modality: str, seconds: float | None) -> None:
        """One vector of a query; `seconds` as it took, None where the vector was kept from before."""
        self._metrics.add(
            "mmrec_query_vectors_total", modality=modality, source="kept" if seconds is None else "encoded"
        )
        if seconds is not None:
            self._metrics.observe("mmrec_query_encoding_seconds", seconds, modality=modality)
