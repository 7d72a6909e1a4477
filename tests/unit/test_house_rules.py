"""Rules of the house that a few lines can check: file lengths, no stand-ins in tests, no patches of libraries."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mmrec.events.columns import RESUBMITTED
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.events.producer import OVERLAY_HEADER

ROOT = Path(__file__).resolve().parents[2]
MAX_FUNCTION_LINES = 60
"""Beside its docstring; what is longer has an idea in it that deserves a name. Tests may be longer stories."""
MAX_SHELL_DECISIONS = 28
"""Of one module; what decides more belongs to mmrec."""
ROOMS = ("mmrec", "jobs", "services", "feature_repo", "tests")
PUBLIC_SETTINGS = frozenset({"ImageFile.LOAD_TRUNCATED_IMAGES"})
"""Attributes of modules that their library says are there to be set."""
KNOWN_PATCHES: dict[str, tuple[str, ...]] = {
    "tests/integration/test_kafka_append.py": ("sender._send_producer_data",),
}
"""File -> assignments that change a library elsewhere than in a module named *insides*; none may be added."""


def _sources() -> list[Path]:
    return [p for room in ROOMS for p in (ROOT / room).rglob("*.py") if p.parent != ROOT / "mmrec" / "v1"]


@cache
def _nodes() -> dict[str, list[ast.AST]]:
    """All nodes of every source file, by its path."""
    return {str(p.relative_to(ROOT)): _parsed(p.read_text(encoding="utf-8")) for p in _sources()}


def _parsed(text: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(text)))


@cache
def _house_attributes() -> frozenset[str]:
    """Private attributes that classes of the project have."""
    return frozenset(name for nodes in _nodes().values() for name in _attributes(nodes) if name.startswith("_"))


def test_no_source_file_is_above_500_lines() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in _sources()}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 500} == {}


def _num_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; a docstring's are not among them, since it is there to be long enough."""
    first = function.body[0]
    is_said = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    said = (first.end_lineno or 0) - first.lineno + 1 if is_said else 0
    return (function.end_lineno or 0) - function.lineno + 1 - said


def _long_functions(nodes: list[ast.AST]) -> dict[str, int]:
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: number for node in functions if (number := _num_lines(node)) > MAX_FUNCTION_LINES}


def test_no_function_is_above_60_lines_beside_its_docstring() -> None:
    assert len(_nodes()) > 300
    ours = {name: nodes for name, nodes in _nodes().items() if not name.startswith("tests/")}
    assert {name: found for name, nodes in ours.items() if (found := _long_functions(nodes))} == {}


def test_lines_of_a_function_are_counted_without_its_docstring() -> None:
    body = "\n".join(["    pass"] * 59)
    for text, found in (
        (f"def f():\n{body}", {}),
        (f"def f():\n{body}\n    pass", {"f": 61}),
        (f'async def f():\n    """One.\n\n    Two.\n    """\n{body}', {}),
        (
            f'class C:\n    def f(self):\n        """One."""\n{body.replace("    ", "        ")}\n        pass',
            {"f": 61},
        ),
    ):
        assert _long_functions(_parsed(text)) == found


def _decisions(tree: ast.AST) -> int:
    """Branches, loops, conditions and handlers: what a reader must hold in mind."""
    kinds = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.match_case)
    return sum(isinstance(node, kinds) for node in ast.walk(tree))


def test_shells_take_few_decisions() -> None:
    shells = [p for p in _sources() if p.relative_to(ROOT).parts[0] in ("jobs", "services", "feature_repo")]
    counts = {str(p.relative_to(ROOT)): _decisions(ast.parse(p.read_text())) for p in shells}
    assert {name: n for name, n in counts.items() if n > MAX_SHELL_DECISIONS} == {}


def _stand_ins(nodes: list[ast.AST]) -> list[str]:
    """Imports of unittest.mock, by whatever name, and pytest's ways to replace an attribute."""
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("unittest.mock")]
        elif isinstance(node, ast.ImportFrom) and node.module in {"unittest", "unittest.mock"}:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if name.startswith("unittest.mock")]
        elif isinstance(node, ast.Attribute) and node.attr in {"setattr", "delattr"}:
            found.append(ast.unparse(node))  # of monkeypatch; environment and folder may be changed
        elif isinstance(node, ast.arg) and node.arg in {"mocker", "mock"}:
            found.append(node.arg)
    return found


