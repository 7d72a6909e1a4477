"""Environment of Ray Serve's fast path. The Ray head must have it when it starts, and so must this service.

    variables = ray_environment(settings)          before `ray start --head`, and for `python -m services.recommender`

HAProxy in front and direct ingress to the replica answer about five times as many requests as Serve's Python proxy
(FACTS 7). All ports are derived from the recommender's own, so that two stacks on one machine do not meet.
"""

import hashlib
import tempfile
from pathlib import Path

from mmrec.config import Settings

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""BLAS, faiss and torch in replicas use one thread: more stall each other on few cores."""


def recommender_address(settings: Settings) -> tuple[str, int]:
    """Host and port of the gRPC endpoint."""
    host, _, port = settings.serving.recommender.rpartition(":")
    return host, int(port)


def http_port(settings: Settings) -> int:
    """Port of Serve's HTTP side, which answers nothing but Serve's own health route."""
    return _port(settings, 25)


def ray_environment(settings: Settings) -> dict[str, str]:
    """Variables for the Ray head and for the driver."""
    # Unix sockets may not be longer than 107 bytes, and Serve adds a folder of 56 to these: keep them short.
    digest = hashlib.blake2b(settings.stores.status.encode(), digest_size=4).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"mmrec-{digest}"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(_port(settings, 21)),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(_port(settings, 22)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(_port(settings, 23)),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(_port(settings, 24)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(_port(settings, 30)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(_port(settings, 39)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(_port(settings, 40)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(_port(settings, 49)),
        # One machine, nobody to drain for: the default of 30 s would make every stop that long.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # A replaced replica must find a port although the one before has just let go of its own.
        "RAY_SERVE_PORT_QUARANTINE_S": "2",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "2",
        **THREADS,
    }


def _port(settings: Settings, offset: int) -> int:
    port = recommender_address(settings)[1]
    return port + offset if port + 50 <= 65_535 else port - 100 + offset
