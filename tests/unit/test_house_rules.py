"""Rules of the house that a few lines can check: file lengths, and no stand-ins in tests."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_SHELL_DECISIONS = 28
"""Of one module; what decides more belongs to mmrec."""
ROOMS = ("mmrec", "jobs", "services", "feature_repo", "tests")


def _sources() -> list[Path]:
    return [p for room in ROOMS for p in (ROOT / room).rglob("*.py") if p.parent != ROOT / "mmrec" / "v1"]


def test_no_source_file_is_above_500_lines() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in _sources()}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 500} == {}


def _decisions(tree: ast.AST) -> int:
    """Branches, loops, conditions and handlers: what a reader must hold in mind."""
    kinds = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.match_case)
    return sum(isinstance(node, kinds) for node in ast.walk(tree))


def test_shells_take_few_decisions() -> None:
    shells = [p for p in _sources() if p.relative_to(ROOT).parts[0] in ("jobs", "services", "feature_repo")]
    counts = {str(p.relative_to(ROOT)): _decisions(ast.parse(p.read_text())) for p in shells}
    assert {name: n for name, n in counts.items() if n > MAX_SHELL_DECISIONS} == {}


def test_no_test_uses_a_stand_in_for_a_real_part() -> None:
    forbidden = ("unittest" + ".mock", "Magic" + "Mock", "monkeypatch." + "setattr")
    offenders = [str(p.relative_to(ROOT)) for p in _sources() if any(word in p.read_text() for word in forbidden)]
    assert offenders == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [str(p) for p in _sources() if p.name in empty_names] == []
