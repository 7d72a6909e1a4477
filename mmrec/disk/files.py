"""File operations that are durable when they return: what the event log is made of, and whole files replaced at once.

replace_file(path, data)             readers see the old file or the new one, after a crash as well
with replacing(path) as file: ...    the same, for a library that writes to an open file
create_file(path, data)              the first one wins; False for the others
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class DurableFiles:
    """Operations on files of one machine or a POSIX share. A crash comes before or after each, never in between."""

    def make_folder(self, folder: Path) -> None:
        """Make a folder, parents included."""
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)

    def write(self, path: Path, data: Any, *, mode: int = 0o666) -> None:
        """Write a new file that nobody reads yet; `mode`: permissions before the umask."""
        with _opened(path, mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Make durable a file that another library wrote."""
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def move(self, path: Path, target: Path) -> None:
        """Give a finished file its name, replacing any file that had it."""
        path.replace(target)
        sync_folder(target.parent)

    def link(self, path: Path, target: Path) -> bool:
        """Give a finished file a name that is not taken; False where it is taken."""
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        sync_folder(target.parent)
        return True

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in one step at the end; where writing fails, nothing changes.

    Args:
        mode: Permissions before the umask.
        durable: Whether the file survives a power loss, which costs two syncs (8 to 13 ms on a disk where the rest
            takes 0.4 to 4). If False, readers still see the old or the new file, also after a killed process.
    """
    temporary = _beside(path)
    try:
        with _opened(temporary, mode) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def replace_file(path: Path, data: bytes | str, *, mode: int = 0o666, durable: bool = True) -> None:
    """Give `path` this content in one step: a reader, also after a crash, finds the old content or the new one.

    Args:
        data: Text is written as UTF-8.
        mode: As of replacing().
        durable: As of replacing().
    """
    with replacing(path, mode=mode, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def create_file(path: Path, data: bytes, *, mode: int = 0o666) -> bool:
    """Give `path` this content, whole and durable, unless there is such a file; False where there is."""
    files, temporary = DurableFiles(), _beside(path)
    try:
        with _opened(temporary, mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return files.link(temporary, path)
    finally:
        files.remove(temporary)


def _beside(path: Path) -> Path:
    """A name that no other writer has, in the same folder; its ending says that nobody needs the file after a crash."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def _opened(path: Path, mode: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
