"""The recommender on Ray Serve.

python -m services.recommender --config mmrec.toml                       on the Ray that RAY_ADDRESS names
python -m services.recommender --config mmrec.toml --local               with a Ray of its own
python -m services.recommender --config mmrec.toml --print-environment   what `ray start --head` must be given
"""

import argparse
import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from mmrec.telemetry import configure_logging, get_logger
from mmrec.wiring import CONFIG_VARIABLE, settings_from
from services.recommender.environment import http_port, ray_environment, recommender_address

log = get_logger(__name__)
SERVICERS = [
    "mmrec.v1.recommender_pb2_grpc.add_RecommenderServiceServicer_to_server",
    "grpc_health.v1.health_pb2_grpc.add_HealthServicer_to_server",
]
STOP_S = 15.0


def main() -> None:
    """Deploy, wait for SIGTERM or SIGINT, take down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help=f"settings file; {CONFIG_VARIABLE} where not given")
    parser.add_argument("--local", action="store_true", help="start a Ray of this process's own")
    parser.add_argument("--print-environment", action="store_true", help="print the variables Ray needs, as JSON")
    arguments = parser.parse_args()
    settings = settings_from(arguments.config)
    config = str(Path(arguments.config or os.environ[CONFIG_VARIABLE]).resolve())
    if arguments.print_environment:
        print(json.dumps(ray_environment(settings), indent=1))  # noqa: T201
        return
    configure_logging()
    # Ray reads these when it is imported.
    os.environ.update(ray_environment(settings))
    stop = threading.Event()

    def ask_to_stop(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    _serve(config, local=arguments.local)
    stop.wait()
    _take_down()


def _serve(config: str, *, local: bool) -> None:
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions, gRPCOptions

    from services.recommender.app import Recommender

    settings = settings_from(config)
    host, port = recommender_address(settings)
    if local:
        ray.init(_node_ip_address="127.0.0.1", include_dashboard=False, num_cpus=1, namespace="mmrec")
    else:
        ray.init(address="auto", namespace="mmrec", log_to_driver=False)
    serve.start(
        http_options=HTTPOptions(host=host, port=http_port(settings)),
        grpc_options=gRPCOptions(port=port, grpc_servicer_functions=SERVICERS, enable_reflection=True),
    )
    application: Any = Recommender
    serve.run(application.bind(config), name="recommender", route_prefix="/recommender")
    log.info("recommender_serving", address=settings.serving.recommender)


def _take_down() -> None:
    """Serve's and Ray's own shutdown can take minutes; this process waits no longer than STOP_S."""

    def shut_down() -> None:
        import ray
        from ray import serve

        serve.shutdown()
        ray.shutdown()

    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    thread.join(STOP_S)
    log.info("recommender_stopped", clean=not thread.is_alive())
    os._exit(0)


if __name__ == "__main__":
    main()
