"""Damage to protobuf messages: fields set to what nobody expects, and bytes that are no message."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz import awkward
from tests.fuzz.byte_damage import damaged

_INTEGERS: Final = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 77, 253_402_300_800, -62_135_596_801)
_FLOATS: Final = (0.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, 1e20, 0.1)
_SMALL: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
MAX_DEPTH: Final = 3


def damaged_message(message: Message, rng: Random) -> tuple[bytes, str]:
    """Serialized message, broken: three times in four by what a client's code could do, else as bytes."""
    if rng.random() < 0.25:
        return damaged(message.SerializeToString(), rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _set_any(message, rng, depth=0)
    return message.SerializeToString(), "field"


def _set_any(message: Any, rng: Random, *, depth: int) -> None:
    field = rng.choice(message.DESCRIPTOR.fields)
    if _is_map(field):
        for _ in range(rng.choice((1, 1, 3))):
            getattr(message, field.name)[awkward.text(rng)] = _scalar(field.message_type.fields_by_name["value"], rng)
        return
    if field.is_repeated:
        _add(getattr(message, field.name), field, rng, depth)
        return
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        inner = getattr(message, field.name)
        inner.SetInParent()
        if depth < MAX_DEPTH:
            _set_any(inner, rng, depth=depth + 1)
        return
    if rng.random() < 0.15:
        message.ClearField(field.name)
        return
    setattr(message, field.name, _scalar(field, rng))


def _add(values: Any, field: FieldDescriptor, rng: Random, depth: int) -> None:
    if rng.random() < 0.1:
        del values[:]
        return
    for _ in range(rng.choice((1, 1, 2, 120))):
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            added = values.add()
            if depth < MAX_DEPTH:
                _set_any(added, rng, depth=depth + 1)
        else:
            values.append(_scalar(field, rng))


def _scalar(field: FieldDescriptor, rng: Random) -> Any:
    kinds: dict[int, Callable[[], Any]] = {
        FieldDescriptor.CPPTYPE_STRING: lambda: _text(field, rng),
        FieldDescriptor.CPPTYPE_BOOL: lambda: rng.random() < 0.5,
        FieldDescriptor.CPPTYPE_DOUBLE: lambda: rng.choice(_FLOATS),
        FieldDescriptor.CPPTYPE_FLOAT: lambda: rng.choice(_FLOATS),
    }
    if made := kinds.get(field.cpp_type):
        return made()
    lowest, highest = _SMALL.get(field.cpp_type, (-(2**63), 2**63 - 1))
    return min(max(rng.choice(_INTEGERS), lowest), highest)


def _text(field: FieldDescriptor, rng: Random) -> str | bytes:
    return rng.randbytes(rng.randrange(40)) if field.type == FieldDescriptor.TYPE_BYTES else awkward.text(rng)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
