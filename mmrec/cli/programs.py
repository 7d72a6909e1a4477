"""Starts other programs from the command line: in place of it, or as jobs with their log lines shown.

The library may not import jobs and services, so it starts them as a person would: `python -m jobs.train ...`.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from mmrec.cli.log_lines import brief_line, reason_line
from mmrec.errors import MachineError

LAST_LINES = 5


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m module`: terminal, signals and exit status are the shell's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, _command(module, arguments))


def run_job(
    module: str, arguments: Sequence[str], *, environment: Mapping[str, str], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Run a job to its end and return the JSON object it prints last; empty where it prints none.

    Args:
        environment: Variables on top of this process's.
        tell: Called with each of the job's log lines, as `event key=value ...`.

    Raises:
        MachineError: the job ended with another status than 0; the message has its last words.
    """
    process = subprocess.Popen(
        _command(module, arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    printed: deque[str] = deque(maxlen=LAST_LINES)

    def read_log() -> None:
        assert process.stderr is not None, "stderr is a pipe"
        with process.stderr:
            for line in process.stderr:
                if line.strip():
                    last.append(reason_line(line))
                    tell(brief_line(line))

    reader = threading.Thread(target=read_log, daemon=True)
    reader.start()
    try:
        assert process.stdout is not None, "stdout is a pipe"
        with process.stdout:
            printed.extend(line for line in process.stdout if line.strip())
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    reader.join(2)
    if status != 0:
        words = last[-1] if last else "it said nothing"
        raise MachineError(f"{module} ended with status {status}: {words}")
    return _last_object(printed)


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _last_object(lines: Sequence[str]) -> dict[str, Any]:
    for line in reversed(lines):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            return document
    return {}
