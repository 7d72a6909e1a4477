"""A gRPC server on an event loop of its own, as the services run theirs, and calls to it with bytes as they are."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import grpc
import uvloop

from services.unreadable import UnreadableRequests

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 60.0
OUR_FAULT: Final = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Codes that no request may end with: each says that the service is at fault."""


class Answer(NamedTuple):
    """Of one call."""

    responses: list[bytes]
    code: grpc.StatusCode
    details: str


class ServedInThread:
    """A server with what `add` adds, and a channel to it."""

    def __init__(self, add: Callable[[Any], None]) -> None:
        """Serve; `add(server)` runs in the loop."""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fuzzed-server", daemon=True)
        self._thread.start()
        self._server, port = asyncio.run_coroutine_threadsafe(self._start(add), self._loop).result(30)
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        grpc.channel_ready_future(self._channel).result(120)

    async def _start(self, add: Callable[[Any], None]) -> tuple[Any, int]:
        options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
        server = grpc.aio.server(options=options, interceptors=[UnreadableRequests()])
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    def stream(self, method: str, requests: Iterable[bytes]) -> Answer:
        """A call with many requests and answers."""
        responses: list[bytes] = []
        call = self._channel.stream_stream(method)(iter(requests), timeout=TIMEOUT_S)
        try:
            responses.extend(call)
        except grpc.RpcError as error:
            return Answer(responses, error.code(), error.details() or "")
        return Answer(responses, grpc.StatusCode.OK, "")

    def unary(self, method: str, requests: Iterable[bytes]) -> list[Answer]:
        """Calls with one request and one answer each, all under way together."""
        calls = [self._channel.unary_unary(method).future(request, timeout=TIMEOUT_S) for request in requests]
        answers = []
        for call in calls:
            try:
                answers.append(Answer([call.result()], grpc.StatusCode.OK, ""))
            except grpc.RpcError as error:
                answers.append(Answer([], error.code(), error.details() or ""))
        return answers

    def close(self) -> None:
        """Stop server and loop."""
        self._channel.close()
        asyncio.run_coroutine_threadsafe(self._server.stop(1), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
