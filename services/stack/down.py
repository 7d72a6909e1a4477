"""End the stack that runs in a home folder, or what is left of it.

python -m services.stack.down
"""

import json
import os
import signal
import sys
import time

from mmrec.home import StackHome
from services.stack.occupancy import end_earlier, is_held

_PATIENCE_S = 20.0


def main() -> int:
    """Ask the stack to end; end its processes where it is gone already."""
    home = StackHome.from_environment()
    try:
        record = json.loads(home.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        print(f"no stack runs in {home.folder}")  # noqa: T201
        return 0
    if is_held(home):
        os.kill(int(record["pid"]), signal.SIGTERM)
        give_up_s = time.monotonic() + _PATIENCE_S
        while is_held(home) and time.monotonic() < give_up_s:
            time.sleep(0.1)
        if is_held(home):
            os.kill(int(record["pid"]), signal.SIGKILL)
    end_earlier(home, say=print)
    print("down")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
