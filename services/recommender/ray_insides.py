"""What is used of Ray 2.60.0 beyond its documented calls, and why.

- add_wrapped. Serve hands a copy of the gRPC context on that has lost the caller's deadline, and its servers listen on
  all interfaces whatever they are told. Handlers are wrapped where Serve makes them; its servers take no interceptors.
- pass_through. Our reflection is answered where it arrives; Serve would send every service on to a replica.
- start_own_ray. HAProxy reaches replicas at the node's address, and where callers must be on this machine, so must it:
  `ray start --node-ip-address` says so, ray.init() only by a private argument.
"""

from collections.abc import Callable
from typing import Any, Final

from mmrec.programs.pinned import PinnedLibrary

RAY: Final = PinnedLibrary(name="ray", version="2.60.0", module=__name__)
Handler = Callable[[Any, Any], Any]


def add_wrapped(
    add: Callable[[Any, Any], None],
    servicer: Any,
    server: Any,
    *,
    one: Callable[[Handler], Handler],
    many: Callable[[Handler], Handler],
) -> None:
    """Add a service to one of Serve's gRPC servers, each of its handlers wrapped.

    Args:
        add: The generated function that adds the service.
        one: Wraps a handler with one answer.
        many: Wraps a handler with many answers.

    Raises:
        LibraryVersionError: another version is installed.
    """
    RAY.check()
    serve_handler: Callable[..., Any] = server.service_handler_factory

    def handler(service_method: str, streaming_type: Any) -> Any:
        inner = serve_handler(service_method=service_method, streaming_type=streaming_type)
        # Serve asks for all kinds of handler for every method, and uses the one that the method is.
        return many(inner) if streaming_type.name.endswith("_STREAM") else one(inner)

    server.service_handler_factory = handler
    try:
        add(servicer, server)
    finally:
        server.service_handler_factory = serve_handler


def pass_through(server: Any, service: str) -> None:
    """Let a service be answered by one of Serve's gRPC servers itself.

    Args:
        service: Its full name.
    """
    RAY.check()
    server.add_passthrough_service(service)


def start_own_ray(**options: Any) -> None:
    """ray.init() of a cluster of one's own whose node has this machine's loopback address."""
    import ray

    RAY.check()
    ray.init(_node_ip_address="127.0.0.1", **options)
