"""What `mmrec doctor` checks: whether this machine and this installation can run the stack, and what to do if not.

Each check is one function that returns a Check and starts nothing.
"""

import importlib.metadata
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from mmrec.cli.checks import Check, Health, few
from mmrec.cli.listeners import check_addresses, check_ports
from mmrec.config import Settings, load_settings
from mmrec.forgetting.pending import num_pending
from mmrec.home import StackHome
from mmrec.operating.running import read_record, running_stack
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_objects

DISK_BYTES = 10 * 1024**3
MEMORY_BYTES = 6 * 1024**3
STATUS_AGE_S = 30.0
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)\s*(;)?")


def check_python(version: str = platform.python_version()) -> Check:
    """Whether the lock is made for this version of Python.

    Args:
        version: Such as "3.13.0".
    """
    found = f"{version} at {sys.executable}"
    if OLDEST_PYTHON <= _minor(version) <= NEWEST_PYTHON:
        return Check(name="Python", health=Health.OK, found=found)
    oldest, newest = (".".join(map(str, supported)) for supported in (OLDEST_PYTHON, NEWEST_PYTHON))
    return Check(
        name="Python",
        health=Health.FAIL,
        found=found,
        advice=f"use Python {oldest} to {newest}; remove .venv, and `make setup` builds it with the newest it finds",
    )


def check_packages(lock: Path) -> Check:
    """Installed packages against the lock; packages for other platforms are checked only where they are installed."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Check(
            name="packages",
            health=Health.WARN,
            found=f"no {lock.name} at {lock.parent}",
            advice="run from a clone of the repository to compare",
        )
    installed = {_normal(d.name): d.version for d in importlib.metadata.distributions() if d.name}
    locked: dict[str, set[str]] = {}  # the lock has a package once for each platform that needs another version
    required: set[str] = set()
    for match in filter(None, map(_LOCKED.match, lines)):
        name, version, marker = match.groups()
        locked.setdefault(_normal(name), set()).add(version)
        if not marker:
            required.add(_normal(name))
    wrong, num_same = [], 0
    for name, versions in locked.items():
        here = installed.get(name, "")
        if here in versions:
            num_same += 1
        elif here or name in required:
            wrong.append(f"{name} {here or 'missing'} (locked {' or '.join(sorted(versions))})")
    if not wrong:
        return Check(name="packages", health=Health.OK, found=f"{num_same} as {lock.name} says")
    return Check(name="packages", health=Health.FAIL, found=few(wrong), advice="run `make setup`")


def check_runtime(found: Mapping[str, Any]) -> list[Check]:
    """Java, archives and the minimum the machine must have, from what `services.stack.check` printed.

    Args:
        found: Its JSON object; `check_error` says why it did not run.
    """
    if "num_jars" not in found:
        return [
            Check(
                name="Java",
                health=Health.FAIL,
                found=str(found.get("check_error", "services.stack.check printed nothing")),
                advice="run `make setup`, then `python -m services.stack.check` to see why",
            )
        ]
    version, java_error = str(found.get("java_version", "")), str(found.get("java_error", ""))
    java = Check(name="Java", health=Health.OK, found=f"{version} starts")
    if not version:
        java = Check(
            name="Java",
            health=Health.FAIL,
            found=java_error or "the Java runtime does not start",
            advice="unset MMREC_JAVA_HOME or name a Java 17 or later in it, then run `make setup`",
        )
    missing, number = list(found.get("missing_jars", [])), int(found.get("num_jars", 0))
    jars = Check(name="Java archives", health=Health.OK, found=f"{number} complete, checksums hold")
    if missing:
        jars = Check(
            name="Java archives",
            health=Health.FAIL,
            found=f"{len(missing)} of {number} missing or damaged: {few(missing)}",
            advice="run `make setup` with a network; what is there is kept",
        )
    machine_error = str(found.get("machine_error", ""))
    machine = [Check(name="machine", health=Health.FAIL, found=machine_error)] if machine_error else []
    return [java, jars, *machine]


def check_disk(folder: Path) -> Check:
    """Free space where the stack keeps its state."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    enough = free >= DISK_BYTES
    return Check(
        name="disk",
        health=Health.OK if enough else Health.WARN,
        found=f"{free / 1024**3:.1f} GiB free at {place}",
        advice="" if enough else f"{DISK_BYTES // 1024**3} GiB are comfortable; free some, or set MMREC_HOME elsewhere",
    )


