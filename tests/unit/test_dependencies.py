"""What is imported is declared, and does not come along with another package by luck."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"mmrec", "jobs", "services", "feature_repo", "tests"}
PROVIDERS = importlib.metadata.packages_distributions()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(requirement: str) -> str:
    """Name of a package as indexes compare it, without extras and version."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>; ]", requirement)[0]).lower()


RUNTIME = {normal(line) for line in PROJECT["project"]["dependencies"]}
DEVELOPMENT = {normal(line) for line in PROJECT["dependency-groups"]["dev"]}


def imported(room: str) -> Iterator[tuple[str, str]]:
    """(package, file) of every import that is neither the standard library's nor ours."""
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for package in {module.partition(".")[0] for module in modules}:
                if package not in sys.stdlib_module_names | OURS:
                    yield package, str(path.relative_to(ROOT))


@pytest.mark.parametrize("room", ["mmrec", "jobs", "services", "feature_repo", "tests"])
def test_every_imported_package_is_declared(room: str) -> None:
    declared = RUNTIME | DEVELOPMENT if room == "tests" else RUNTIME
    found = list(imported(room))
    assert found
    assert [(p, file) for p, file in found if not declared & {normal(name) for name in PROVIDERS.get(p, [])}] == []


def test_every_declared_package_is_installed_as_pinned() -> None:
    for line in [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]:
        if "==" in line:
            assert importlib.metadata.version(normal(line)) == line.partition("==")[2], line
