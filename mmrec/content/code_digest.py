"""What a piece of code does, as a hash: the function or class and all that it refers to in its own package and in ours.

    code_digest(minilm)         as long as this is the same, the same bytes come out the same

Comments, docstrings, annotations and the look of the source do not count, nor does what the code does not reach: an
encoder's vectors are kept when its neighbor in the file changes. Other packages count by name, not by version.
"""

import ast
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mmrec.errors import InvalidRequestError

_OURS: Final = "mmrec"
_LAMBDA: Final = "<lambda>"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One module: what its top level defines, where its other names come from, and what it does on import."""

    definitions: Mapping[str, tuple[ast.stmt, ...]]
    imports: Mapping[str, tuple[str, str]]
    """Local name -> (module, name in it)."""
    effects: tuple[ast.stmt, ...]
    """Statements that define no name, such as a setting of a library."""
    lambdas: Mapping[int, tuple[ast.Lambda, ...]]
    """First line -> functions without a name."""


def code_digest(made_by: Callable[..., Any]) -> str:
    """sha256 in hex over reached_code().

    Raises:
        InvalidRequestError: it is neither function, class nor partial, or its source is not at hand.
    """
    parts = [f"{place}\0{text}" for place, text in sorted(reached_code(made_by).items())]
    return sha256("\0".join(parts).encode()).hexdigest()


def reached_code(made_by: Callable[..., Any]) -> dict[str, str]:
    """Place ("module:name") -> source text, of a function, class or partial and of all of the project that it reaches.

    Raises:
        InvalidRequestError: it is something else, or its source is not at hand.
    """
    bound: list[str] = []
    while isinstance(made_by, partial):
        bound += [repr(made_by.args), repr(sorted(made_by.keywords.items()))]
        made_by = made_by.func
    module, name = getattr(made_by, "__module__", ""), getattr(made_by, "__qualname__", "").partition(".")[0]
    if not module or not name:
        raise InvalidRequestError(f"{made_by!r} has no code of its own; give a function, a class or a partial of one")
    if name == _LAMBDA:
        found = _source(module).lambdas.get(made_by.__code__.co_firstlineno, ())
        texts = dict(_reached(module, found, seen=set()))
        texts[f"{module}:{_LAMBDA}"] = "\n".join(ast.unparse(each) for each in found)
    else:
        texts = dict(_named(module, name, seen=set()))
    return {**texts, **({"partial": "\n".join(bound)} if bound else {})}


def _named(module: str, name: str, *, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(place, source text) of a name of a module and of what it reaches."""
    if (module, name) in seen:
        return
    seen.add((module, name))
    source = _source(module)
    nodes = source.definitions.get(name, ())
    if not nodes:
        if name in source.imports:  # handed on by a module that took it from another
            yield from _imported(source.imports[name], of=module, seen=seen)
        return
    yield f"{module}:{name}", "\n".join(ast.unparse(node) for node in nodes)
    if source.effects:
        yield f"{module}:", "\n".join(ast.unparse(node) for node in source.effects)
    yield from _reached(module, nodes, seen=seen)


def _reached(module: str, nodes: tuple[ast.AST, ...], *, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    source = _source(module)
    names = {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}
    for name in sorted(names):
        if name in source.definitions:
            yield from _named(module, name, seen=seen)
        elif name in source.imports:
            yield from _imported(source.imports[name], of=module, seen=seen)


def _imported(place: tuple[str, str], *, of: str, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    module, name = place
    if module.partition(".")[0] in {_OURS, of.partition(".")[0]}:
        yield from _named(module, name, seen=seen)
    else:
        yield f"{module}:{name}", ""


@lru_cache(maxsize=256)
def _source(module: str) -> _Source:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise InvalidRequestError(f"module {module!r} has no source to tell its code apart by; install it from files")
    tree = _Bare().visit(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    definitions: dict[str, tuple[ast.stmt, ...]] = {}
    effects: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = list(_defined(node))
        for name in names:
            definitions[name] = (*definitions.get(name, ()), node)
        if not names:
            effects.append(node)
    imports = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    lambdas: dict[int, tuple[ast.Lambda, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            lambdas[node.lineno] = (*lambdas.get(node.lineno, ()), node)
    return _Source(definitions=definitions, imports=imports, effects=tuple(effects), lambdas=lambdas)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name


class _Bare(ast.NodeTransformer):
    """Takes off what says nothing about what comes out: docstrings and other bare strings, and annotations."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            # A field of a class: its name counts, its type does not.
            node.annotation = ast.Constant(value=None)
            return node
        target, value = node.target, self.visit(node.value)
        return ast.copy_location(ast.Assign(targets=[target], value=value), node)
