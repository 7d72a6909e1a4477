"""The file operations that the event log is made of, each durable when it returns; tests interrupt them one by one."""

import os
from pathlib import Path
from typing import Any


class LogFiles:
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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
