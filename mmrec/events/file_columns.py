"""Columns of files as fields of events, by the type that the file declares.

    read = column_reader("price", pa.decimal128(10, 2), FileReading())     or ColumnTypeError
    read(array)     a value for each row: None where absent, a Fault where it makes the row invalid

A type with a clear meaning is converted. Any other type refuses the file, since guessing would change every row in the
same way. A single value that cannot be expressed in an event becomes a Fault: it is written in a form that the codec is
sure to refuse, so that this row is refused in the usual place and the rows after it are not affected.
"""

import base64
import math
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.file_times import ColumnTypeError, Fault, FileReading, plain_type, time_reader
from mmrec.events.rules import DOUBLE_FIELDS
from mmrec.wire.documents import DocumentError, load_json

__all__ = ["ColumnTypeError", "Fault", "FileReading", "column_reader"]
Read = Callable[[pa.Array], list[Any]]
_NUMBERS: Final = (*DOUBLE_FIELDS, "position")


def column_reader(field: str, kind: pa.DataType, reading: FileReading) -> Read:
    """How a column of this type becomes values of `field`, which JSON can hold.

    Args:
        field: Of an event, or "user_key" or "event_time_s" of the event log.

    Raises:
        ColumnTypeError: the type does not say what an event needs; its text says what would.
    """
    plain = plain_type(kind)
    if pa.types.is_null(plain):
        return lambda array: [None] * len(array)
    if field != "imported" and _is_text(plain) and not _is_uuid(kind):
        texts = _context_texts if field == "context" else _texts
        return lambda array: texts(_plain(array))
    if field == "event_time":
        read: Read = time_reader(plain, reading)
    elif field == "event_time_s":
        read = time_reader(plain, FileReading(time_unit="s"))
    elif field == "context":
        read = _context_reader(plain)
    elif field == "imported":
        read = _flag_reader(plain)
    else:
        read = _number_reader(plain) if field in _NUMBERS else _id_reader(plain, is_uuid=_is_uuid(kind))
    return lambda array: read(_plain(array))


def _is_text(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
            *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary),
        )
    )


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def _plain(array: pa.Array) -> pa.Array:
    """The array's values themselves, without dictionary, runs or extension."""
    while True:
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(array.type):
            array = pc.run_end_decode(array)
        else:
            return array


def _texts(array: pa.Array) -> list[Any]:
    """Texts of strings and bytes; a Fault for bytes that are no UTF-8, which Parquet may hold in strings, too."""
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return [None if value is None else _text(value) for value in array.cast(pa.large_binary()).to_pylist()]
    try:
        values: list[Any] = array.to_pylist()
        return values
    except UnicodeDecodeError:
        return _texts(array.cast(pa.large_binary()))


def _text(value: bytes) -> str | Fault:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return Fault({"bytes that are no UTF-8": base64.b64encode(value).decode("ascii")})


def _id_reader(kind: pa.DataType, *, is_uuid: bool) -> Read:
    if is_uuid:
        return lambda array: [None if value is None else str(uuid.UUID(bytes=value)) for value in array.to_pylist()]
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return lambda array: [None if value is None else str(value) for value in array.to_pylist()]
    raise ColumnTypeError("give text, UTF-8 bytes or whole numbers of an integer type")


def _number_reader(kind: pa.DataType) -> Read:
    if pa.types.is_floating(kind):
        return lambda array: [None if value is None else _finite(float(value)) for value in array.to_pylist()]
    if pa.types.is_decimal(kind):
        return lambda array: [None if value is None else float(value) for value in array.to_pylist()]
    if pa.types.is_integer(kind):
        return lambda array: array.to_pylist()
    raise ColumnTypeError("give an integer, floating or decimal type, or text as JSON writes numbers")


def _flag_reader(kind: pa.DataType) -> Read:
    if pa.types.is_boolean(kind):
        return lambda array: array.to_pylist()
    raise ColumnTypeError("give a boolean")


def _finite(value: float) -> float | Fault:
    return value if math.isfinite(value) else Fault(str(value))


def _context_reader(kind: pa.DataType) -> Read:
    if pa.types.is_map(kind) and _is_text(plain_type(kind.key_type)) and _is_text(plain_type(kind.item_type)):
        return _maps
    if pa.types.is_struct(kind) and all(_is_text(plain_type(each.type)) for each in kind.fields):
        return _structs
    raise ColumnTypeError("give a map of texts, a struct of texts, or text that holds a JSON object of strings")


def _structs(array: pa.Array) -> list[Any]:
    names = [each.name for each in array.type.fields]
    columns = [_texts(_plain(array.field(number))) for number in range(len(names))]
    rows = zip(*columns, strict=True) if names else [()] * len(array)
    return [
        _context(list(zip(names, values, strict=True))) if is_given else None
        for is_given, values in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _maps(array: pa.Array) -> list[Any]:
    offsets, given = array.offsets.to_pylist(), array.is_valid().to_pylist()
    # `keys` and `items` are the children as a whole, which a slice does not cut; offsets count within them.
    names, values = _texts(_plain(array.keys)), _texts(_plain(array.items))
    return [
        _context(list(zip(names[start:stop], values[start:stop], strict=True))) if is_given else None
        for start, stop, is_given in zip(offsets[:-1], offsets[1:], given, strict=True)
    ]


def _context(pairs: Sequence[tuple[Any, Any]]) -> Any:
    """One context map: absent values are left out; a name that stands twice, or bytes that are no text, are a Fault."""
    kept = [(name, value) for name, value in pairs if value is not None]
    table = {name: value for name, value in kept if isinstance(name, str) and isinstance(value, str)}
    if len(table) == len(kept):
        return table
    return Fault([[each.written if isinstance(each, Fault) else each for each in pair] for pair in kept])


def _context_texts(array: pa.Array) -> list[Any]:
    return [_context_text(value) if isinstance(value, str) else value for value in _texts(array)]


def _context_text(text: str) -> Any:
    if not text:
        return None
    try:
        context = load_json(text)
    except DocumentError:
        return Fault(text)
    is_fine = isinstance(context, dict) and all(isinstance(value, str) for value in context.values())
    return context if is_fine or context is None else Fault(text)
