"""Serve the administrative API over gRPC until SIGTERM or Ctrl-C.

python -m services.admin --config mmrec.toml
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mmrec.clock import SystemClock
from mmrec.config import ServingSettings, Settings
from mmrec.connections.grpc_credentials import server_credentials
from mmrec.errors import MachineError, StoreError
from mmrec.operating.catalogue_view import CatalogueView
from mmrec.operating.desk import SERVICE_VIEW, Desk
from mmrec.operating.kept_configuration import record_configuration
from mmrec.operating.workplace import workplace
from mmrec.programs.shell import exit_status, shell_parser, until_signalled
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.wiring import open_topics, settings_from
from services.admin.servicer import SERVICE, AdminServicer
from services.reflection.servicer import add_reflection
from services.unreadable import UnreadableRequests

MAX_MESSAGE_BYTES = 1024 * 1024
"""Of a request: none has more than ids and words in it."""
STATUS_S = 1.0
GRACE_S = 10.0

log = get_logger("services.admin")


async def serve(settings: Settings, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; calls under way then have some seconds to end, and long work ends with the process."""
    clock, status_file = SystemClock(), StatusFile(settings.stores.status, "admin")
    metrics = Metrics("admin")
    view = CatalogueView(
        Path(settings.stores.status) / SERVICE_VIEW, open_topics(settings), settings.kafka.catalog_items
    )
    at = workplace(
        settings,
        view=view,
        told=lambda kind, outcome: metrics.add("mmrec_admin_acts_total", kind=kind, outcome=outcome),
    )
    endpoint = serve_metrics(metrics, settings.metrics)
    try:
        await asyncio.to_thread(record_configuration, at)
    except StoreError as error:
        log.warning("configuration_not_recorded", error=str(error))
    view.start()
    servicer = AdminServicer(Desk(at), settings.admin, metrics)
    server, healthy = await _listen(servicer, settings.serving)
    log.info("admin_started", address=settings.serving.admin)
    while not stop.is_set():
        status_file.write({"ready": True}, now_s=clock.now_s())
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), STATUS_S)
    await healthy.enter_graceful_shutdown()
    await server.stop(GRACE_S)
    await asyncio.to_thread(at.close)
    endpoint.close()
    status_file.write({"ready": False}, now_s=clock.now_s())
    log.info("admin_stopped")


async def _listen(
    servicer: AdminServicer, serving: ServingSettings
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """The server and its health service, started."""
    credentials = server_credentials(serving, told=lambda event, what: log.warning(event, what=what))
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options, interceptors=[UnreadableRequests()])
    server.add_generic_rpc_handlers((servicer.handlers(),))
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    add_reflection(server, services=(SERVICE.full_name, health.SERVICE_NAME), admit=servicer.admit)
    try:
        if credentials:
            server.add_secure_port(serving.admin, credentials)
        else:
            server.add_insecure_port(serving.admin)
    except RuntimeError as error:
        raise MachineError(f"cannot listen on {serving.admin}: {error}") from None
    await server.start()
    for name in ("", SERVICE.full_name):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, healthy


async def _main(settings: Settings) -> None:
    await until_signalled(lambda stop: serve(settings, stop=stop))


def main() -> int:
    """Parse the command line and serve."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()
    return exit_status(log, "admin", lambda: asyncio.run(_main(settings_from(arguments.config))))


if __name__ == "__main__":
    sys.exit(main())
