"""Who has a home folder: one stack at a time; what a killed one left behind is ended and cleared away."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mmrec.errors import MachineError
from mmrec.home import StackHome
from services.stack.guard import end_processes

_KEPT = {"stack.lock"}
"""What a fresh start leaves in the home folder; content and downloads are cached elsewhere."""


def hold(home: StackHome) -> IO[str]:
    """Take the home's lock for as long as the answer is open; MachineError where another stack has it."""
    lock = home.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        message = f"a stack already runs in {home.folder}; `mmrec down` ends it, MMREC_HOME names another folder"
        raise MachineError(message) from None
    return lock


def end_earlier(home: StackHome, *, say: Callable[[str], None]) -> None:
    """End what is left of a stack that was killed; its lock is free, so nobody watches it any more."""
    try:
        record = json.loads(home.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    num_ended = end_processes(str(record.get("stack_id", "")))
    say(f"an earlier stack in {home.folder} was killed; {num_ended} of its processes were still there and are ended")
    for folder in record.get("temporary_folders", []):
        shutil.rmtree(folder, ignore_errors=True)
    home.record.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Remove a home's state."""
    for path in folder.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def is_held(home: StackHome) -> bool:
    """Whether a stack runs in this home."""
    try:
        hold(home).close()
    except MachineError:
        return True
    return False
