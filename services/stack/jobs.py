"""Runs a job beside a running stack, to its end, and tells how it gets on.

run_job(stack, "jobs.train", "--examples", folder, tell=print)
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmrec.errors import MachineError
from services.stack.embedded import EmbeddedStack
from services.stack.guard import child_environment

_TELL_EVERY_S = 10.0
_POLL_S = 0.1
_LAST_LINES = 50


def run_job(stack: EmbeddedStack, module: str, *arguments: str, tell: Callable[[str], None]) -> None:
    """Run `python -m module` with the stack's environment; its output goes to logs/<job>.log.

    Raises:
        MachineError: it ended with another status than 0; the message has its last words.
    """
    name = module.rpartition(".")[2]
    log = stack.home.logs / f"{name}.log"
    environment = {**child_environment(stack.stack_id, program=name), **stack.environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        told_s, told = time.monotonic(), ""
        while process.poll() is None:
            time.sleep(_POLL_S)
            if time.monotonic() - told_s >= _TELL_EVERY_S:
                told_s, words = time.monotonic(), last_event(log)
                if words not in {told, ""}:
                    told = words
                    tell(f"          {words}")
    if process.returncode != 0:
        raise MachineError(f"{module} ended with status {process.returncode}: {last_words(log)} (see {log})")


def last_event(log: Path) -> str:
    """The last thing a job logged, as `event key=value ...`; empty where it logged nothing lately."""
    for line in reversed(_last_lines(log)):
        try:
            fields = json.loads(line)
            event, logger = str(fields.pop("event")), str(fields.get("logger"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if logger.partition(".")[0] in {"mmrec", "jobs"}:
            plain = {
                k: v for k, v in fields.items() if k not in {"time", "level", "logger"} and not isinstance(v, dict)
            }
            return " ".join([event, *(f"{k}={_short(v)}" for k, v in plain.items())])[:200]
    return ""


def last_words(log: Path) -> str:
    """What a job that failed said last."""
    lines = _last_lines(log)
    return last_event(log) or (lines[-1].strip()[-200:] if lines else "it said nothing")


def _last_lines(log: Path) -> list[str]:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-_LAST_LINES:]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
