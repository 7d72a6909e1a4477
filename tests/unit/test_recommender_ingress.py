"""Who may call: over a real gRPC server that listens on all interfaces, as Ray Serve's do."""

import asyncio

import grpc

from services.recommender.ingress import caller_deadline_s, guarded, guarded_stream
from tests.own_address import own_address


async def one(_, context) -> bytes:
    return b"one" if caller_deadline_s() is not None else b"no deadline"


async def many(_, context):
    for number in range(3):
        yield f"{number} {caller_deadline_s() is not None}".encode()


async def answers(address: str, *, loopback_only: bool) -> dict[str, object]:
    """What a caller gets from both kinds of method, or the code it is refused with."""
    server = grpc.aio.server()
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(guarded(one, loopback_only=loopback_only)),
        "Many": grpc.unary_stream_rpc_method_handler(guarded_stream(many, loopback_only=loopback_only)),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("guarded.Service", handlers)])
    port = server.add_insecure_port("0.0.0.0:0")
    await server.start()
    found: dict[str, object] = {}
    async with grpc.aio.insecure_channel(f"{address}:{port}") as channel:
        try:
            found["One"] = await channel.unary_unary("/guarded.Service/One")(b"", timeout=10)
        except grpc.aio.AioRpcError as error:
            found["One"] = error.code()
        try:
            found["Many"] = [a async for a in channel.unary_stream("/guarded.Service/Many")(b"", timeout=10)]
        except grpc.aio.AioRpcError as error:
            found["Many"] = error.code()
    await server.stop(None)
    return found


def test_callers_on_this_machine_are_answered_and_their_deadline_is_known() -> None:
    found = asyncio.run(answers("127.0.0.1", loopback_only=True))
    assert found == {"One": b"one", "Many": [b"0 True", b"1 True", b"2 True"]}


def test_callers_from_elsewhere_are_refused_one_answer_and_many() -> None:
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert asyncio.run(answers(own_address(), loopback_only=True)) == {"One": denied, "Many": denied}


def test_callers_from_elsewhere_are_answered_where_the_configuration_says_so() -> None:
    assert asyncio.run(answers(own_address(), loopback_only=False))["One"] == b"one"
