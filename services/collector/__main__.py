"""Serve the collector over gRPC until SIGTERM or Ctrl-C.

python -m services.collector --config mmrec.toml
"""

import asyncio
import gc
import sys
import threading
from contextlib import suppress
from itertools import count

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mmrec.clock import SystemClock
from mmrec.collecting.collect import EventCollector
from mmrec.collecting.collect_metrics import CollectorMetrics
from mmrec.collecting.outcome_counts import CollectorFigures
from mmrec.collecting.overlay_writer import OverlayWriter
from mmrec.collecting.upsert import CatalogWriter
from mmrec.config import ServingSettings, Settings
from mmrec.connections.grpc_credentials import server_credentials
from mmrec.errors import MachineError
from mmrec.events.producer import OVERLAY_HEADER
from mmrec.programs.patience import when_it_answers
from mmrec.programs.shell import exit_status, shell_parser, until_signalled
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.telemetry.metrics_endpoint import serve_metrics
from mmrec.v1 import collector_pb2, collector_pb2_grpc
from mmrec.wiring import open_overlay_writer, open_producer, settings_from
from services.collector.servicer import CollectorServicer
from services.reflection.servicer import add_reflection
from services.unreadable import UnreadableRequests

SERVICE = collector_pb2.DESCRIPTOR.services_by_name["CollectorService"].full_name
DELIVERY_TIMEOUT_S = 10.0
"""A record the broker did not take within this time is answered by RETRY."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
STATUS_S = 1.0
TEND_S = 1.0
"""Pause between two prunings of the overlay."""
TOPIC_CHECK_S = 5
GRACE_S = 5.0

log = get_logger("services.collector")


async def serve(settings: Settings, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; what is under way then still gets its answer."""
    clock, kafka = SystemClock(), settings.kafka
    status_file = StatusFile(settings.stores.status, "collector")
    producer = await asyncio.to_thread(
        when_it_answers,
        lambda: open_producer(
            settings,
            delivery_timeout_s=DELIVERY_TIMEOUT_S,
            max_requests=1,
            header=OVERLAY_HEADER,
        ),
    )
    topics = [kafka.behavior_events, kafka.rejected, kafka.catalog_items, kafka.catalog_rejected]
    await asyncio.to_thread(when_it_answers, lambda: producer.learn_topics(topics))
    overlay = open_overlay_writer(settings)
    await asyncio.to_thread(overlay.check_topic)
    await asyncio.to_thread(overlay.tend)  # loads the store's engine now: beside the first requests it would stall them
    collector = EventCollector(
        producer, topics=settings.kafka, events=settings.events, behaviors=settings.behaviors, overlay=overlay
    )
    catalog = CatalogWriter(producer, topic=kafka.catalog_items, rejected_topic=kafka.catalog_rejected)
    watch = CollectorMetrics(metrics := Metrics("collector"))
    endpoint = serve_metrics(metrics, settings.metrics)
    server, healthy = await _listen(CollectorServicer(collector, catalog, clock, watch), settings.serving)
    log.info("collector_started", address=settings.serving.collector)
    gc.freeze()  # what is here stays; events come and go by counting alone
    gc.set_threshold(100_000, 50, 50)
    stop_tending = threading.Event()
    # A daemon: it may be loading the feature store when the process is to end.
    threading.Thread(target=_tend, args=(overlay, stop_tending), name="overlay-tend", daemon=True).start()

    def figures() -> CollectorFigures:
        return CollectorFigures(
            in_flight=collector.in_flight,
            events=collector.counts(),
            items=catalog.counts(),
            overlay=overlay.figures(),
        )

    while not stop.is_set():
        watch.figures(now := figures())
        status_file.write({"ready": True, **now.document()}, now_s=clock.now_s())
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), STATUS_S)
    await healthy.enter_graceful_shutdown()
    await server.stop(GRACE_S)
    await asyncio.to_thread(producer.close)
    await asyncio.to_thread(collector.close)
    stop_tending.set()
    overlay.close()
    endpoint.close()
    status_file.write({"ready": False, **figures().document()}, now_s=clock.now_s())
    log.info("collector_stopped", **figures().document())


async def _listen(
    servicer: CollectorServicer, serving: ServingSettings
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """The server and its health service, started."""
    address = serving.collector
    credentials = server_credentials(serving, told=lambda event, what: log.warning(event, what=what))
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options, interceptors=[UnreadableRequests()])
    collector_pb2_grpc.add_CollectorServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    add_reflection(server, services=(SERVICE, health.SERVICE_NAME))
    try:
        server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise MachineError(f"cannot listen on {address}: {error}") from None
    await server.start()
    for name in ("", SERVICE):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, healthy


def _tend(overlay: OverlayWriter, stop: threading.Event) -> None:
    for second in count():
        if second % TOPIC_CHECK_S == 0:
            overlay.check_topic()
        overlay.tend()
        if stop.wait(TEND_S):
            return


async def _main(settings: Settings) -> None:
    await until_signalled(lambda stop: serve(settings, stop=stop))


def main() -> int:
    """Parse the command line and serve."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(settings_from(arguments.config)))

    return exit_status(log, "collector", run)


if __name__ == "__main__":
    sys.exit(main())
