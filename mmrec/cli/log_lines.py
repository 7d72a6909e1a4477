"""Log files of a stack's programs as people read them."""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from mmrec.errors import NotFoundError

_LEFT_OUT = frozenset({"time", "level", "logger", "event"})
_BLOCK = 65_536
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def plain_line(line: str) -> str:
    """A JSON log line as `[level] event key=value ...`; any other line as it is, without its colors."""
    try:
        fields = json.loads(line)
        event = fields["event"]
    except (ValueError, KeyError, TypeError):
        return _COLORS.sub("", line.rstrip())
    level = fields.get("level", "info")
    shown = [f"{key}={value}" for key, value in fields.items() if key not in _LEFT_OUT]
    return " ".join([*([str(level)] if level not in ("info", "debug") else []), str(event), *shown])


def brief_line(line: str) -> str:
    """Like plain_line, without values that are tables of their own."""
    try:
        fields = json.loads(line)
        return plain_line(json.dumps({k: v for k, v in fields.items() if not isinstance(v, dict)}))
    except (ValueError, AttributeError):
        return plain_line(line)


def reason_line(line: str) -> str:
    """The reason in a log line that gives one; other lines as in brief_line."""
    try:
        fields = json.loads(line)
        return str(fields.get("error") or fields.get("reason") or brief_line(line))
    except (ValueError, AttributeError):
        return brief_line(line)


def timed_line(line: str) -> str:
    """Like plain_line, with the time of day in front where the line has one."""
    try:
        time_of_day = str(json.loads(line)["time"])[11:23]
    except (ValueError, KeyError, TypeError):
        return plain_line(line)
    return f"{time_of_day} {plain_line(line)}"


def log_file(folder: Path, name: str) -> Path:
    """The log of a program.

    Raises:
        NotFoundError: there is none; the message names those that exist.
    """
    path = folder / f"{name}.log"
    if path.is_file() and path.parent == folder:
        return path
    known = ", ".join(log_names(folder)) or "none; nothing was started here"
    raise NotFoundError(f"no log of {name!r} in {folder}; there are {known}")


def log_names(folder: Path) -> list[str]:
    """Programs that have a log."""
    return sorted(path.stem for path in folder.glob("*.log"))


def tail(path: Path, num_lines: int) -> tuple[list[str], int]:
    """The last lines of a file, and the place after them, from which follow() continues."""
    with path.open("rb") as file:
        file.seek(0, 2)
        start = end = file.tell()
        data = b""
        while start > 0 and data.count(b"\n") <= num_lines:
            start = max(start - _BLOCK, 0)
            file.seek(start)
            data = file.read(end - start)
    lines = deque(data.decode("utf-8", errors="replace").splitlines(), maxlen=num_lines)
    return list(lines), end


def follow(path: Path, place: int, *, stop: Callable[[], bool], wait: Callable[[], None]) -> Iterator[str]:
    """Lines that are written after `place`, until `stop()`; a file that became shorter is read from its beginning."""
    rest = b""
    while not stop():
        if path.stat().st_size < place:
            place, rest = 0, b""
        with path.open("rb") as file:
            file.seek(place)
            data = file.read()
        place += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode("utf-8", errors="replace") for line in lines)
        if not data:
            wait()
