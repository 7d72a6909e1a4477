"""Who gives way to whom on a busy machine."""

import os
from contextlib import suppress
from pathlib import Path


def make_nice(pid: int, niceness: int) -> None:
    """Make every process of a session nice, among themselves and towards other sessions.

    Many kernels (sched_autogroup) share the processors between sessions first, each as large as the next one, and look
    at the niceness of processes within a session alone; a session's own stands in /proc.

    Args:
        pid: Of the session's first process, which is also that of its process group.
    """
    os.setpriority(os.PRIO_PGRP, pid, niceness)  # all threads of all its processes
    with suppress(OSError):  # a kernel without such groups
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
