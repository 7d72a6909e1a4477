"""Whether the Java runtime, the pinned archives and the machine will do, as one JSON line for `mmrec doctor`.

python -m services.stack.check

Fetches nothing.
"""

import json

from mmrec.errors import MmrecError
from mmrec.home import StackHome, cache_folder
from mmrec.telemetry.logs import configure_logging
from services.stack.jars import missing_jars, read_lock
from services.stack.java import ensure_java_home, java_version
from services.stack.machine import check_machine


def main() -> None:
    """Look and print."""
    configure_logging(level="ERROR")
    found: dict[str, object] = {"java_version": "", "java_error": "", "machine_error": ""}
    try:
        found["java_version"] = java_version(ensure_java_home())
    except MmrecError as error:
        found["java_error"] = str(error)
    try:
        check_machine(StackHome.from_environment().folder)
    except MmrecError as error:
        found["machine_error"] = str(error)
    jars = read_lock()
    found["num_jars"] = len(jars)
    found["missing_jars"] = [f"{j.artifact}-{j.version}" for j in missing_jars(jars, cache_folder() / "jars")]
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
