"""Receipts of benchmarks: what was measured, of which commit, on which machine, by which command."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"


def write_receipt(
    name: str,
    figures: dict[str, Any],
    samples: dict[str, Any],
    *,
    packages: tuple[str, ...],
    output: Path | None,
    notes: tuple[str, ...] = (),
) -> Path:
    """Write <name>.json and say where it is; `notes` say what a figure cannot, and why one is missing."""
    receipt = {
        "name": name,
        "command": " ".join(["python -m", _program(f"tests.benchmarks.bench_{name}"), *_arguments()]),
        "commit": commit_now(),
        "machine": {
            "cpu": _cpu(),
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        },
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "figures": figures,
        **({"notes": notes} if notes else {}),
        "samples": samples,
    }
    path = output or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
    return path


def commit_now() -> str:
    """The commit that is measured; with "+changes" where files differ from it."""
    return _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain", "-uno") else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _program(default: str) -> str:
    """The module that was run."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else default


def _arguments() -> list[str]:
    """The command line without places on this machine."""
    return [Path(argument).name if "/" in argument else argument for argument in sys.argv[1:]]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
