"""What stock gRPC tools ask a server about itself: grpc.reflection.v1.ServerReflection and v1alpha, over one index.

    add_reflection(server, services=["mmrec.v1.CollectorService", "grpc.health.v1.Health"])

grpcio's own servicer asks protobuf's pool, which knows files, services, messages and enums, but neither methods nor
fields: `grpcurl describe mmrec.v1.CollectorService.UpsertItems` and every load tool fail there. Here each name that a
proto file declares leads to its file, as in Go's and Java's servers. Both versions of the protocol have the same
messages under two package names, so one set of classes reads and writes both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from services.reflection.symbols import SERVICES, SymbolIndex

Request: Any = reflection_pb2.ServerReflectionRequest
Response: Any = reflection_pb2.ServerReflectionResponse


class Reflection:
    """Answers requests one by one; a wrong one is answered as such and the stream goes on."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted({*services, *SERVICES})
        self._index = SymbolIndex(services)

    def answer(self, request: Any) -> Any:
        """The response to one request."""
        kind = request.WhichOneof("message_request")
        response = Response(valid_host=request.host, original_request=request)
        try:
            match kind:
                case "list_services":
                    for name in self._services:
                        response.list_services_response.service.add(name=name)
                case "file_by_filename":
                    files = self._index.file(request.file_by_filename)
                    response.file_descriptor_response.file_descriptor_proto.extend(files)
                case "file_containing_symbol":
                    files = self._index.file_of(request.file_containing_symbol)
                    response.file_descriptor_response.file_descriptor_proto.extend(files)
                case "file_containing_extension":
                    wanted = request.file_containing_extension
                    files = self._index.file_of_extension(wanted.containing_type, wanted.extension_number)
                    response.file_descriptor_response.file_descriptor_proto.extend(files)
                case "all_extension_numbers_of_type":
                    numbers = self._index.extension_numbers(request.all_extension_numbers_of_type)
                    response.all_extension_numbers_response.base_type_name = request.all_extension_numbers_of_type
                    response.all_extension_numbers_response.extension_number.extend(numbers)
                case _:
                    response.error_response.error_code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                    response.error_response.error_message = "the request asks for nothing; set one of its fields"
        except KeyError as missing:
            response.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            response.error_response.error_message = f"not found: {missing.args[0]}; list_services names what is here"
        return response


async def _admit_all(_: Any) -> None:
    """Everybody may ask."""


def add_reflection(
    server: Any, *, services: Iterable[str], admit: Callable[[Any], Awaitable[object]] = _admit_all
) -> None:
    """Add both versions of the reflection service to a gRPC aio server.

    Args:
        services: Full names of the other services of this server, whose stubs are imported.
        admit: Awaited with each call's context before it is answered; refuses by aborting.
    """
    reflection = Reflection(tuple(services))

    async def answers(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await admit(context)
        async for request in requests:
            yield reflection.answer(request)

    method = grpc.stream_stream_rpc_method_handler(
        answers, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString
    )
    for service in SERVICES:
        handlers = {"ServerReflectionInfo": method}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
