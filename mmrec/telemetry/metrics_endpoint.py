"""Metrics over HTTP: a process shows them, `mmrec status` reads them.

    endpoint = serve_metrics(Metrics("collector"), settings.metrics)
    readings = read_metrics("127.0.0.1:18503")          None where nobody answers
    readings.total("mmrec_collector_events_total", outcome="acknowledged")

A process works even where its port is taken: it tries again until the port is free, as a replaced replica must until
its predecessor has ended. With a certificate it speaks TLS alone, and uses renewed files from the next reader on.
"""

import ssl
import threading
from typing import Any, Final

from prometheus_client import start_http_server

from mmrec.config import MetricsSettings
from mmrec.connections.certificates import CertificateFiles, Role
from mmrec.errors import ConfigurationError
from mmrec.telemetry.logs import get_logger
from mmrec.telemetry.metrics import Metrics

log = get_logger(__name__)
RETRY_S: Final = 5.0
RENEWAL_S: Final = 5.0
"""Pause between two looks whether certificate and key were renewed."""


class MetricsEndpoint:
    """Answers GET /metrics until it is closed, in threads of its own."""

    def __init__(self, metrics: Metrics, address: str, *, files: CertificateFiles | None = None) -> None:
        """Start listening; does nothing where `address` is empty.

        Args:
            files: Certificate and key, and what readers' certificates are checked by; None for plain HTTP.

        Raises:
            ConfigurationError: the files do not do.
        """
        if files is not None and address:
            files.check(Role.SERVER)
        self._metrics, self._files = metrics, files
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
                    self._port, addr=self._host.strip("[]"), registry=self._metrics.registry, **self._tls()
                )
            except OSError as error:
                if not is_told:
                    where = f"{self._host}:{self._port}"
                    log.warning("metrics_not_served", process=self._metrics.process, address=where, error=str(error))
                is_told = True
                self._stop.wait(RETRY_S)
                continue
            if self._files is not None:
                listening: Any = server.socket  # an ssl.SSLSocket
                # Else one reader that says nothing would hold up all: the handshake is made in the reader's thread.
                listening.do_handshake_on_connect = False
                self._renew(listening.context, self._files)
            self._stop.wait()
            server.shutdown()
            server.server_close()
            thread.join(RETRY_S)

    def _tls(self) -> dict[str, Any]:
        if self._files is None:
            return {}
        readers: dict[str, Any] = {}
        if self._files.ca_file:
            readers = {"client_cafile": self._files.ca_file, "client_auth_required": True}
        return {"certfile": self._files.certificate_file, "keyfile": self._files.key_file, **readers}

    def _renew(self, context: ssl.SSLContext, files: CertificateFiles) -> None:
        """Until it is closed."""
        while not self._stop.wait(RENEWAL_S):
            if not files.were_renewed():
                continue
            try:
                files.pem()
                context.load_cert_chain(files.certificate_file, files.key_file)
            except (ConfigurationError, OSError) as error:
                log.warning("certificate_not_renewed", process=self._metrics.process, error=str(error))
            else:
                log.info("certificate_renewed", process=self._metrics.process)


def serve_metrics(metrics: Metrics, settings: MetricsSettings) -> MetricsEndpoint:
    """Show a process's metrics at the address in `[metrics]`; nowhere where that is empty.

    Raises:
        ConfigurationError: `[metrics]` names a certificate that does not do.
    """
    files = None
    if settings.certificate_file:
        files = CertificateFiles(
            settings.certificate_file,
            settings.key_file,
            ca_file=settings.client_ca_file,
            setting="metrics.certificate_file",
        )
    return MetricsEndpoint(metrics, settings.address(metrics.process), files=files)
