"""How much the event log's folder holds, compacted or not."""

from pathlib import Path
from typing import NamedTuple

from mmrec.events.log import local_folder


class LogSize(NamedTuple):
    """Files of events and served lists, manifests left out."""

    num_files: int
    num_bytes: int


def log_size(location: str) -> LogSize:
    """Of the log at this place; files that are removed meanwhile are not counted."""
    sizes = [size for path in local_folder(location).rglob("*.parquet") if (size := _size(path)) is not None]
    return LogSize(num_files=len(sizes), num_bytes=sum(sizes))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
