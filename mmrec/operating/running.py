"""The stack that runs in a home folder, according to its record.

    running = running_stack(home)           None where none runs
    running.programs, running.environment

The supervisor replaces the record at every change and removes it at the end. A record of a process that no longer runs
was left behind by a stack that was killed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mmrec.errors import ConfigurationError, MachineError
from mmrec.home import StackHome

MAX_CLOCK_STEP_S = 60.0
"""A process that began this much later than its record says is another one with the same id."""


@dataclass(frozen=True, kw_only=True)
class ProgramState:
    """One program of a stack."""

    name: str
    state: str
    """waiting, starting, ready, done, unwell, failed."""
    pid: int
    """0 where it does not run."""
    restarts: int
    since_s: float
    """Epoch seconds of the last change of state."""
    port: int
    """0 where it has none."""


@dataclass(frozen=True, kw_only=True)
class StackRecord:
    """The content of a stack's record."""

    stack_id: str
    pid: int
    started_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for jobs that run beside the stack."""
    programs: tuple[ProgramState, ...] = ()

    def job_environment(self, program: str) -> dict[str, str]:
        """Variables of a job run beside the stack; marked, so that it ends with the stack."""
        return {**self.environment, "MMREC_STACK_ID": self.stack_id, "MMREC_STACK_PROGRAM": program}

    @property
    def is_alive(self) -> bool:
        """Whether the stack's own process still runs."""
        try:
            return float(psutil.Process(self.pid).create_time()) <= self.started_s + MAX_CLOCK_STEP_S
        except psutil.Error:
            return False


def read_record(home: StackHome) -> StackRecord | None:
    """The record of a home folder, whether its stack still runs or not; None where there is none that can be read."""
    try:
        document = json.loads(home.record.read_text(encoding="utf-8"))
        return StackRecord(
            stack_id=str(document["stack_id"]),
            pid=int(document["pid"]),
            started_s=float(document["started_s"]),
            environment={str(k): str(v) for k, v in document.get("environment", {}).items()},
            programs=tuple(
                ProgramState(
                    name=str(name),
                    state=str(facts["state"]),
                    pid=int(facts.get("pid") or 0),
                    restarts=int(facts.get("restarts") or 0),
                    since_s=float(facts.get("since_s") or 0.0),
                    port=int(facts.get("port") or 0),
                )
                for name, facts in document.get("programs", {}).items()
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def running_stack(home: StackHome) -> StackRecord | None:
    """The stack that runs in a home folder; None where none does."""
    record = read_record(home)
    return record if record is not None and record.is_alive else None


def require_stack(home: StackHome) -> StackRecord:
    """The stack that runs in a home folder.

    Raises:
        MachineError: none runs; the message says what to do.
    """
    record = read_record(home)
    if record is None:
        raise MachineError(
            f"no stack runs in {home.folder}; start one with `mmrec up`, or name its folder in MMREC_HOME"
        )
    if not record.is_alive:
        raise MachineError(
            f"the stack in {home.folder} was killed; `mmrec down` clears what is left, `mmrec up` starts anew"
        )
    return record


def configuration_file(named: str, home: StackHome) -> Path:
    """The configuration that a command uses.

    Args:
        named: The file that --config or MMREC_CONFIG names; empty where neither does.
        home: Folder of the stack with the configuration to use then.

    Raises:
        ConfigurationError: the named file does not exist.
        MachineError: none is named, and no stack runs.
    """
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"no configuration at {named}; name a file with --config or MMREC_CONFIG")
        return Path(named)
    require_stack(home)
    return home.config
