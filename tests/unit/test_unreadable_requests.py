"""Bytes that are no message of their method, over a real gRPC server; and details of any length."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from mmrec.connections.statuses import MAX_DETAILS, details_of
from mmrec.errors import NotFoundError
from mmrec.v1.collector_pb2 import ForgetUserRequest
from services.unreadable import UnreadableRequests

NO_MESSAGE = b"\xff\xff\xff"


async def one(request: ForgetUserRequest, _: Any) -> bytes:
    return request.user_id.encode()


async def several(request: ForgetUserRequest, _: Any) -> AsyncIterator[bytes]:
    for _ in range(2):
        yield request.user_id.encode()


async def each(requests: AsyncIterator[ForgetUserRequest], _: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.user_id.encode()


async def ask(*sent: bytes) -> dict[str, Any]:
    """Answers of each kind of method, then the code its call ended with and its details."""
    parse = ForgetUserRequest.FromString
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(one, request_deserializer=parse),
        "Several": grpc.unary_stream_rpc_method_handler(several, request_deserializer=parse),
        "Each": grpc.stream_stream_rpc_method_handler(each, request_deserializer=parse),
    }
    server = grpc.aio.server(interceptors=[UnreadableRequests()])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("s.S", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    found: dict[str, Any] = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = {
            "One": lambda: _as_stream(channel.unary_unary("/s.S/One")(sent[-1])),
            "Several": lambda: channel.unary_stream("/s.S/Several")(sent[-1]),
            "Each": lambda: channel.stream_stream("/s.S/Each")(iter(sent)),
        }
        for name, call in calls.items():
            found[name] = answers = []
            try:
                async for answer in call():
                    answers += [answer]
            except grpc.aio.AioRpcError as error:
                answers += [error.code(), error.details()]
    await server.stop(None)
    return found


async def _as_stream(call: Any) -> AsyncIterator[Any]:
    yield await call


def test_messages_are_answered_as_without_it() -> None:
    ann, bob = (ForgetUserRequest(user_id=name).SerializeToString() for name in ("ann", "bob"))
    assert asyncio.run(ask(ann, bob)) == {"One": [b"bob"], "Several": [b"bob", b"bob"], "Each": [b"ann", b"bob"]}


def test_bytes_that_are_no_message_are_the_callers_fault_and_what_came_before_is_answered() -> None:
    found = asyncio.run(ask(ForgetUserRequest(user_id="ann").SerializeToString(), NO_MESSAGE))
    assert found["Each"][0] == b"ann"
    for answers in (found["One"], found["Several"], found["Each"][1:]):
        code, details = answers
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "is no message of this method" in details


def test_details_of_a_status_fit_its_header_whatever_id_they_quote() -> None:
    assert details_of(NotFoundError("no item 'a'")) == "no item 'a'"
    longest = details_of(NotFoundError("\U0001f600" * 70_000))
    assert len(longest) == MAX_DETAILS
    assert len(longest.encode()) * 3 < 8_192  # a header is written in percent signs and hexadecimals