def test_no_test_uses_a_stand_in_for_a_real_part() -> None:
    assert {name: found for name, nodes in _nodes().items() if (found := _stand_ins(nodes))} == {}


def _patches(nodes: list[ast.AST], *, house: frozenset[str] = frozenset()) -> list[str]:
    """Targets of assignments that change what another package defined.

    That is an attribute of a name imported from outside the project; an attribute of an object, other than `self`, that
    is given a function; and a private attribute that no class of the project has.

    Args:
        house: Private attributes of classes in other files.
    """
    functions = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    own, foreign = {*_attributes(nodes)}, {*_foreign_names(nodes)}
    found = []
    for target, value in _assignments(nodes):
        if isinstance(target.value, ast.Name) and target.value.id == "self":
            continue
        is_function = (isinstance(value, ast.Name) and value.id in functions) or (
            isinstance(value, ast.Lambda) or (isinstance(value, ast.Call) and ast.unparse(value.func) == "partial")
        )
        is_strange = any(_is_private(name) and name not in own | house for name in _names(target))
        if _root(target) in foreign or (is_function and target.attr not in own) or is_strange:
            found.append(ast.unparse(target))
    return [target for target in found if target not in PUBLIC_SETTINGS]


def _assignments(nodes: list[ast.AST]) -> Iterator[tuple[ast.Attribute, ast.expr]]:
    """(attribute, value) of every assignment to one, setattr() included."""
    for node in nodes:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [pair for target in node.targets for pair in _pairs(target, node.value)]
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and len(node.args) == 3:
            pairs = [(ast.Attribute(value=node.args[0], attr="*", ctx=ast.Store()), node.args[2])]
        yield from ((target, value) for target, value in pairs if isinstance(target, ast.Attribute))


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple):
        return [(target, value)]
    values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
    return list(zip(target.elts, values, strict=True))


def _root(node: ast.expr) -> str:
    """Name that attributes are taken of; empty where it is what a call gave."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _names(node: ast.expr) -> Iterator[str]:
    """Attributes on the way from the root to the target."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            yield node.attr
        node = node.value


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _attributes(nodes: list[ast.AST]) -> Iterator[str]:
    """Attributes that classes of a file have: set on `self`, or named in the class."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            bodies = [n for n in node.body if isinstance(n, ast.Assign | ast.AnnAssign)]
            for part in (each for body in bodies for each in ast.walk(body)):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value  # of __slots__


def _foreign_names(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            modules = [(alias.name, alias.asname or alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(node.module or "", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        yield from (name for module, name in modules if module.split(".")[0] not in ROOMS)


def test_libraries_are_changed_only_in_modules_named_insides() -> None:
    house = _house_attributes()
    elsewhere = {name: nodes for name, nodes in _nodes().items() if "insides" not in Path(name).stem}
    found = {name: tuple(_patches(nodes, house=house)) for name, nodes in elsewhere.items()}
    assert {name: patches for name, patches in found.items() if patches} == KNOWN_PATCHES


def test_the_rule_finds_every_way_to_change_a_library_and_nothing_else() -> None:
    patched = """
import lib
from lib.deep import Part
lib.function = 1
Part.method = other
def go(thing, maker):
    def mine(): ...
    thing.method = mine
    thing.other = lambda: 0
    thing._private = 1
    thing._inner.public, y = 1, 2
    setattr(lib, "x", 1)
"""
    fine = """
import lib
from mmrec.events import codec
class Own:
    after = None
    def __init__(self, function):
        self.call = lambda: 0
        self._mine = function
    def copy(self):
        other = Own(None)
        other._mine, other.size = self._mine, 3
        other.call, other.after = self.call, lambda: 0
        return lib.function(other)
