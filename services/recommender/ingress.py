"""What Serve's gRPC ingress leaves out: the caller's deadline, and who may call.

Serve adds our services to its gRPC servers (one per replica, one in a proxy that stands in while there is no replica)
by calling the functions below. They wrap each handler (services/recommender/ray_insides.py says why); HAProxy, which
listens where the configuration says, reaches the servers from this machine.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from mmrec.v1 import recommender_pb2, recommender_pb2_grpc
from mmrec.wire.declared import given
from services.recommender.environment import LOOPBACK_VARIABLE
from services.recommender.ray_insides import add_wrapped, pass_through
from services.reflection.servicer import add_reflection
from services.reflection.symbols import SERVICES

_LOOPBACK = ("ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D", "ipv6:[::ffff:127.", "ipv6:%5B::ffff:127.", "unix:")
_deadline_s: ContextVar[float | None] = ContextVar("deadline_s", default=None)
Handler = Callable[[Any, Any], Awaitable[bytes]]
StreamHandler = Callable[[Any, Any], AsyncIterator[bytes]]


def caller_deadline_s() -> float | None:
    """Instant on time.monotonic() at which the caller stops waiting; None where it waits for ever."""
    return _deadline_s.get()


def add_recommender(servicer: Any, server: Any) -> None:
    """Add RecommenderService to one of Serve's gRPC servers."""
    _add(recommender_pb2_grpc.add_RecommenderServiceServicer_to_server, servicer, server)


def add_health(servicer: Any, server: Any) -> None:
    """Add grpc.health.v1.Health to one of Serve's gRPC servers."""
    _add(health_pb2_grpc.add_HealthServicer_to_server, servicer, server)


def add_server_reflection(_: Any, server: Any) -> None:
    """Add both versions of grpc.reflection; they are answered where they arrive, as they need no replica."""
    for name in SERVICES:
        pass_through(server, name)
    recommender = recommender_pb2.DESCRIPTOR.services_by_name["RecommenderService"].full_name
    admit = partial(_admit, loopback_only=_is_loopback_only())
    add_reflection(server, services=(recommender, health.SERVICE_NAME), admit=admit)


def _is_loopback_only() -> bool:
    return bool(given(bool, LOOPBACK_VARIABLE, os.environ.get(LOOPBACK_VARIABLE, "0")))


def _add(add: Callable[[Any, Any], None], servicer: Any, server: Any) -> None:
    loopback_only = _is_loopback_only()
    add_wrapped(
        add,
        servicer,
        server,
        one=partial(guarded, loopback_only=loopback_only),
        many=partial(guarded_stream, loopback_only=loopback_only),
    )


def guarded(inner: Handler, *, loopback_only: bool) -> Handler:
    """A handler with one answer that refuses callers from elsewhere and knows the caller's deadline."""

    async def handler(request: Any, context: Any) -> bytes:
        await _admit(context, loopback_only=loopback_only)
        return await inner(request, context)

    return handler


def guarded_stream(inner: StreamHandler, *, loopback_only: bool) -> StreamHandler:
    """The same for a handler with many answers."""

    async def handler(request: Any, context: Any) -> AsyncIterator[bytes]:
        await _admit(context, loopback_only=loopback_only)
        async for answer in inner(request, context):
            yield answer

    return handler


async def _admit(context: Any, *, loopback_only: bool) -> None:
    if loopback_only and not context.peer().startswith(_LOOPBACK):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this recommender answers callers on its machine only")
    left_s = context.time_remaining()
    # Serve runs our methods in this very task (RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD=0), so they see it.
    _deadline_s.set(None if left_s is None else time.monotonic() + left_s)
