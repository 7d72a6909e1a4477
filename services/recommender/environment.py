"""Environment of Ray Serve's fast path. The Ray head must have it when it starts, and so should this service.

    variables = ray_environment(settings)   once per stack: for `ray start --head`, and for services.recommender

HAProxy in front and direct ingress to the replica answer about five times as many requests as Serve's Python proxy
(FACTS 7). The ports behind the scenes are a free block beyond the recommender's own, so that two stacks on one machine
do not meet.
"""

import hashlib
import ipaddress
import os
import tempfile
from pathlib import Path

from mmrec.config import Settings
from mmrec.errors import ConfigurationError, MachineError
from mmrec.programs.one_thread import ONE_THREAD
from mmrec.wire.environment import PREFIX
from services.stack.ports import is_free

LOOPBACK_VARIABLE = "MMREC_RECOMMENDER_LOOPBACK_ONLY"
"""1: only callers on this machine are answered."""
HTTP_PORT_VARIABLE = "MMREC_SERVE_HTTP_PORT"
"""Port of Serve's HTTP side, which answers nothing but Serve's own health route."""
HAPROXY_FOLDER_VARIABLE = "RAY_SERVE_HAPROXY_SERVER_STATE_BASE"
_FIRST_OFFSET, _BLOCK = 20, 25


def recommender_address(settings: Settings) -> tuple[str, int]:
    """Host and port of the gRPC endpoint; ConfigurationError where the host is a name."""
    host, _, port = settings.serving.recommender.rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        where = settings.serving.recommender
        raise ConfigurationError(f"serving.recommender is {where!r}; give an address and port to listen on") from None


def ray_environment(settings: Settings) -> dict[str, str]:
    """Variables for the Ray head and for the driver; MachineError where no ports are free."""
    host, port = recommender_address(settings)
    first = _first_free_block(port + _FIRST_OFFSET)
    # Unix sockets may not be longer than 107 bytes, and Serve adds a folder of 56 to these: keep them short.
    digest = hashlib.blake2b(settings.stores.status.encode(), digest_size=4).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"mmrec-{digest}"
    return {
        # Serve's own processes import the services they serve.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_root()), os.environ.get("PYTHONPATH", "")])),
        LOOPBACK_VARIABLE: "1" if ipaddress.ip_address(host).is_loopback else "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        HAPROXY_FOLDER_VARIABLE: str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(first),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(first + 1),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(first + 2),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(first + 3),
        HTTP_PORT_VARIABLE: str(settings.serving.serve_http_port or first + 4),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first + 5),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + 14),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + 15),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first + 24),
        # One machine, nobody to drain for: the default of 30 s would make every stop that long.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # A replaced replica must find a port although the one before has just let go of its own.
        "RAY_SERVE_PORT_QUARANTINE_S": "2",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "2",
        # On a machine that does everything else too, slow is not dead: the defaults of 5 s and 10 s have been missed.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "6",
    }


def replica_environment() -> dict[str, str]:
    """Variables of replicas, which must read the same settings as who starts them.

    They run in processes of Ray's, which do not know the starter's environment.
    """
    return {**ONE_THREAD, **{name: value for name, value in os.environ.items() if name.startswith(PREFIX)}}


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def _first_free_block(wanted: int) -> int:
    first = min(wanted, 65_536 - 20 * _BLOCK)
    for start in range(first, first + 20 * _BLOCK, _BLOCK):
        if all(is_free(port) for port in range(start, start + _BLOCK)):
            return start
    raise MachineError(f"no {_BLOCK} free ports in a row from {first} on; set serving.recommender to another port")
