"""Proto files by their own names and by every name they declare, as a reflection service is asked for them."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2

V1, V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
SERVICES = tuple(f"{package}.ServerReflection" for package in (V1, V1ALPHA))
"""The two names of the reflection service itself."""


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


def _extensions(scope: Any) -> Iterator[Any]:
    """Of a file or a message, at any depth."""
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
