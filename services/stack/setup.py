"""Fetch and check what pip does not bring: the Java runtime's start script and the pinned Java archives.

python -m services.stack.setup
"""

import sys
import time

from mmrec.errors import MmrecError
from mmrec.telemetry.logs import configure_logging
from services.stack.jars import ensure_jars
from services.stack.java import ensure_java_home


def main() -> int:
    """Ensure both, report in one line."""
    configure_logging(level="WARNING")
    begun_s = time.monotonic()
    try:
        home = ensure_java_home()
        jars = ensure_jars(home)
    except MmrecError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    count = len(jars.kafka) + len(jars.spark)
    print(f"Java and {count} pinned archives are in place ({time.monotonic() - begun_s:.1f} s)")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