"""
    targets = ["Part.method", "lib.*", "lib.function", "thing._inner.public", "thing._private", "thing.method"]
    assert sorted(_patches(_parsed(patched))) == [*targets, "thing.other"]
    assert _patches(_parsed(fine)) == []


@pytest.mark.parametrize(
    "text", ["from unittest import mock", "import unittest.mock as m", "def t(m): m.setattr(1)", "def t(mocker): ..."]
)
def test_the_rule_finds_stand_ins_however_they_are_named(text: str) -> None:
    assert len(_stand_ins(_parsed(text))) == 1
    assert _stand_ins(_parsed("# unittest.mock and monkeypatch.setattr are not used\nname = 'MagicMock'")) == []


DOCUMENTS = ("README.md", "mmrec/DECISIONS.md", "mmrec/METHODS.md", ".github/CONTRIBUTING.md")
_ROOM = rf"(?<![\w./~-])(?:{'|'.join(ROOMS)})"
MODULE_NAME = re.compile(rf"{_ROOM}(?:\.[A-Za-z_]\w*)+")
FILE_NAME = re.compile(rf"{_ROOM}(?:/[\w.-]+)+(?:\.py\b|/(?![\w<*]))")
FILE_SUFFIXES = frozenset({"json", "md", "proto", "py", "toml"})
"""mmrec.toml is a file, and no module."""
WIRE_NAMES = frozenset({IDENTIFY, FORGET, RESUBMITTED, OVERLAY_HEADER})
"""Behaviors, context entries and headers of the system's own."""


def _prose(text: str) -> Iterator[str]:
    """Docstrings, those of attributes included, and comments of a source file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from (token.string for token in tokens if token.type == tokenize.COMMENT)


@cache
def _defined(module: Path) -> frozenset[str]:
    """Names that a module has at its top."""
    found: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif not isinstance(node, ast.Expr):
            found |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return frozenset(found)


@cache
def _messages() -> frozenset[str]:
    """Messages, enums and services of mmrec.v1."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "proto").rglob("*.proto")]
    return frozenset(re.findall(r"^\s*(?:message|enum|service) (\w+)", "\n".join(texts), re.MULTILINE))


def _is_there(name: str) -> bool:
    """Whether a dotted name leads to a module, or to what one defines."""
    if name in WIRE_NAMES or name.rpartition(".")[2] in FILE_SUFFIXES:
        return True
    place, rest = ROOT, name.split(".")
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if rest and (place / f"{rest[0]}.py").is_file():
        module = place / f"{rest[0]}.py"
        return len(rest) == 1 or rest[1] in _defined(module)
    return not rest or (place == ROOT / "mmrec" / "v1" and rest[0] in _messages())


def _stale(text: str) -> list[str]:
    """Modules and files that a text names and that are not there."""
    modules = [name for name in MODULE_NAME.findall(text) if not _is_there(name)]
    return modules + [name for name in FILE_NAME.findall(text) if not (ROOT / name).exists()]


def test_docstrings_and_comments_name_only_modules_that_are_there() -> None:
    found = {p: _stale("\n".join(_prose(p.read_text(encoding="utf-8")))) for p in _sources()}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_only_modules_that_are_there(name: str) -> None:
    assert _stale((ROOT / name).read_text(encoding="utf-8")) == []


def test_the_rule_finds_stale_names_and_takes_those_that_are_none() -> None:
    stale = "See mmrec.stores.kafka_append, mmrec.wire.shown.showed, mmrec.v1.Nobody, jobs/none.py and tests/none/."
    names = ["mmrec.stores.kafka_append", "mmrec.wire.shown.showed", "mmrec.v1.Nobody", "jobs/none.py", "tests/none/"]
    assert _stale(stale) == names
    fine = "mmrec.toml, mmrec.identify, ~/mmrec/x/, mmrec.wire.shown.shown, mmrec.v1.ServedList, jobs.train, tests/"
    assert _stale(fine) == []
    assert [*_prose("def f():\n    'doc'\nx = 'mmrec.nothing'  # note\n")] == ["doc", "# note"]


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [str(p) for p in _sources() if p.name in empty_names] == []
