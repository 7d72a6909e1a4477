"""Refused records on their way to and from the topic behavior-events.rejected.

key, value = encode_rejected(rejected_row)     proto3 JSON of mmrec.v1.RejectedEvent, key as it was
row = decode_rejected(value)
is_cut(row)                                    whether only the beginning of the original was kept

The kept part of a record is bounded, so that a refusal always fits the topic, however well the original was compressed.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from mmrec.errors import InvalidRequestError
from mmrec.wire.documents import check_text, load_document
from mmrec.wire.instants import parse_time, rfc3339
from mmrec.wire.shown import shown

MAX_KEPT_BYTES: Final = 1 << 20
"""Bytes kept of an original value; `detail` says so where there were more."""
MAX_KEPT_KEY_BYTES: Final = 1 << 16
"""The same for its key."""
CUT_BY_THE_STREAM: Final = "its beginning is kept"
"""How `detail` ends where the stream read only the beginning of a record."""
MAX_REFUSAL_BYTES: Final = 16 << 20
"""Longest value that is read as a refusal: more than the topic takes."""
_WHOLE: Final = re.compile(r"-?\d{1,18}", re.ASCII)
_CUT_HERE: Final = re.compile(r"; the first \d+ of \d+ bytes of original_(key|value) are kept")


def encode_rejected(row: dict[str, Any], *, max_kept_bytes: int = MAX_KEPT_BYTES) -> tuple[bytes, bytes]:
    """Key and value of one refused record.

    Args:
        row: One row of REJECTED_SCHEMA.
        max_kept_bytes: Of a longer original value only the beginning is kept.

    Returns:
        The original key (empty where there was none), and proto3 JSON in snake_case.
    """
    row = _bounded(row, max_kept_bytes)
    document: dict[str, Any] = {name: row[name] for name in ("reason", "detail", "cluster_id", "topic_id", "partition")}
    document["offset"] = str(row["offset"])
    for name in ("original_key", "original_value"):
        document[name] = base64.b64encode(row[name] or b"").decode("ascii")
    document["ingest_time"] = rfc3339(row["ingest_time_s"])
    value = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return row["original_key"] or b"", value


def _bounded(row: dict[str, Any], max_kept_bytes: int) -> dict[str, Any]:
    for name, most in (("original_key", MAX_KEPT_KEY_BYTES), ("original_value", max_kept_bytes)):
        if len(row[name] or b"") > most:
            detail = f"{row['detail']}; the first {most} of {len(row[name])} bytes of {name} are kept"
            row = {**row, name: row[name][:most], "detail": detail}
    return row


def is_cut(row: Mapping[str, Any]) -> bool:
    """Whether only the beginning of a refused record was kept, so that it cannot be sent again."""
    detail = str(row["detail"])
    return detail.endswith(CUT_BY_THE_STREAM) or _CUT_HERE.search(detail) is not None


def rejected_records(rejected: pa.Table) -> Iterator[tuple[bytes, bytes]]:
    """Key and value for each row of a REJECTED_SCHEMA table, ready to send."""
    return map(encode_rejected, rejected.to_pylist())


def decode_rejected(value: bytes) -> dict[str, Any]:
    """The row of REJECTED_SCHEMA that encode_rejected wrote; an empty key or value comes back as b"".

    Raises:
        InvalidRequestError: it holds no refusal; another program wrote it.
    """
    try:
        document = load_document(value, max_bytes=MAX_REFUSAL_BYTES)
        row = {name: _text(document, name) for name in ("reason", "detail", "cluster_id", "topic_id")}
        ingest_time_s = parse_time(_text(document, "ingest_time"))
        if ingest_time_s is None:
            raise ValueError(f"ingest_time is {shown(document['ingest_time'])}; give RFC 3339")
        return {
            **row,
            "partition": _whole(document, "partition"),
            "offset": _whole(document, "offset"),
            "original_key": _bytes(document, "original_key"),
            "original_value": _bytes(document, "original_value"),
            "ingest_time_s": ingest_time_s,
        }
    except ValueError as error:
        raise InvalidRequestError(f"a value of {len(value)} bytes is no refusal: {error}") from None


def _text(document: dict[str, Any], name: str) -> str:
    text = document.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is {shown(text)}; give a string")
    check_text(name, text)
    return text


def _bytes(document: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(document, name), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is {shown(document[name])}, which is no base64: {error}") from None


def _whole(document: dict[str, Any], name: str) -> int:
    """Proto3 JSON writes 64-bit numbers as text."""
    number = document.get(name)
    if isinstance(number, bool) or not isinstance(number, int | str) or not _WHOLE.fullmatch(str(number)):
        raise ValueError(f"{name} is {shown(number)}; give a whole number")
    return int(number)
