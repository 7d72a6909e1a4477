"""The administrative API of a deployment, asked from elsewhere; mmrec.operating.local has the same on the spot.

with RemoteDesk(address, channel=client_channel(address, settings.serving)) as desk:
    desk.ask("ListReleases", ListReleasesRequest())
"""

import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Protocol, Self

import grpc

from mmrec.config import Settings
from mmrec.connections.grpc_credentials import client_channel
from mmrec.errors import DeadlineError, InvalidRequestError, MmrecError, NotFoundError, PreconditionError, StoreError
from mmrec.v1 import admin_pb2_grpc

ANYWHERE: Final = ("0.0.0.0", "[::]")  # noqa: S104
"""Hosts that stand for all addresses of a machine."""
ANSWER_S: Final = 60.0
"""For one answer; long work may take as long as it needs."""
LOOK_S: Final = 1.0
"""How long a service may take to be there at all."""
_ERRORS: Final[dict[grpc.StatusCode, type[MmrecError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
}


class AskedDesk(Protocol):
    """The methods of AdminService by name; a context manager."""

    def ask(self, method: str, request: Any) -> Any:
        """The one answer of a method."""
        ...

    def run(self, method: str, request: Any) -> Iterator[Any]:
        """Messages of a method that does long work."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RemoteDesk:
    """An administrative service."""

    def __init__(self, address: str, *, channel: Any = None) -> None:
        """Nothing is sent yet.

        Args:
            address: host:port.
            channel: A grpc.Channel to it, which is closed with this; None for a plain one.
        """
        self._address = address
        self._channel = channel if channel is not None else grpc.insecure_channel(address)
        stub: Any = admin_pb2_grpc.AdminServiceStub  # generated, without types
        self._stub = stub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def is_there(self) -> bool:
        """Whether somebody listens and speaks as expected; at once where nobody listens."""
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), LOOK_S).close()
        except (OSError, ValueError):
            return False
        try:
            grpc.channel_ready_future(self._channel).result(timeout=LOOK_S)
        except grpc.FutureTimeoutError:
            return False
        return True

    def ask(self, method: str, request: Any) -> Any:
        """See AskedDesk; errors are those that the service says, StoreError for any other."""
        try:
            return getattr(self._stub, method)(request, timeout=ANSWER_S)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def run(self, method: str, request: Any) -> Iterator[Any]:
        """See AskedDesk."""
        try:
            yield from getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: Any) -> MmrecError:
        kind = _ERRORS.get(error.code(), StoreError)
        return kind(f"administration at {self._address}: {error.code().name}: {error.details()}")


def seen_from_here(address: str) -> str:
    """Where a service of this machine that listens on all addresses is found."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ANYWHERE else address


def service_of(settings: Settings) -> RemoteDesk | None:
    """A deployment's own administrative service; None where it does not answer.

    Raises:
        ConfigurationError: a certificate that the configuration names does not do.
    """
    address = seen_from_here(settings.serving.admin)
    desk = RemoteDesk(address, channel=client_channel(address, settings.serving))
    if desk.is_there():
        return desk
    desk.__exit__(None, None, None)
    return None


def result_of(messages: Iterator[Any], told: Callable[[int], None]) -> Any:
    """The result of long work; `told` is handed what was done since the message before."""
    num_told, unit, result = 0, "", None
    for message in messages:
        if message is None:
            continue  # a pause
        if message.WhichOneof("step") == "result":
            result = message.result
        else:
            num_told = num_told if message.progress.unit == unit else 0
            told(message.progress.num_done - num_told)
            num_told, unit = message.progress.num_done, message.progress.unit
    if result is None:
        raise StoreError("the service ended without a result; `mmrec acts` shows what became of it")
    return result
