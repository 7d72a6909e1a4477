"""The versions of Python that are supported are named alike everywhere, and make takes one that runs."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mmrec.cli.checks import Health
from mmrec.cli.doctor import NEWEST_PYTHON, OLDEST_PYTHON, check_python

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SUPPORTED = [f"3.{minor}" for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1)]


def make(target: str, *variables: str, path: str = os.environ["PATH"]) -> "subprocess.CompletedProcess[str]":
    """Run make in the current folder; `chosen` prints which versions it supports and which Python it would take."""
    command = [
        "make",
        "--silent",
        f"--makefile={ROOT / 'Makefile'}",
        "--eval=chosen: ; @echo $(PYTHONS); echo $(PYTHON)",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON" and "MAKE" not in name}
    return subprocess.run(
        [*command, target, *variables], env={**environment, "PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no environment is yet."""
    monkeypatch.chdir(tmp_path)


def test_all_places_name_the_same_versions() -> None:
    oldest, newest = SUPPORTED[0], f"3.{NEWEST_PYTHON[1] + 1}"
    assert PROJECT["project"]["requires-python"] == f">={oldest},<{newest}"
    classifiers = PROJECT["project"]["classifiers"]
    assert [name.rpartition(" ")[2] for name in classifiers if ":: Python :: 3." in name] == SUPPORTED
    assert make("chosen").stdout.splitlines()[0].split() == SUPPORTED[::-1]
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    with (ROOT / "requirements.lock").open(encoding="utf-8") as lock:
        assert f"--universal --python-version {oldest} " in [next(lock), next(lock)][1]


@pytest.mark.parametrize("version", ["3.11.0", "3.12.1", "3.13.9"])
def test_the_doctor_takes_every_supported_version(version: str) -> None:
    assert check_python(version).health is Health.OK


@pytest.mark.parametrize("version", ["3.10.13", "3.14.0"])
def test_the_doctor_names_the_range_where_the_version_is_outside(version: str) -> None:
    check = check_python(version)
    assert (check.health, check.found) == (Health.FAIL, f"{version} at {sys.executable}")
    assert "use Python 3.11 to 3.13" in check.advice


def test_make_takes_the_newest_that_runs(tmp_path: Path) -> None:
    (tmp_path / "python3.13").write_text("#!/bin/sh\necho no such command >&2\nexit 127\n")  # as pyenv leaves them
    (tmp_path / "python3.13").chmod(0o755)
    for name in ("python3.12", "python3.11"):
        (tmp_path / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (tmp_path / name).chmod(0o755)
    said = make("chosen", path=f"{tmp_path}:/usr/bin:/bin")
    assert (said.stdout.splitlines()[1], said.stderr) == (str(tmp_path / "python3.12"), "")


def test_make_takes_the_python_it_is_given() -> None:
    assert make("chosen", "PYTHON=/opt/python").stdout.splitlines()[1] == "/opt/python"


@pytest.mark.parametrize("target", [".boot/bin/uv", ".venv/bin/python"])
def test_make_refuses_another_version_by_range_version_and_path(target: str, tmp_path: Path) -> None:
    said = make(target, "PYTHONS=3.99 3.98", f"PYTHON={sys.executable}")
    version = ".".join(map(str, sys.version_info[:3]))
    assert said.returncode != 0
    assert said.stderr.startswith(f"mmrec needs Python 3.98 to 3.99, found {version} at {sys.executable}; install")
    assert list(tmp_path.iterdir()) == []


def test_make_says_which_python_does_not_run() -> None:
    said = make(".boot/bin/uv", "PYTHON=/nowhere/python3.13")
    assert "mmrec needs Python 3.11 to 3.13, but /nowhere/python3.13 does not run; install one" in said.stderr


def test_an_environment_is_not_kept_in_silence_where_another_python_is_asked_for(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], check=True)
    assert make("same-python", f"PYTHON={sys.executable}").returncode == 0
    (tmp_path / "other").write_text("#!/bin/sh\necho 3.98\n")
    (tmp_path / "other").chmod(0o755)
    said = make("same-python", "PYTHON=./other")
    assert said.returncode != 0
    assert "remove .venv first" in said.stderr
