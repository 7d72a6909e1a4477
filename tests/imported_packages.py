"""Which packages a program can import, read from its source: for images that hold those and no others.

    packages_of("jobs.score_stream")        {"pyspark", "numpy", ...}

Imports inside functions count too. mmrec/wiring.py opens everything, each in a function of its own, so of that module
the imports of those functions count that the programs' modules name.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("mmrec", "jobs", "services", "feature_repo")
WIRING = "mmrec.wiring"


def packages_of(*programs: str) -> set[str]:
    """Top-level names of all packages that are neither the standard library's nor ours."""
    found, seen, waiting = set[str](), set[tuple[str, str]](), [(program, "") for program in programs]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        for module, name in _imports(*place):
            if module.partition(".")[0] in ROOMS:
                waiting += _places(module, name)
            elif module.partition(".")[0] not in sys.stdlib_module_names:
                found.add(module.partition(".")[0])
    return found


def _places(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Modules that an import of ours loads, and of mmrec.wiring the function that it takes."""
    if name and _file(f"{module}.{name}") is not None:
        yield f"{module}.{name}", ""
    else:
        yield module, name if module == WIRING else ""


@cache
def _imports(module: str, function: str) -> tuple[tuple[str, str], ...]:
    path = _file(module)
    if path is None:
        return ()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes: Iterable[ast.AST] = [tree]
    if module == WIRING:
        used = _used(tree, function)
        skipped = {ast.FunctionDef, ast.AsyncFunctionDef}
        nodes = [n for n in tree.body if type(n) not in skipped or getattr(n, "name", "") in used]
    return tuple(pair for node in nodes for pair in _pairs(node))


def _used(tree: ast.Module, function: str) -> set[str]:
    """The function and those of the same module that it calls, and they."""
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    used, waiting = set[str](), [function]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in used:
            used.add(name)
            waiting += [n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name)]
    return used


def _pairs(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import below a node; those for type checkers alone are left out."""
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from ((node.module, alias.name) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _pairs(child)


def _file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None
