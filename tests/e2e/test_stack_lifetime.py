"""The whole stack comes up without a Java on the PATH, mends itself, and leaves nothing behind when it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmrec.home import StackHome
from services.stack.guard import child_environment, processes_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, stack_id: str) -> Iterator[tuple[subprocess.Popen[str], StackHome]]:
    """A stack as a person starts it, in a home of its own."""
    home = StackHome(folder=tmp_path_factory.mktemp("home"))
    variables = {**child_environment(stack_id), "MMREC_HOME": str(home.folder), "JAVA_HOME": "/no/such/java"}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.stack"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    else:
        pytest.fail("the stack did not come up:\n" + "".join(said))
    yield process, home
    process.terminate()
    process.wait(60)
    process.stdout.close()


def _record(home: StackHome) -> dict[str, Any]:
    return json.loads(home.record.read_text())


def _wait_until(condition: Callable[[], bool], *, patience_s: float) -> bool:
    give_up_s = time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_every_program_is_ready_and_has_a_log_of_its_own(stack: tuple[subprocess.Popen[str], StackHome]):
    _, home = stack
    programs = _record(home)["programs"]
    assert {"kafka", "milvus", "ray", "score_stream", "build_neighbors", "collector", "recommender"} <= set(programs)
    assert {program["state"] for program in programs.values()} <= {"ready", "done"}
    assert {path.stem for path in home.logs.glob("*.log")} >= set(programs)


def test_a_killed_program_comes_back(stack: tuple[subprocess.Popen[str], StackHome]):
    _, home = stack
    first = _record(home)["programs"]["collector"]["pid"]
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        collector = _record(home)["programs"]["collector"]
        return collector["restarts"] == 1 and collector["state"] == "ready" and collector["pid"] != first

    assert _wait_until(is_back, patience_s=120)


def test_kill_nine_of_the_stack_leaves_no_process(stack: tuple[subprocess.Popen[str], StackHome]):
    process, home = stack
    name = _record(home)["stack_id"]
    assert len(processes_of(name)) > 10
    process.kill()
    process.wait()
    assert _wait_until(lambda: not processes_of(name), patience_s=10)
