"""The programs of the embedded stack: what runs, after what, how it is seen to be well, and how nice it is."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmrec.config import Settings
from mmrec.home import StackHome
from mmrec.programs.one_thread import ONE_THREAD
from services.recommender.environment import ray_environment
from services.stack.configuration import StackPorts
from services.stack.java import java_environment
from services.stack.ports import HOST
from services.stack.program import Program

_STORE_BYTES = 300_000_000
"""Shared memory of Ray's object store; training data of this size class are far smaller."""


def stack_environment(home: StackHome, ports: StackPorts, *, java_home: Path, spark_jars: list[Path]) -> dict[str, str]:
    """Variables that every program of the stack, and every job run beside it, is given."""
    root = str(Path(__file__).resolve().parents[2])
    java = java_environment(java_home)
    return {
        **java,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), java["PATH"]]),
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "MMREC_CONFIG": str(home.config),
        "MMREC_HOME": str(home.folder),
        "MMREC_SPARK_JARS": ",".join(str(jar) for jar in spark_jars),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": HOST,
        "RAY_ADDRESS": f"{HOST}:{ports.ray}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.folder / "ray_token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a small /dev/shm is no reason not to start
        "TOKENIZERS_PARALLELISM": "false",
        # One thread a program: more stall each other on few cores. Training is told otherwise where it is started.
        **ONE_THREAD,
    }


def ray_folder(stack_id: str) -> Path:
    """Folder of Ray's sockets and logs; socket paths may not be longer than 107 bytes, so it is a short one."""
    return Path(tempfile.gettempdir()) / f"mmrec-ray-{stack_id[:8]}"


def temporary_folders(planned: Sequence[Program], stack_id: str) -> list[Path]:
    """Folders outside the home that programs write into and nobody needs later."""
    proxy = {program.environment.get("RAY_SERVE_HAPROXY_SERVER_STATE_BASE", "") for program in planned}
    return [ray_folder(stack_id), *(Path(folder) for folder in proxy if folder)]


def programs(settings: Settings, home: StackHome, ports: StackPorts, *, stack_id: str) -> list[Program]:
    """All programs, in an order a person would list them."""
    # Ray's workers are nice by default, which is wrong for those that answer requests.
    serve = {**ray_environment(settings), "RAY_worker_niceness": "0"}
    milvus = ("milvus-lite", "server", "--data-dir", str(home.folder / "milvus"), "--host", HOST)
    broker = _module("services.stack.kafka_broker", "--folder", str(home.folder / "kafka"), "--port", str(ports.kafka))
    ready = ("topics", "features")
    refit = Program(
        name="refit",
        command=_module("jobs.refit", "--follow"),
        after=(*ready, "milvus"),
        has_status=True,
        niceness=19,  # what it brings is minutes old in any case
    )
    return [
        Program(name="kafka", command=broker, port=ports.kafka),
        Program(name="topics", command=_module("services.stack.topics"), after=("kafka",), one_shot=True),
        Program(name="features", command=_module("feature_repo.apply"), one_shot=True),
        Program(name="milvus", command=(*milvus, "--port", str(ports.milvus)), port=ports.milvus),
        Program(name="ray", command=_ray(ports, stack_id), port=ports.ray + 3, environment=serve),
        Program(name="score_stream", command=_module("jobs.score_stream"), after=ready, has_status=True, niceness=10),
        Program(name="follow_events", command=_module("jobs.follow_events"), after=ready, has_status=True, niceness=5),
        Program(
            name="build_neighbors",
            command=_module("jobs.build_neighbors", "--follow"),
            after=ready,
            has_status=True,
            niceness=15,
        ),
        Program(
            name="tend_log",
            command=_module("jobs.tend_log", "--follow", "60"),
            after=ready,
            has_status=True,
            niceness=19,
        ),
        Program(
            name="encode_items",
            command=_module("jobs.encode_items", "--follow"),
            after=ready,
            has_status=True,
            niceness=5,  # new and hidden items are awaited within a second, while the stream uses all that is left
        ),
        *_doors(ports),
        Program(
            name="recommender",
            command=_module("services.recommender"),
            after=(*ready, "ray", "milvus"),
            restart_with=("ray",),
            port=ports.recommender,
            environment=serve,
        ),
        *([refit] if settings.training.get("refit", {}).get("every_minutes") else []),
    ]


def _doors(ports: StackPorts) -> list[Program]:
    """Those through which events come in, and operators."""
    return [
        Program(
            name="collector",
            command=_module("services.collector"),
            after=("topics",),
            port=ports.collector,
            has_status=True,
        ),
        Program(
            name="admin",
            command=_module("services.admin"),
            after=("topics",),
            port=ports.admin,
            has_status=True,
            niceness=5,
        ),
        Program(
            name="console",
            command=_module("services.console"),
            port=ports.console,
            has_status=True,
            niceness=10,  # people look at it; what they look at comes first
        ),
    ]


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _ray(ports: StackPorts, stack_id: str) -> tuple[str, ...]:
    places = {
        "--port": ports.ray,
        "--ray-client-server-port": ports.ray + 1,
        "--dashboard-agent-listen-port": ports.ray + 2,
        "--node-manager-port": ports.ray + 3,
    }
    head = ("ray", "start", "--head", "--block", "--node-ip-address", HOST, "--include-dashboard=false")
    # Workers' ports: a range of its own, so that none of them meets a port of ours.
    workers = ("--min-worker-port", "21000", "--max-worker-port", "21999", "--disable-usage-stats")
    store = ("--object-store-memory", str(_STORE_BYTES), "--temp-dir", str(ray_folder(stack_id)))
    return (*head, *workers, *store, *(part for key, port in places.items() for part in (key, str(port))))
