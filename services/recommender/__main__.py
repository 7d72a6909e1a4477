"""The recommender on Ray Serve.

python -m services.recommender --config mmrec.toml                       on the Ray that RAY_ADDRESS names, else its own
python -m services.recommender --config mmrec.toml --print-environment   what `ray start --head` must be given
"""

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wire.declared import Port, given
from mmrec.wiring import CONFIG_VARIABLE, settings_from
from services.recommender.environment import (
    HAPROXY_FOLDER_VARIABLE,
    HTTP_PORT_VARIABLE,
    ray_environment,
    recommender_address,
)
from services.recommender.ray_insides import start_own_ray

log = get_logger("services.recommender")
SERVICES = [f"services.recommender.ingress.add_{name}" for name in ("recommender", "health", "server_reflection")]
STOP_S = 10.0


def main() -> int:
    """Deploy, wait for SIGTERM or SIGINT, take down."""
    parser = shell_parser(__doc__)
    parser.add_argument("--print-environment", action="store_true", help="print the variables Ray needs, as JSON")
    arguments = parser.parse_args()
    configure_logging()
    return exit_status(log, "recommender", lambda: _do(arguments))


def _do(asked: argparse.Namespace) -> None:
    variables = ray_environment(settings_from(asked.config))
    if asked.print_environment:
        print(json.dumps(variables, indent=1))  # noqa: T201
        return
    _run(str(Path(asked.config or os.environ[CONFIG_VARIABLE]).resolve()), variables)


def _run(config: str, variables: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    # Ray reads these when it is imported; what the stack gave the Ray head goes first.
    os.environ.update({name: value for name, value in variables.items() if name not in os.environ})
    haproxy = Path(os.environ[HAPROXY_FOLDER_VARIABLE])
    # HAProxy's control socket is open to whoever reaches it: nobody else may.
    haproxy.mkdir(mode=0o700, parents=True, exist_ok=True)
    _serve(config)
    stop = threading.Event()

    def ask_to_stop(_: int, __: FrameType | None) -> None:
        stop.set()

    # Not earlier: Ray puts a handler of its own in place when it connects.
    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    stop.wait()
    _take_down()
    shutil.rmtree(haproxy, ignore_errors=True)
    os._exit(0)  # Ray's threads may still hang


def _serve(config: str) -> None:
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions, gRPCOptions

    from services.recommender.app import application

    settings = settings_from(config)
    host, port = recommender_address(settings)
    if os.environ.get("RAY_ADDRESS"):
        ray.init(namespace="mmrec")
    else:
        start_own_ray(include_dashboard=False, num_cpus=1, namespace="mmrec")
    http_options = HTTPOptions(host=host, port=given(Port, HTTP_PORT_VARIABLE, os.environ[HTTP_PORT_VARIABLE]))
    # Serve's own reflection finds no methods, knows v1alpha only, and answers whoever reaches it: ours is a service.
    grpc_options = gRPCOptions(port=port, grpc_servicer_functions=SERVICES, enable_reflection=False)
    try:
        serve.start(http_options=http_options, grpc_options=grpc_options)
    except TimeoutError:  # Serve waits 60 s for its proxies; they go on starting, and the second call finds them
        log.warning("serve_starts_slowly")
        serve.start(http_options=http_options, grpc_options=grpc_options)
    built = application(config, num_replicas=settings.serving.num_replicas)
    serve.run(built, name="recommender", route_prefix="/recommender")
    log.info("recommender_serving", address=settings.serving.recommender, num_replicas=settings.serving.num_replicas)


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


if __name__ == "__main__":
    sys.exit(main())
