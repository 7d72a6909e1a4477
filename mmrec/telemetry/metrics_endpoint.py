"""Metrics over HTTP: a process shows them, `mmrec status` reads them.

    endpoint = serve_metrics(Metrics("collector"), settings.metrics)
    readings = read_metrics("127.0.0.1:18503")          None where nobody answers
    readings.total("mmrec_collector_events_total", outcome="acknowledged")

A process works even where its port is taken: it tries again until the port is free, as a replaced replica must until
its predecessor has ended.
"""

import threading
from typing import Final

from prometheus_client import start_http_server

from mmrec.config import MetricsSettings
from mmrec.telemetry.logs import get_logger
from mmrec.telemetry.metrics import Metrics

log = get_logger(__name__)
RETRY_S: Final = 5.0


class MetricsEndpoint:
    """Answers GET /metrics until it is closed, in threads of its own."""

    def __init__(self, metrics: Metrics, address: str) -> None:
        """Start listening; does nothing where `address` is empty."""
        self._metrics = metrics
        self._host, _, port = address.rpartition(":")
        self._port = int(port or 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="metrics-endpoint", daemon=True)
        if address:
            self._thread.start()

    def close(self) -> None:
        """Stop and free the port."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * RETRY_S)

    def _serve(self) -> None:
        is_told = False
        while not self._stop.is_set():
            try:
                server, thread = start_http_server(
                    self._port, addr=self._host.strip("[]"), registry=self._metrics.registry
                )
            except OSError as error:
                if not is_told:
                    where = f"{self._host}:{self._port}"
                    log.warning("metrics_not_served", process=self._metrics.process, address=where, error=str(error))
                is_told = True
                self._stop.wait(RETRY_S)
                continue
            self._stop.wait()
            server.shutdown()
            server.server_close()
            thread.join(RETRY_S)


def serve_metrics(metrics: Metrics, settings: MetricsSettings) -> MetricsEndpoint:
    """Show a process's metrics at the address in `[metrics]`; nowhere where that is empty."""
    return MetricsEndpoint(metrics, settings.address(metrics.process))
