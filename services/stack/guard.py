"""Ends everything a stack started, even when the stack itself is ended by kill -9.

    stack_id = new_stack_id(); guard = start_guard(stack_id)       every child inherits MMREC_STACK_ID=stack_id

The guard is a process of its own that holds the reading end of a pipe. When the stack ends, however it ends, the pipe
closes; the guard then finds every process that inherited the id (daemons of daemons too, whatever session or parent
they took), asks them to end and, after a grace, ends them. It reads /proc, so it works on Linux.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

STACK_VARIABLE = "MMREC_STACK_ID"
PROGRAM_VARIABLE = "MMREC_STACK_PROGRAM"
_GRACE_S = 4.0


def new_stack_id() -> str:
    """An id no other stack has."""
    return uuid.uuid4().hex


def processes_of(stack_id: str, *, program: str = "") -> list[int]:
    """Ids of living processes that inherited `stack_id` (and run for `program`), guards left out."""
    wanted = {f"{STACK_VARIABLE}={stack_id}".encode()}
    if program:
        wanted.add(f"{PROGRAM_VARIABLE}={program}".encode())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = set((folder / "environ").read_bytes().split(b"\0"))
            state = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        except OSError:  # gone meanwhile, or another user's
            continue
        if wanted <= variables and f"{PROGRAM_VARIABLE}=guard".encode() not in variables and state not in "ZX":
            found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def end_processes(stack_id: str, *, program: str = "", grace_s: float = _GRACE_S) -> int:
    """End every process that inherited `stack_id` (and runs for `program`).

    They are asked first and ended after `grace_s`.

    Returns:
        How many were alive at the beginning.
    """
    first = processes_of(stack_id, program=program)
    _signal(first, signal.SIGTERM)
    give_up_s = time.monotonic() + grace_s
    while processes_of(stack_id, program=program) and time.monotonic() < give_up_s:
        time.sleep(0.1)
    for _ in range(20):  # a dying supervisor may have started something in between
        left = processes_of(stack_id, program=program)
        if not left:
            break
        _signal(left, signal.SIGKILL)
        time.sleep(0.1)
    return len(first)


def start_guard(stack_id: str, *, folders: Iterable[Path] = ()) -> "subprocess.Popen[bytes]":
    """Start the guard of a stack; at the end it removes `folders` too.

    Keep the result: closing its stdin tells the guard to end everything.
    """
    variables = {**os.environ, STACK_VARIABLE: stack_id, PROGRAM_VARIABLE: "guard"}
    command = [sys.executable, "-m", "services.stack.guard", stack_id, *map(str, folders)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=variables
    )


def child_environment(stack_id: str, *, program: str = "") -> dict[str, str]:
    """The own environment, marked so that the guard finds the child and its children."""
    return {**os.environ, STACK_VARIABLE: stack_id, PROGRAM_VARIABLE: program}


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def main() -> None:
    """Wait for the end of the stack, then end what it started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C and a group's end are meant for the stack
    sys.stdin.buffer.read()
    end_processes(sys.argv[1])
    for folder in sys.argv[2:]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
