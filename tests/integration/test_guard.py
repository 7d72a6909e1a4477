"""Nothing a stack started outlives it."""

import os
import signal
import subprocess
import sys
import time

from services.stack.guard import processes_of

# A stack with a child that hides in a session of its own and ignores SIGTERM, and a grandchild whose parent ends.
_STACK = """
import subprocess, sys, time
from services.stack.guard import child_environment, new_stack_id, start_guard
name = new_stack_id()
guard = start_guard(name)
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stubborn], env=child_environment(name), start_new_session=True)
subprocess.Popen(["sh", "-c", "sleep 600 & exit 0"], env=child_environment(name), start_new_session=True)
print(name, flush=True)
time.sleep(600)
"""


def _wait_until(condition) -> bool:
    give_up_s = time.monotonic() + 30
    while time.monotonic() < give_up_s:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_kill_nine_of_the_stack_ends_hidden_and_stubborn_children():
    stack = subprocess.Popen([sys.executable, "-c", _STACK], stdout=subprocess.PIPE, text=True)
    name = stack.stdout.readline().strip()
    assert _wait_until(lambda: len(processes_of(name)) == 2)
    time.sleep(0.5)  # the stubborn one needs a moment to refuse the signal
    os.kill(stack.pid, signal.SIGKILL)
    stack.wait()
    stack.stdout.close()
    assert _wait_until(lambda: not processes_of(name))
