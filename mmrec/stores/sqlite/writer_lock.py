"""One writer of profiles: a lock on the feature repository's folder.

The system takes it back when its holder ends, kill -9 included, so a restart never waits for a dead writer.
"""

import fcntl
from pathlib import Path
from typing import IO

from mmrec.errors import StoreError


def take_writer_lock(folder: Path) -> IO[str]:
    """The right to write profiles, held until this process ends, however it ends.

    Raises:
        StoreError: another process holds it.
    """
    return _take(folder / "writer.lock", f"another score_stream writes the profiles of {folder}; stop it first")


def take_rebuild_lock(folder: Path) -> IO[str]:
    """The right to fill and flip generations of profiles, held until the lock is closed or this process ends.

    Raises:
        StoreError: another process holds it.
    """
    return _take(folder / "rebuild.lock", f"another rebuild of the profiles of {folder} is under way; wait for it")


def _take(file: Path, refusal: str) -> IO[str]:
    lock = file.open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(refusal) from None
    return lock
