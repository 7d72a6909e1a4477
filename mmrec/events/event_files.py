"""Behavior events in files: JSON lines or Parquet in, records of the topic behavior-events out.

    for key, value in read_records(Path("events.jsonl")): ...

A JSON line is one proto3 JSON BehaviorEvent and goes out byte for byte, broken ones too: the codec decides what is
refused, and says so on the rejected topic. A Parquet file has the fields of BehaviorEvent as columns; files of the
event log (EVENT_SCHEMA) are read as well.
"""

import json
import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.errors import InvalidRequestError, NotFoundError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.rules import FIELD_NAMES, camel_case
from mmrec.wire.instants import parse_time, rfc3339

Record = tuple[bytes, bytes]
"""Key and value as they go to Kafka."""
_ROWS = 4_096
_USER_COLUMNS = ("user_id", "anonymous_id", "user_key")


def read_records(path: Path) -> Iterator[Record]:
    """Records of a file in its order, in bounded memory.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: it is no Parquet, lacks a column, or its name ends neither in .parquet nor in a JSON one.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}; give a file of behavior events, JSON lines or Parquet")
    if path.suffix == ".parquet":
        return _parquet_records(path)
    if path.suffix in {".jsonl", ".ndjson", ".json"}:
        return _line_records(path)
    raise InvalidRequestError(f"{path} ends in {path.suffix!r}; give .jsonl, .ndjson, .json (a line each) or .parquet")


def newest_event_time_s(records: Iterable[Record]) -> float | None:
    """Epoch seconds of the newest event that has a time; None where none has."""
    newest = -math.inf
    for _, value in records:
        document = _document(value)
        time_s = _event_time_s(document) if document is not None else None
        if time_s is not None:
            newest = max(newest, time_s)
    return newest if math.isfinite(newest) else None


def retimed(records: Iterable[Record], *, shift_s: float = 0.0, imported: bool = False) -> Iterator[Record]:
    """Records with moved event times, flagged as imported history where asked.

    Args:
        shift_s: Seconds added to every event time; order and gaps stay. Records without a time keep none.
        imported: Flag them: the system is taken to have known each event when it happened.
    """
    for key, value in records:
        document = _document(value)
        if document is None:
            yield key, value
            continue
        time_s = _event_time_s(document)
        if shift_s and time_s is not None:
            document.pop("eventTime", None)
            document["event_time"] = rfc3339(time_s + shift_s)
        if imported:
            document["imported"] = True
        yield key, json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _line_records(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        for line in file:
            if value := line.strip():
                yield _key(_document(value) or {}), value


def _document(value: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _key(document: dict[str, Any]) -> bytes:
    for name in ("user_id", "anonymous_id"):
        user = document.get(name) or document.get(camel_case(name))
        if isinstance(user, str) and user:
            return user.encode("utf-8", errors="replace")
    return b""


def _event_time_s(document: dict[str, Any]) -> float | None:
    text = document.get("event_time", document.get("eventTime"))
    return parse_time(text) if isinstance(text, str) else None


def _parquet_records(path: Path) -> Iterator[Record]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRequestError(f"{path} is no Parquet file: {error}") from None
    names = set(file.schema_arrow.names)
    missing = [name for name in ("event_id", "item_id", "behavior") if name not in names]
    if not names & set(_USER_COLUMNS):
        missing.append("user_id")
    if missing:
        raise InvalidRequestError(f"{path} lacks the columns {missing}; it has {sorted(names)}")
    return _rows(file, sorted(names & {*FIELD_NAMES, "user_key", "event_time_s"}))


def _rows(file: pq.ParquetFile, columns: list[str]) -> Iterator[Record]:
    for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
        for row in batch.to_pylist():
            document = _from_row(row)
            yield _key(document), json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _from_row(row: dict[str, Any]) -> dict[str, Any]:
    user_key, time_s, moment = row.pop("user_key", None), row.pop("event_time_s", None), row.pop("event_time", None)
    document = {name: value for name, value in row.items() if value not in (None, "", 0, False)}
    if user_key:
        anonymous = str(user_key).startswith(ANONYMOUS_PREFIX)
        document["anonymous_id" if anonymous else "user_id"] = str(user_key).removeprefix(ANONYMOUS_PREFIX)
    if isinstance(moment, datetime):
        time_s = moment.timestamp()
    if isinstance(moment, str):
        document["event_time"] = moment
    elif time_s is not None:
        document["event_time"] = rfc3339(float(time_s))
    if isinstance(document.get("context"), str):
        document["context"] = json.loads(document["context"])
    elif isinstance(document.get("context"), list):  # a Parquet map
        document["context"] = dict(document["context"])
    return document
