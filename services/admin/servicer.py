"""mmrec.v1.AdminService over mmrec's desk: who calls, one method of the desk, and errors as statuses.

Methods block on engines, so each runs in a thread; there are few callers, and none of them waits for another.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message_factory import GetMessageClass

from mmrec.config import AdminSettings
from mmrec.connections.statuses import MAX_DETAILS, code_of, details_of
from mmrec.errors import MmrecError
from mmrec.operating.acts import Caller
from mmrec.operating.callers import caller_of, certificate_names
from mmrec.operating.configuration import without_secrets
from mmrec.operating.desk import Desk
from mmrec.telemetry.logs import get_logger
from mmrec.telemetry.metrics import Metrics
from mmrec.v1 import admin_pb2

SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
NUM_THREADS: Final = 16
"""Calls that are answered at the same time; long work has threads of its own beside them."""
_END: Final = object()

log = get_logger("services.admin")


@dataclass
class _Call:
    """How a call ends; CANCELLED until it is known."""

    status: str = "CANCELLED"


class AdminServicer:
    """Answers calls; every one is counted, and logged with who made it."""

    def __init__(self, desk: Desk, settings: AdminSettings, metrics: Metrics) -> None:
        self._desk, self._settings, self._metrics = desk, settings, metrics
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="admin")

    def handlers(self) -> Any:
        """GRPC's handlers of all methods of the service."""
        found = {}
        for method in SERVICE.methods:
            make, answer = grpc.unary_unary_rpc_method_handler, self._one(method.name)
            if method.server_streaming:
                make, answer = grpc.unary_stream_rpc_method_handler, self._many(method.name)
            request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
            found[method.name] = make(
                answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
            )
        return grpc.method_handlers_generic_handler(SERVICE.full_name, found)

    async def admit(self, context: Any) -> Caller:
        """Who calls; ends the call of somebody who may not."""
        properties = context.auth_context()
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        caller = caller_of(properties, metadata, self._settings, peer=context.peer())
        if caller is None:
            names = ", ".join(certificate_names(properties))[:200] or "nobody that a certificate names"
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{names} may not call; admin.callers names who may, and those of admin.edges send x-client",
            )
        assert caller is not None, "abort() raises"
        return caller

    def _one(self, name: str) -> Callable[..., Any]:
        async def answer(request: Any, context: Any) -> Any:
            caller = await self.admit(context)
            with self._counted(name, caller) as call:
                try:
                    found = await self._in_thread(self._desk.ask, name, request, caller)
                except Exception as error:
                    await self._refuse(error, call, context)
                call.status = "OK"
                return found

        return answer

    def _many(self, name: str) -> Callable[..., Any]:
        async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
            caller = await self.admit(context)
            messages: Iterator[Any] = self._desk.run(name, request, caller)
            with self._counted(name, caller) as call:
                try:
                    while (message := await self._in_thread(next, messages, _END)) is not _END:
                        if message is not None:  # a pause: the thread was free for another call
                            yield message
                except Exception as error:
                    await self._refuse(error, call, context)
                call.status = "OK"

        return answer

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _refuse(self, error: Exception, call: _Call, context: Any) -> None:
        if not isinstance(error, MmrecError):
            log.error("call_failed", kind=type(error).__name__, error=without_secrets(str(error)))
        call.status = code_of(error).name
        await context.abort(code_of(error), without_secrets(details_of(error))[:MAX_DETAILS])

    @contextmanager
    def _counted(self, name: str, caller: Caller) -> Iterator[_Call]:
        began_s, call = time.monotonic(), _Call()
        try:
            yield call
        finally:
            seconds = time.monotonic() - began_s
            self._metrics.add("mmrec_admin_calls_total", method=name, status=call.status)
            self._metrics.observe("mmrec_admin_call_seconds", seconds, method=name)
            log.info("call_answered", method=name, who=caller.who, status=call.status, seconds=round(seconds, 3))
