"""How much the event log holds, compacted or not."""

from typing import NamedTuple

from mmrec.disk.objects import Objects


class LogSize(NamedTuple):
    """Files of events and served lists, manifests left out."""

    num_files: int
    num_bytes: int


def log_size(objects: Objects) -> LogSize:
    """Of the log in this place."""
    sizes = [entry.num_bytes for entry in objects.entries() if entry.name.endswith(".parquet")]
    return LogSize(num_files=len(sizes), num_bytes=sum(sizes))
