"""Starts the programs of a stack in their order, keeps them running, and says how they are.

    supervisor = Supervisor(programs, stack_id=..., environment=..., home=...)
    supervisor.start(); supervisor.wait_ready(["kafka"], timeout_s=60); ...; supervisor.stop()

Programs that do not wait for each other start at the same time.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmrec.disk.files import replace_file
from mmrec.errors import MachineError
from mmrec.home import StackHome
from services.stack.child import Child
from services.stack.guard import end_processes
from services.stack.program import Patience, Program

_TICK_S = 0.1


class Supervisor:
    """A thread that looks at every program ten times a second."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        stack_id: str,
        environment: dict[str, str],
        home: StackHome,
        facts: dict[str, Any] | None = None,
        on_ready: Callable[[str, float], None] = lambda name, seconds: None,
        patience: Patience | None = None,
        held: Iterable[str] = (),
    ) -> None:
        """Nothing is started yet.

        Args:
            facts: Written into the stack's record beside the programs.
            on_ready: Called with a program's name and the seconds it took, each time it becomes ready.
            held: Programs that are not started before `release`.
        """
        home.logs.mkdir(parents=True, exist_ok=True)
        home.status.mkdir(parents=True, exist_ok=True)
        self._stack_id = stack_id
        self._home = home
        self._facts = {"stack_id": stack_id, "pid": os.getpid(), "started_s": time.time(), **(facts or {})}
        self._on_ready = on_ready
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._held = set(held)
        self._told: dict[str, Any] = {}
        self.children = {
            program.name: Child(
                program,
                stack_id=stack_id,
                environment=environment,
                logs=home.logs,
                status=home.status,
                patience=patience or Patience(),
            )
            for program in programs
        }

    def start(self) -> None:
        """Begin to start programs."""
        self._thread.start()

    def release(self, name: str) -> None:
        """Let a held program start."""
        self._held.discard(name)

    def wait_ready(self, names: Iterable[str] = (), *, timeout_s: float = 300.0) -> None:
        """Wait until the named programs (all that are not held, where none is named) are ready.

        Raises:
            MachineError: one of them could not be brought up, or it took longer than `timeout_s`.
        """
        wanted = [self.children[name] for name in (list(names) or self.children.keys() - self._held)]
        give_up_s = time.monotonic() + timeout_s
        while pending := [child for child in wanted if not child.is_ready]:
            failed = next((child for child in self.children.values() if child.has_failed), None)
            late = pending[0] if time.monotonic() > give_up_s else None
            if culprit := failed or late:
                what = "does not start" if failed else f"was not ready within {timeout_s:.0f} s"
                raise MachineError(f"{culprit.program.name} {what}: {_last_line(culprit)} (see {culprit.log})")
            if self._ending.wait(_TICK_S):
                raise MachineError("the stack was stopped while it was starting")

    def stop(self) -> None:
        """End all programs, the last started first and Kafka last of all; bounded to about eight seconds."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(5)
        names = [name for name, child in self.children.items() if child.pid and name != "kafka"]
        threads = [threading.Thread(target=self.children[name].end, kwargs={"grace_s": 3.0}) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(6)
        end_processes(self._stack_id, grace_s=2.0)
        self._home.record.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._ending.wait(_TICK_S):
            for child in self.children.values():
                before, restarts = child.state, child.restarts
                needed = [self.children[name] for name in child.program.after]
                child.tick(can_start=child.program.name not in self._held and all(c.is_ready for c in needed))
                if child.state != before and child.is_ready:
                    self._on_ready(child.program.name, child.ready_after_s)
                if child.restarts > restarts:
                    self._restart_dependents(child.program.name)
            self._write_record()

    def _restart_dependents(self, name: str) -> None:
        for child in self.children.values():
            if name in child.program.restart_with and child.pid:
                child.restart(f"{name} was started again")

    def _write_record(self) -> None:
        programs = {
            name: {"state": c.state, "pid": c.pid, "restarts": c.restarts, "since_s": c.since_s, "port": c.program.port}
            for name, c in self.children.items()
        }
        if programs != self._told:
            self._told = programs
            record = json.dumps({**self._facts, "programs": programs}, indent=1)
            replace_file(self._home.record, record, durable=False)


def _last_line(child: Child) -> str:
    try:
        lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "its log is empty")
