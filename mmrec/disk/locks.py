"""Locks between processes, on files: the system releases a lock when its holder ends, however it ends.

A share over NFS makes locks of ranges out of these: it wants a file that is open for reading (shared), or for writing,
and would keep a lock on a folder to one machine.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, shared: bool = False, mode: int = 0o666) -> Iterator[None]:
    """Wait for a lock file and hold it; made where there is none, with permissions `mode` before the umask."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode), "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
