"""What a supervisor is told about one program, and how it sees that the program is well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.stack.ports import is_open


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program of a stack."""

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Programs that must be ready first."""
    restart_with: tuple[str, ...] = ()
    """Programs without which this one is of no use: when one of them is started again, so is this."""
    port: int = 0
    """Ready while this port is open; 0 asks for none."""
    has_status: bool = False
    """Ready while its status file is fresh and says `"ready": true`."""
    one_shot: bool = False
    """Ready once it has ended with 0; it is not kept running."""
    niceness: int = 0
    """0 is normal, 19 leaves the processor to all others; in force once it is ready, so that starting is not slow."""
    start_timeout_s: float = 180.0
    """A program that is not ready by then is ended and started again."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of the stack's."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a supervisor waits for what, in seconds."""

    first_pause_s: float = 0.5
    """Pause before the first restart; each further one doubles it."""
    longest_pause_s: float = 30.0
    steady_s: float = 60.0
    """A program that was ready this long has its failures forgotten."""
    unwell_s: float = 60.0
    """A program that was ready and is unwell this long is started again."""
    max_status_age_s: float = 60.0
    attempts: int = 4
    """A program that never was ready and ended this often has failed to start."""


def is_well(program: Program, status: Path, *, started_s: float, now_s: float, max_age_s: float) -> bool:
    """Whether a running program does its work.

    Args:
        status: The program's status file.
        started_s: Instant of its start; an older status file is another run's.
        max_age_s: A status file older than this does not count.
    """
    if program.port and not is_open(program.port):
        return False
    if program.has_status:
        try:
            figures = json.loads(status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        updated_s = float(figures.get("updated_s", 0.0))
        return bool(figures.get("ready")) and updated_s >= started_s and now_s - updated_s <= max_age_s
    return True