def check_memory() -> Check:
    """Memory that programs could still take."""
    memory = psutil.virtual_memory()
    enough = memory.available >= MEMORY_BYTES
    return Check(
        name="memory",
        health=Health.OK if enough else Health.WARN,
        found=f"{memory.available / 1024**3:.1f} of {memory.total / 1024**3:.1f} GiB available",
        advice="" if enough else f"{MEMORY_BYTES // 1024**3} GiB are comfortable; end other programs",
    )


def check_data(data_folder: str) -> Check:
    """The folder of public data sets; only data sets need it, so having none is fine."""
    if not data_folder:
        return Check(
            name="data sets", health=Health.OK, found="MMREC_DATA_DIR is not set; only `--dataset movielens` needs it"
        )
    folder = Path(data_folder).expanduser()
    if folder.is_dir():
        names = sorted(p.name for p in folder.iterdir() if p.is_dir())
        return Check(name="data sets", health=Health.OK, found=f"{folder}: {few(names) or 'no folder in it'}")
    return Check(
        name="data sets",
        health=Health.WARN,
        found=f"MMREC_DATA_DIR is {folder}, which does not exist",
        advice="only `--dataset movielens` needs it; name the folder that holds movielens_small_posters/, or unset it",
    )


def check_stack(home: StackHome, settings: Settings | None, *, now_s: float) -> Check:
    """Whether a stack runs, and whether all its programs are healthy."""
    record = read_record(home)
    if record is None:
        return Check(name="stack", health=Health.OK, found=f"none runs in {home.folder}")
    if not record.is_alive:
        return Check(
            name="stack",
            health=Health.WARN,
            found=f"the one in {home.folder} was killed",
            advice="`mmrec down` clears what is left",
        )
    unwell = [f"{p.name} is {p.state}" for p in record.programs if p.state not in ("ready", "done")]
    restarted = [f"{p.name} was restarted {p.restarts} times" for p in record.programs if p.restarts]
    status = read_status(settings.stores.status) if settings else {}
    silent = [n for n, f in status.items() if now_s - float(f.get("updated_s", 0.0)) > STATUS_AGE_S]
    notes = [*unwell, *restarted, *(f"{name} does not write its counters" for name in silent)]
    if notes:
        return Check(
            name="stack", health=Health.WARN, found=few(notes), advice="see `mmrec status` and `mmrec logs NAME`"
        )
    return Check(name="stack", health=Health.OK, found=f"all {len(record.programs)} programs are well")


def check_forgetting(settings: Settings | None) -> list[Check]:
    """Requests to forget without a complete receipt, where there are any."""
    number = num_pending(open_objects(settings.stores, "event_log")) if settings else 0
    if not number:
        return []
    found = f"{number} requests to forget have no complete receipt"
    return [
        Check(name="forgetting", health=Health.WARN, found=found, advice="run `mmrec forget` for those users again")
    ]


def diagnose(home: StackHome, *, runtime: Mapping[str, Any], lock: Path, data_folder: str, now_s: float) -> list[Check]:
    """All checks, in the order a person would make them.

    Args:
        home: The stack's folder.
        runtime: What services.stack.check printed.
        lock: requirements.lock of this installation.
        data_folder: What MMREC_DATA_DIR names; empty where it is not set.
    """
    stack = running_stack(home)
    settings = load_settings(home.config) if stack else None
    return [
        check_python(),
        check_packages(lock),
        *check_runtime(runtime),
        check_disk(home.folder),
        check_memory(),
        *check_ports(settings, stack),
        check_stack(home, settings, now_s=now_s),
        check_addresses(stack),
        *check_forgetting(settings),
        check_data(data_folder),
    ]


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
