"""Serve the console to browsers until SIGTERM or Ctrl-C.

python -m services.console --config mmrec.toml
"""

import asyncio
import socket
import ssl
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.connections.certificates import CertificateFiles, Role
from mmrec.connections.console_settings import ConsoleSettings
from mmrec.console.entrance import check_entrance
from mmrec.console.services import Services
from mmrec.errors import ConfigurationError, MachineError
from mmrec.programs.shell import exit_status, shell_parser, until_signalled
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wiring import settings_from
from services.console.app import console_app

STATUS_S = 1.0
GRACE_S = 3

log = get_logger("services.console")


async def serve(settings: Settings, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; answers under way then have some seconds to end."""
    check_entrance(settings)
    clock, status_file = SystemClock(), StatusFile(settings.stores.status, "console")
    files = _certificate(settings.console)
    metrics = Metrics("console")
    endpoint = serve_metrics(metrics, settings.metrics)
    with Services(settings) as services:
        config = _config(console_app(services, metrics, stop=stop), files)
        server, listening = uvicorn.Server(config), _listening(settings.console.address)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        log.info("console_started", address=settings.console.address)
        while not stop.is_set() and not serving.done():
            status_file.write({"ready": server.started}, now_s=clock.now_s())
            if files is not None and files.were_renewed():
                _renew(config.ssl, files)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), STATUS_S)
        server.should_exit = True
        await serving
    endpoint.close()
    status_file.write({"ready": False}, now_s=clock.now_s())
    log.info("console_stopped")


def _listening(address: str) -> socket.socket:
    """A socket that listens there; uvicorn itself would end the process. MachineError where nobody can."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise MachineError(f"cannot listen on {address}: {error.strerror}; console.address names another") from None


def _config(app: Starlette, files: CertificateFiles | None) -> uvicorn.Config:
    secured: dict[str, Any] = {}
    if files is not None:
        secured = {"ssl_certfile": files.certificate_file, "ssl_keyfile": files.key_file}
    if files is not None and files.ca_file:
        secured |= {"ssl_ca_certs": files.ca_file, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        **secured,
    )


def _certificate(console: ConsoleSettings) -> CertificateFiles | None:
    """Checked; None where none is configured. ConfigurationError where it does not do."""
    if not console.certificate_file:
        return None
    files = CertificateFiles(
        console.certificate_file, console.key_file, ca_file=console.client_ca_file, setting="console.certificate_file"
    )
    files.check(Role.SERVER)
    return files


def _renew(context: ssl.SSLContext | None, files: CertificateFiles) -> None:
    if context is None:
        return
    try:
        files.pem()
        context.load_cert_chain(files.certificate_file, files.key_file)
    except (ConfigurationError, OSError) as error:
        log.warning("certificate_not_renewed", error=str(error))
    else:
        log.info("certificate_renewed")


async def _main(settings: Settings) -> None:
    await until_signalled(lambda stop: serve(settings, stop=stop))


def main() -> int:
    """Parse the command line and serve."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()
    return exit_status(log, "console", lambda: asyncio.run(_main(settings_from(arguments.config))))


if __name__ == "__main__":
    sys.exit(main())
