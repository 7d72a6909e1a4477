"""Whether this machine can carry the stack: disk, memory, tools. One line says what is missing and what to do."""

import shutil
import sys
from pathlib import Path

import psutil

from mmrec.errors import MachineError

MINIMUM_DISK_BYTES = 3 * 1024**3
"""Broker log, event log, stores and models of a demo, with room to spare."""
MINIMUM_MEMORY_BYTES = 4 * 1024**3
"""The stack takes about 3 GB (measured), training another."""


def check_machine(folder: Path) -> None:
    """Raise MachineError where the stack could not run with its state in `folder`."""
    if not sys.platform.startswith("linux"):
        raise MachineError(f"the embedded stack runs on Linux, this is {sys.platform}; use a Linux machine")
    free = shutil.disk_usage(existing_parent(folder)).free
    if free < MINIMUM_DISK_BYTES:
        raise MachineError(
            f"{free / 1024**3:.1f} GiB of disk are free at {folder}, {MINIMUM_DISK_BYTES / 1024**3:.0f} are needed;"
            " free some or set MMREC_HOME to a folder elsewhere"
        )
    memory = psutil.virtual_memory().available
    if memory < MINIMUM_MEMORY_BYTES:
        raise MachineError(
            f"{memory / 1024**3:.1f} GiB of memory are available, {MINIMUM_MEMORY_BYTES / 1024**3:.0f} are needed;"
            " end other programs"
        )
    for tool in ("milvus-lite", "ray"):
        if not (Path(sys.executable).parent / tool).exists():
            raise MachineError(f"{tool} is not installed beside {sys.executable}; run `make setup`")


def existing_parent(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())
