"""Calls of the administrative service, over a real gRPC server."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from mmrec.config import AdminSettings
from mmrec.errors import StoreError
from mmrec.operating.acts import Caller
from mmrec.operating.desk import Desk
from mmrec.operating.long_work import LongWork
from mmrec.telemetry.metrics import Metrics
from mmrec.v1 import admin_pb2
from services.admin.servicer import NUM_THREADS, AdminServicer


class SlowDesk(Desk):
    """Exports that tell nothing until they may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.work = LongWork()

    def ask(self, method: str, request: Any, caller: Caller) -> Any:
        if method == "CheckEngines":
            raise StoreError("Redis(password='hunter2') does not answer")
        return admin_pb2.ListReleasesResponse(current_release_id="r1")

    def run(self, method: str, request: Any, caller: Caller) -> Iterator[Any]:
        def export(told: Any) -> list[Any]:
            self.go_on.wait(60)
            return [admin_pb2.ExportUserResponse(document=b"{}")]

        return self.work.run(f"{method} {request.user_key}", export, progress=None, pause_s=0.05)


async def problem() -> str:
    """The details of a status whose error quotes a password."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([AdminServicer(SlowDesk(), AdminSettings(), Metrics("admin")).handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.unary_unary("/mmrec.v1.AdminService/CheckEngines")(b"", timeout=20)
    except grpc.aio.AioRpcError as error:
        return str(error.details())
    finally:
        await server.stop(None)
    return "no error"


async def answered_beside_cancelled_work(desk: SlowDesk) -> tuple[str, list[bytes]]:
    """What another caller is told while long work, whose callers have gone, is under way; and what one who stays is."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([AdminServicer(desk, AdminSettings(), Metrics("admin")).handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_stream(
            "/mmrec.v1.AdminService/ExportUser",
            request_serializer=admin_pb2.ExportUserRequest.SerializeToString,
            response_deserializer=admin_pb2.ExportUserResponse.FromString,
        )
        list_releases = channel.unary_unary(
            "/mmrec.v1.AdminService/ListReleases",
            request_serializer=admin_pb2.ListReleasesRequest.SerializeToString,
            response_deserializer=admin_pb2.ListReleasesResponse.FromString,
        )
        calls = [export(admin_pb2.ExportUserRequest(user_key=f"u{n}")) for n in range(NUM_THREADS + 4)]
        while len(desk.work._begun_s) < len(calls):
            await asyncio.sleep(0.01)
        for call in calls[1:]:
            call.cancel()
        other = await list_releases(admin_pb2.ListReleasesRequest(), timeout=20)
        desk.go_on.set()
        documents = [message.document async for message in calls[0]]
    await server.stop(None)
    return other.current_release_id, documents


def test_long_work_that_tells_nothing_holds_up_no_other_call() -> None:
    desk = SlowDesk()
    try:
        assert asyncio.run(answered_beside_cancelled_work(desk)) == ("r1", [b"{}"])
    finally:
        desk.go_on.set()


def test_a_status_tells_no_secret() -> None:
    assert asyncio.run(problem()) == "Redis(password='***') does not answer"
