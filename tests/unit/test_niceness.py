"""A nice program gives way to programs of other sessions, too."""

import os
import subprocess
from pathlib import Path

from services.stack.niceness import make_nice


def test_a_session_is_nice_within_and_towards_others() -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        make_nice(process.pid, 7)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.is_file():
            assert group.read_text().split()[-1] == "7"
    finally:
        process.kill()
        process.wait()
