"""TOML files: reading them, finding the line of a key, and writing them in one way.

text = read_toml_text(path)
document = parse_toml(text, where=str(path))               tables
line_of(text, ("kafka", "bootstrap"))                      3
toml_text(tables, header="Written by the stack at each start.")
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tomli_w

from mmrec.errors import ConfigurationError

_MAX_SEARCHED: Final = 200_000
"""Characters of a text that are searched for a line; a configuration is far smaller."""


def parse_toml(text: str, *, where: str) -> dict[str, Any]:
    """The document; ConfigurationError with line and column where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is no TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{where} is no TOML: nested too deeply") from None


def read_toml_text(path: Path) -> str:
    """The text of a file.

    Raises:
        FileNotFoundError: there is none; callers decide what that means.
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; name a file that can be read") from None


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Line, counted from 1, at which the value at `path` begins; None where that cannot be determined.

    The parser of the standard library does not report places, so ever longer beginnings of the text are parsed: the
    value begins after the last beginning that lacks it, where the next valid one has it.

    Args:
        text: TOML.
        path: Keys and positions. Positions at the end of the path are ignored: the line is that of the list.
    """
    wanted = list(path)
    while wanted and isinstance(wanted[-1], int):
        wanted.pop()
    if not wanted or len(text) > _MAX_SEARCHED:
        return None
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if str(wanted[-1]) not in line:
            continue
        before = _beginning(lines[:number])
        if before is None or _has(before, wanted):
            continue  # inside a text of several lines, or further down
        for end in range(number + 1, len(lines) + 1):
            if (document := _beginning(lines[:end])) is not None:
                if _has(document, wanted):
                    return number + 1
                break
    return None


def toml_text(tables: Mapping[str, Any], *, header: str = "") -> str:
    """Tables and arrays of tables as TOML, in their order; a reader sees one block per table.

    Args:
        tables: By name; without None, which TOML does not have.
        header: What a reader of the file should know, written above as a comment.
    """
    blocks = ["".join(f"# {line}\n" for line in header.splitlines())] if header else []
    values = {name: value for name, value in tables.items() if not _is_table(value)}
    blocks += [tomli_w.dumps(values)] if values else []  # before any title; after one, they would belong to its table
    for name, value in tables.items():
        if isinstance(value, Mapping):
            blocks.append(tomli_w.dumps({name: value}))
        elif name not in values:
            blocks += [_array_entry(name, table) for table in value]
    return "\n".join(blocks)


def _is_table(value: Any) -> bool:
    """Whether it is a table or a list of tables."""
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(each, Mapping) for each in value)
    )


def _array_entry(name: str, table: Mapping[str, Any]) -> str:
    """One `[[name]]` block; tomli-w would write a short one in one line, where keys are hard to find and add."""
    title, _, *lines = tomli_w.dumps({name: {"": 0, **table}}).split("\n")  # the entry "" makes it write the title
    return "\n".join([f"[{title}]", *lines])


def _beginning(lines: Sequence[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _has(document: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
