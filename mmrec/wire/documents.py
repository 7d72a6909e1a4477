"""Bytes to JSON objects, the same for every way in: Kafka, files, catalogue, embeddings.

    load_document(value, max_bytes=...)     the object, or DocumentError with a reason and what would be right

Accepts RFC 8259 in UTF-8, with or without a byte order mark. Refuses names given twice in one object, NaN and Infinity,
nesting deeper than Python reads, and values that are no object.
"""

import json
import re
from collections import Counter
from typing import Any, Final

from mmrec.wire.shown import shown

MALFORMED_JSON: Final = "malformed_json"
NOT_AN_OBJECT: Final = "not_an_object"
TOO_LARGE: Final = "too_large"
JSON_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
"""A text that proto3 JSON accepts as a number."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class DocumentError(ValueError):
    """Why a value is no document."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """MALFORMED_JSON, NOT_AN_OBJECT or TOO_LARGE."""
        self.detail = detail


def camel_case(name: str) -> str:
    """Lower camel case form of a field name, as proto3 JSON writes it by default."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _refuse_constant(name: str) -> float:
    raise DocumentError(MALFORMED_JSON, f"{name} is no JSON")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        numbers = Counter(name for name, _ in pairs)
        twice = next(name for name, number in numbers.items() if number > 1)
        raise DocumentError(MALFORMED_JSON, f"name {shown(twice)} stands twice in one object; give it once")
    return table


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs)


def load_document(value: bytes | None, *, max_bytes: int) -> dict[str, Any]:
    """The object that a record's value holds.

    Args:
        value: None is a record without a value and refused.
        max_bytes: Longest value that is read.

    Raises:
        DocumentError: it is none.
    """
    if value is None:
        raise DocumentError(NOT_AN_OBJECT, "the record has no value; give a JSON object")
    if len(value) > max_bytes:
        raise DocumentError(TOO_LARGE, f"the value has more than {max_bytes} bytes; give at most that")
    document = load_json(value)
    if not isinstance(document, dict):
        raise DocumentError(NOT_AN_OBJECT, f"the value is {shown(document)}; give a JSON object")
    return document


def load_json(value: bytes | str) -> Any:
    """Any JSON value.

    Raises:
        DocumentError: MALFORMED_JSON.
    """
    try:
        text = value if isinstance(value, str) else value.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
        return _DECODER.decode(text)
    except DocumentError:
        raise
    except UnicodeDecodeError as error:
        raise DocumentError(MALFORMED_JSON, f"no UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise DocumentError(MALFORMED_JSON, "nested too deeply") from None
    except ValueError as error:
        raise DocumentError(MALFORMED_JSON, str(error)[:200]) from None


def check_text(name: str, text: str) -> None:
    """Check that a text of a document can be written as UTF-8: JSON may contain half of a surrogate pair.

    Raises:
        DocumentError: MALFORMED_JSON, naming the field.
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DocumentError(MALFORMED_JSON, f"{name} holds half a surrogate pair") from None
