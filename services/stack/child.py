"""One supervised program: started when what it needs is there, started again with growing pauses when it ends.

waiting -> starting -> ready -> (ended) -> waiting ...        one-shot programs: starting -> done
"""

import subprocess
import time
from pathlib import Path

from mmrec.telemetry.logs import get_logger
from services.stack.guard import child_environment, end_processes
from services.stack.niceness import make_nice
from services.stack.program import Patience, Program, is_well

log = get_logger(__name__)


class Child:
    """State of one program. Only its supervisor's thread calls `tick`, `restart` and `stop`."""

    def __init__(
        self,
        program: Program,
        *,
        stack_id: str,
        environment: dict[str, str],
        logs: Path,
        status: Path,
        patience: Patience,
    ) -> None:
        self.program = program
        self.state = "waiting"
        self.restarts = 0
        self.since_s = time.time()
        self.ready_after_s = 0.0
        self.log = logs / f"{program.name}.log"
        self._stack_id = stack_id
        self._environment = environment
        self._status = status / f"{program.name}.json"
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._was_ready = False
        self._not_before_s = 0.0
        self._started_s = 0.0
        self._well_s = 0.0

    @property
    def pid(self) -> int:
        """Process id; 0 where none runs."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_ready(self) -> bool:
        """Whether others may build on it."""
        return self.state in ("ready", "done")

    @property
    def has_failed(self) -> bool:
        """Whether it could not be brought up at all."""
        return not self._was_ready and self._failures >= self._patience.attempts

    def tick(self, *, can_start: bool) -> None:
        """Look at the program once and do what is due."""
        now_s = time.time()
        if self.state == "waiting":
            if self.has_failed:
                self._enter("failed", now_s)
            elif can_start and now_s >= self._not_before_s:
                self._start(now_s)
        elif self.state in ("starting", "ready"):
            self._watch(now_s)

    def restart(self, reason: str) -> None:
        """End the program with all it started; it is started again after a pause."""
        alive = self._process is not None and self._process.poll() is None
        code = self.end(grace_s=3.0 if alive else 0.3)  # what a dead program left behind has nothing to finish
        now_s = time.time()
        if self.state == "ready" and now_s - self.since_s >= self._patience.steady_s:
            self._failures = 0
        self._failures += 1
        pause_s = min(self._patience.longest_pause_s, self._patience.first_pause_s * 2 ** (self._failures - 1))
        self._not_before_s = now_s + pause_s
        self.restarts += 1
        self._enter("waiting", now_s)
        log.warning("program_ended", program=self.program.name, reason=reason, exit_code=code, pause_s=pause_s)

    def end(self, *, grace_s: float) -> int | None:
        """End the program and everything it started; its exit code."""
        if self._process is None:
            return None
        end_processes(self._stack_id, program=self.program.name, grace_s=grace_s)
        code = self._process.wait()
        self._process = None
        return code

    def _start(self, now_s: float) -> None:
        environment = {**child_environment(self._stack_id, program=self.program.name), **self._environment}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, **self.program.environment},
                start_new_session=True,
            )
        self._started_s = now_s
        self._enter("starting", now_s)

    def _watch(self, now_s: float) -> None:
        assert self._process is not None, f"{self.program.name} is {self.state} without a process"
        code = self._process.poll()
        if code == 0 and self.program.one_shot:
            self._process = None
            self._become_ready("done", now_s)
        elif code is not None:
            self.restart("ended")
        elif self.program.one_shot:
            if now_s - self._started_s > self.program.start_timeout_s:
                self.restart("did not end")
        elif self._is_well(now_s):
            self._well_s = now_s
            if self.state == "starting":
                self._become_ready("ready", now_s)
        elif self.state == "starting" and now_s - self._started_s > self.program.start_timeout_s:
            self.restart("not ready in time")
        elif self.state == "ready" and now_s - self._well_s > self._patience.unwell_s:
            self.restart("does not answer")

    def _is_well(self, now_s: float) -> bool:
        age_s = self._patience.max_status_age_s
        return is_well(self.program, self._status, started_s=self._started_s, now_s=now_s, max_age_s=age_s)

    def _become_ready(self, state: str, now_s: float) -> None:
        self._was_ready = True
        if self.program.niceness and state == "ready":
            make_nice(self.pid, self.program.niceness)
        self.ready_after_s = now_s - self._started_s
        self._enter(state, now_s)

    def _enter(self, state: str, now_s: float) -> None:
        self.state = state
        self.since_s = now_s
