"""What stock gRPC tools ask a server about itself: grpc.reflection.v1.ServerReflection and v1alpha, over one index.

    add_reflection(server, services=["mmrec.v1.CollectorService", "grpc.health.v1.Health"])

grpcio's own servicer asks protobuf's pool, which knows files, services, messages and enums, but neither methods nor
fields: `grpcurl describe mmrec.v1.CollectorService.UpsertItems` and every load tool fail there. Here each name that a
proto file declares leads to its file, as in Go's and Java's servers. Both versions of the protocol have the same
messages under two package names, so one set of classes reads and writes both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2

V1, V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
SERVICES = tuple(f"{package}.ServerReflection" for package in (V1, V1ALPHA))
Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse
Scope = descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto


class SymbolIndex:
    """Files by their own names, and by every name they declare."""

    def __init__(self, services: Iterable[str]) -> None:
        """Index the files of some services and all they import; KeyError where a service is not linked in."""
        pool = descriptor_pool.Default()
        self._files = {V1_FILE.name: V1_FILE}
        for name in (*services, SERVICES[1]):
            self._take(pool.FindServiceByName(name).file)
        self._file_of: dict[str, str] = {}
        self._extensions: dict[str, dict[int, str]] = {}
        """Extended message -> field number -> file."""
        for file in self._files.values():
            self._file_of.update(dict.fromkeys(declared_names(file), file.name))
            for extension in _extensions(file):
                numbers = self._extensions.setdefault(extension.extendee.lstrip("."), {})
                numbers[extension.number] = file.name

    def file(self, name: str) -> list[bytes]:
        """A file and all it imports, the file first; KeyError where there is none."""
        order, waiting = dict.fromkeys([name]), [name]
        while waiting:
            imported = self._files[waiting.pop()].dependency
            waiting += [other for other in imported if other not in order]
            order |= dict.fromkeys(imported)
        return [self._files[one].SerializeToString() for one in order]

    def file_of(self, symbol: str) -> list[bytes]:
        """The file that declares a name; KeyError where none does."""
        return self.file(self._file_of[symbol])

    def file_of_extension(self, message: str, number: int) -> list[bytes]:
        """The file that extends a message by a field; KeyError where none does."""
        return self.file(self._extensions[message][number])

    def extension_numbers(self, message: str) -> list[int]:
        """Fields that a message is extended by; KeyError where the message is not known."""
        _ = self._file_of[message]
        return sorted(self._extensions.get(message, ()))

    def _take(self, descriptor: Any) -> None:
        if descriptor.name not in self._files:
            self._files[descriptor.name] = proto = descriptor_pb2.FileDescriptorProto()
            descriptor.CopyToProto(proto)
            for imported in descriptor.dependencies:
                self._take(imported)


def declared_names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """Full names of services, methods, messages, fields, oneofs, enums, enum values and extensions, at any depth."""
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)
    yield from _names_in(file.message_type, file.enum_type, file.extension, prefix)


def _names_in(messages: Iterable[Any], enums: Iterable[Any], extensions: Iterable[Any], prefix: str) -> Iterator[str]:
    for enum in enums:
        yield prefix + enum.name
        yield from (prefix + value.name for value in enum.value)  # beside their enum, not in it, as in C++
    yield from (prefix + extension.name for extension in extensions)
    for message in messages:
        within = f"{prefix}{message.name}."
        yield prefix + message.name
        yield from (within + part.name for part in (*message.field, *message.oneof_decl))
        yield from _names_in(message.nested_type, message.enum_type, message.extension, within)


def _extensions(scope: Scope) -> Iterator[descriptor_pb2.FieldDescriptorProto]:
    yield from scope.extension
    for message in scope.message_type if isinstance(scope, descriptor_pb2.FileDescriptorProto) else scope.nested_type:
        yield from _extensions(message)


def _v1_file() -> descriptor_pb2.FileDescriptorProto:
    """Descriptor of grpc/reflection/v1/reflection.proto, which grpcio does not ship: v1alpha's under its other name."""
    file = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", V1
    for option in ("go_package", "java_package"):
        setattr(file.options, option, getattr(file.options, option).replace("v1alpha", "v1"))
    fields = [field for message in file.message_type for field in message.field if field.type_name]
    methods = [method for service in file.service for method in service.method]
    for part, name in (
        *((field, "type_name") for field in fields),
        *((method, name) for method in methods for name in ("input_type", "output_type")),
    ):
        setattr(part, name, getattr(part, name).replace(f".{V1ALPHA}.", f".{V1}."))
    return file


V1_FILE = _v1_file()


class Reflection:
    """Answers requests one by one; a wrong one is answered as such and the stream goes on."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted({*services, *SERVICES})
        self._index = SymbolIndex(services)

    def answer(self, request: Request) -> Response:
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
    server: Any, *, services: Iterable[str], admit: Callable[[Any], Awaitable[None]] = _admit_all
) -> None:
    """Add both versions of the reflection service to a gRPC aio server.

    Args:
        services: Full names of the other services of this server, whose stubs are imported.
        admit: Awaited with each call's context before it is answered; refuses by aborting.
    """
    reflection = Reflection(tuple(services))

    async def answers(requests: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:
        await admit(context)
        async for request in requests:
            yield reflection.answer(request)

    method = grpc.stream_stream_rpc_method_handler(
        answers, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString
    )
    for service in SERVICES:
        handlers = {"ServerReflectionInfo": method}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
