"""File operations that are durable when they return: what the event log is made of, and whole files replaced at once.

replace_file(path, data)          readers see the old file or the new one, after a crash as well
"""

import os
import uuid
from pathlib import Path
from typing import Any


class DurableFiles:
    """Operations on files of one machine or a POSIX share. A crash lies before or after each, never inside."""

    def make_folder(self, folder: Path) -> None:
        """Make a folder, parents included."""
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)

    def write(self, path: Path, data: Any) -> None:
        """Write a file that nobody reads yet."""
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Make a file durable that another library wrote."""
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def move(self, path: Path, target: Path) -> None:
        """Give a finished file its name, in place of what had it."""
        path.replace(target)
        sync_folder(target.parent)

    def link(self, path: Path, target: Path) -> bool:
        """Give a finished file a name that nobody else may have; False where somebody has."""
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        sync_folder(target.parent)
        return True

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Give `path` this content in one step: whoever reads meanwhile, or after a crash, finds the old or the new one.

    Args:
        data: Text is written as UTF-8.
        mode: Permissions before the umask.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
