"""A supervisor keeps programs running, in their order, and gives up only on what never worked."""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mmrec.errors import MachineError
from mmrec.home import StackHome
from services.stack.guard import new_stack_id, processes_of
from services.stack.program import Patience, Program
from services.stack.supervisor import Supervisor

pytestmark = pytest.mark.integration

_QUICK = Patience(first_pause_s=0.05, longest_pause_s=0.2, attempts=3)


def _supervise(folder: Path, *programs: Program, patience: Patience = _QUICK) -> Supervisor:
    supervisor = Supervisor(
        programs,
        stack_id=new_stack_id(),
        environment={},
        home=StackHome(folder=folder),
        patience=patience,
    )
    supervisor.start()
    return supervisor


def _sleeper(name: str, **changes) -> Program:
    return Program(name=name, command=("sleep", "600"), **changes)


def _wait_until(condition) -> bool:
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_killed_program_is_started_again(tmp_path: Path):
    supervisor = _supervise(tmp_path, _sleeper("a"))
    child = supervisor.children["a"]
    try:
        supervisor.wait_ready(timeout_s=20)
        first = child.pid
        os.kill(first, signal.SIGKILL)
        assert _wait_until(lambda: child.pid not in {0, first} and child.is_ready)
        assert child.restarts == 1
    finally:
        supervisor.stop()


def test_a_program_that_needs_a_restarted_one_is_restarted_too(tmp_path: Path):
    supervisor = _supervise(tmp_path, _sleeper("a"), _sleeper("b", after=("a",), restart_with=("a",)))
    a, b = supervisor.children["a"], supervisor.children["b"]
    try:
        supervisor.wait_ready(timeout_s=20)
        first = b.pid
        os.kill(a.pid, signal.SIGKILL)
        assert _wait_until(lambda: b.pid not in {0, first} and b.is_ready)
    finally:
        supervisor.stop()


def test_programs_start_after_what_they_need(tmp_path: Path):
    mark = tmp_path / "mark"
    first = Program(name="first", command=("sh", "-c", f"sleep 0.3; touch {mark}"), one_shot=True)
    second = Program(name="second", command=("sh", "-c", f"test -f {mark} && sleep 600"), after=("first",))
    supervisor = _supervise(tmp_path, second, first)
    try:
        supervisor.wait_ready(timeout_s=20)
        assert supervisor.children["first"].state == "done"
        assert supervisor.children["second"].restarts == 0
    finally:
        supervisor.stop()


def test_a_program_that_never_works_is_named_with_its_last_words(tmp_path: Path):
    failing = Program(name="broken", command=("sh", "-c", "echo no such luck; exit 3"), port=1)
    supervisor = _supervise(tmp_path, failing)
    try:
        with pytest.raises(MachineError, match="broken does not start: no such luck"):
            supervisor.wait_ready(timeout_s=20)
        assert supervisor.children["broken"].restarts == 3
    finally:
        supervisor.stop()


def test_pauses_between_restarts_grow(tmp_path: Path):
    stamps = tmp_path / "stamps"
    failing = Program(name="x", command=("sh", "-c", f"date +%s.%N >> {stamps}; exit 1"), port=1)
    supervisor = _supervise(tmp_path, failing, patience=Patience(first_pause_s=0.2, longest_pause_s=10.0, attempts=4))
    try:
        assert _wait_until(lambda: supervisor.children["x"].state == "failed")
    finally:
        supervisor.stop()
    times = [float(line) for line in stamps.read_text().split()]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 4
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


def test_a_program_is_ready_when_its_fresh_status_file_says_so(tmp_path: Path):
    write = (
        "import json, pathlib, sys, time\n"
        f"path = pathlib.Path({str(tmp_path / 'status' / 's.json')!r})\n"
        "time.sleep(0.3)\n"
        "path.write_text(json.dumps({'ready': True, 'updated_s': time.time()}))\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "s.json").write_text(json.dumps({"ready": True, "updated_s": 0.0}))
    supervisor = _supervise(tmp_path, Program(name="s", command=(sys.executable, "-c", write), has_status=True))
    try:
        supervisor.wait_ready(timeout_s=20)
        assert supervisor.children["s"].ready_after_s >= 0.3
    finally:
        supervisor.stop()


def test_what_a_program_started_ends_with_it(tmp_path: Path):
    hiding = Program(name="h", command=("sh", "-c", "setsid sleep 600 & setsid sleep 601 & exec sleep 602"))
    supervisor = _supervise(tmp_path, hiding)
    name = supervisor._stack_id
    try:
        supervisor.wait_ready(timeout_s=20)
        assert _wait_until(lambda: len(processes_of(name)) == 3)
        os.kill(supervisor.children["h"].pid, signal.SIGKILL)
        assert _wait_until(lambda: supervisor.children["h"].restarts == 1 and len(processes_of(name)) == 3)
    finally:
        supervisor.stop()
    assert processes_of(name) == []


def test_the_record_says_who_runs(tmp_path: Path):
    supervisor = _supervise(tmp_path, _sleeper("a"))
    record = StackHome(folder=tmp_path).record
    try:
        supervisor.wait_ready(timeout_s=20)
        assert _wait_until(lambda: json.loads(record.read_text())["programs"]["a"]["state"] == "ready")
        assert json.loads(record.read_text())["programs"]["a"]["pid"] == supervisor.children["a"].pid
    finally:
        supervisor.stop()
    assert not record.exists()
