"""Rows of JSON lines: one object a line, as JSON or, as in the Amazon files of 2014, as a Python literal."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from mmrec.catalog.importers.cells import python_literal, whole_text
from mmrec.catalog.importers.lines import byte_lines, windows_text
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.errors import InvalidRequestError

_DECODER = msgspec.json.Decoder()


def json_columns(path: Path, encoding: str, num_rows: int) -> tuple[str, ...]:
    """Names in the first rows, in their order.

    Raises:
        InvalidRequestError: the file is one array, or none of those rows is an object.
    """
    first = next((line.strip() for line in byte_lines(path, Reading(), encoding=encoding) if line.strip()), b"")
    if first.startswith(b"["):
        raise InvalidRequestError(
            f"{path} holds one JSON array; give one object a line, as `jq -c '.[]' {path.name} > items.jsonl` writes"
        )
    rows = islice(json_rows(path, encoding, Reading()), num_rows)
    names = tuple(dict.fromkeys(name for _, cells in rows for name in cells))
    if not names:
        raise InvalidRequestError(f"{path} has no JSON object in its first lines; give one object a line")
    return names


def json_rows(path: Path, encoding: str, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of every line that holds one; others are counted as broken."""
    for number, line in enumerate(byte_lines(path, reading, encoding=encoding), start=1):
        if not (bare := line.strip()):
            continue
        reading.num_rows += 1
        found = _decoded(bare, f"line {number}", reading)
        if isinstance(found, dict):
            yield number, found
        else:
            reading.note(Noticed.UNREADABLE_ROW, f"line {number}", bare)


def _decoded(line: bytes, place: str, reading: Reading) -> Any:
    """The value of a line; None where it has none."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        reading.note(Noticed.ENCODING, place, line)
        text = windows_text(line)
    try:
        return whole_text(json.loads(text))  # takes NaN, which pandas writes, and halves of surrogate pairs
    except (ValueError, RecursionError):
        pass
    found = python_literal(text) if text.startswith("{") else None
    if isinstance(found, dict):
        reading.note(Noticed.PYTHON_LITERAL, place)
        return {str(name): value for name, value in found.items()}
    return None
