"""Whether each engine and service of a deployment answers, asked all at once and each within a bounded time."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mmrec.connections.grpc_credentials import client_channel
from mmrec.errors import MmrecError, UnreachableError
from mmrec.operating.configuration import without_secrets
from mmrec.operating.workplace import Workplace
from mmrec.v1.admin_pb2 import EngineHealth
from mmrec.wiring import open_event_log, open_release_store, open_topics, open_vector_store

PATIENCE_S: Final = 5.0
"""For one engine; one that says nothing in this time is not well."""
MAX_DETAIL: Final = 500
_RPC_S: Final = 2.0


def engine_health(at: Workplace, *, patience_s: float = PATIENCE_S) -> list[EngineHealth]:
    """Every engine's, in a fixed order."""
    looks = _looks(at)
    # Not waited for at the end: a look that hangs keeps its thread, and its engine is reported as silent.
    pool = ThreadPoolExecutor(len(looks), thread_name_prefix="health")
    began_s = time.monotonic()
    asked = {name: pool.submit(_timed, look) for name, (_, look) in looks.items()}
    pool.shutdown(wait=False)
    return [
        _judged(name, without_secrets(looks[name][0]), answer, began_s + patience_s - time.monotonic(), patience_s)
        for name, answer in asked.items()
    ]


def _judged(
    name: str, address: str, answer: "Future[tuple[str, float]]", left_s: float, patience_s: float
) -> EngineHealth:
    health = EngineHealth(name=name, address=address)
    try:
        detail, health.answer_s = answer.result(timeout=max(left_s, 0.0))
        health.is_well = True
    except FutureTimeoutError:
        detail, health.answer_s = f"no answer within {patience_s:g} s", patience_s
    except (MmrecError, OSError, ValueError) as error:
        detail = str(error)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
    health.detail = without_secrets(" ".join(detail.split()))[:MAX_DETAIL]
    return health


def _timed(look: Callable[[], str]) -> tuple[str, float]:
    began_s = time.monotonic()
    detail = look()
    return detail, time.monotonic() - began_s


def _looks(at: Workplace) -> Mapping[str, tuple[str, Callable[[], str]]]:
    """Engine -> (its address, what asks it)."""
    settings, stores = at.settings, at.settings.stores
    online = stores.redis_connection if stores.online_store == "redis" else stores.feature_repo
    return {
        "kafka": (settings.kafka.bootstrap, lambda: _topic(settings.kafka.behavior_events, at)),
        "online_store": (online, lambda: f"generation {at.features().live_generation()} is live"),
        "overlay": (stores.overlay_connection or online, lambda: _overlay(at)),
        "milvus": (stores.milvus_uri, lambda: f"{len(open_vector_store(settings).collections())} collections"),
        "event_log": (stores.event_log, lambda: f"{open_event_log(settings).sequence():,} appends"),
        "releases": (stores.releases, lambda: open_release_store(settings).current() or "no release serves"),
        "collector": (settings.serving.collector, lambda: _service(settings.serving.collector, at)),
        "recommender": (settings.serving.recommender, lambda: _service(settings.serving.recommender, at)),
    }


def _topic(topic: str, at: Workplace) -> str:
    found = open_topics(at.settings).describe(topic)
    return f"cluster {found.cluster_id}, {found.num_partitions} partitions of {topic}"


def _overlay(at: Workplace) -> str:
    at.overlay().read(["nobody"])
    return "reads"


def _service(address: str, at: Workplace) -> str:
    """What a service says of its own health."""
    with client_channel(address, at.settings.serving) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_RPC_S)
        except grpc.RpcError as error:
            failed: Any = error
            raise UnreachableError(f"{failed.code().name}: {failed.details()}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnreachableError("it says that it does not serve yet")
    return "serves"
