"""feast.types.Value messages that hold one bytes or text value, written and read as bytes.

Building the message object costs ten times as much; the wire form is a tag, a length and the value.
"""

import struct
from typing import Final

LENGTH: Final = struct.Struct("<I")
"""How Feast's entity keys say lengths."""
_BYTES_TAG: Final = b"\x0a"
_STRING_TAG: Final = b"\x12"
"""Field 1 (bytes_val) and field 2 (string_val) of feast.types.Value, with a length before the value."""


def value_message(value: bytes | str) -> bytes:
    """feast.types.Value with this value, serialized."""
    tag, data = (_BYTES_TAG, value) if isinstance(value, bytes) else (_STRING_TAG, value.encode())
    length = len(data)
    size = b""
    while length > 0x7F:
        size += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return b"".join((tag, size, bytes((length,)), data))


def bytes_value(message: bytes) -> bytes:
    """The bytes_val of a serialized feast.types.Value that holds nothing else.

    Raises:
        ValueError: it holds something else.
    """
    if message[:1] != _BYTES_TAG:
        raise ValueError(f"a value that begins {message[:1]!r} holds no bytes")
    place = 1
    while message[place] > 0x7F:
        place += 1
    return message[place + 1 :]
