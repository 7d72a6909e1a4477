"""mmrec/METHODS.md and the code name the same methods: every id that code cites, every place that the page gives."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "mmrec" / "METHODS.md"
ROOMS = ("mmrec", "jobs", "services", "feature_repo", "tests")
STATES = ("built", "in part", "not yet")
CITATION = re.compile(r"\bM[1-9]\d*\b")
PLACE = re.compile(r"`([\w/]+\.py)(?:::([\w.]+))?`")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One entry of the page."""

    number: int
    name: str
    room: str
    state: str
    """One of STATES; empty where the entry says none of them."""
    places: tuple[tuple[str, str], ...]
    """(file, name within it), the name empty where the file as a whole is meant."""
    text: str

    @property
    def id(self) -> str:
        return f"M{self.number}"


def entries(page: str) -> Iterator[Method]:
    """Methods in the order of the page."""
    room = ""
    for section in re.split(r"^(?=##+ )", page, flags=re.MULTILINE):
        heading, _, body = section.partition("\n")
        if heading.startswith("## "):
            room = heading.removeprefix("## ")
        elif found := re.fullmatch(r"### M(\d+) (.+)", heading):
            state = re.search(rf"^- In the code: ({'|'.join(STATES)})\b", body, flags=re.MULTILINE)
            yield Method(
                number=int(found[1]),
                name=found[2],
                room=room,
                state=state[1] if state else "",
                places=tuple(PLACE.findall(body)),
                text=body,
            )


METHODS = tuple(entries(PAGE.read_text(encoding="utf-8")))


@cache
def citations() -> dict[str, set[str]]:
    """Method id -> files of the repository that cite it."""
    found: dict[str, set[str]] = {}
    for path in sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        if path.is_relative_to(ROOT / "mmrec" / "v1"):
            continue
        for method_id in CITATION.findall(path.read_text(encoding="utf-8")):
            found.setdefault(method_id, set()).add(path.relative_to(ROOT).as_posix())
    return found


def has_name(file: Path, dotted: str) -> bool:
    """Whether a module defines a function, class or constant; "Class.member" looks into the class."""
    scope: ast.Module | ast.ClassDef | None = ast.parse(file.read_text(encoding="utf-8"))
    *owners, last = dotted.split(".")
    for owner in owners:
        body = scope.body if scope is not None else []
        scope = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == owner), None)
    return scope is not None and any(last in _defined(node) for node in scope.body)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_ids_are_unique_ascend_within_a_room_and_leave_no_gap() -> None:
    assert sorted(method.number for method in METHODS) == list(range(1, len(METHODS) + 1))
    falling = [(a.id, b.id) for a, b in pairwise(METHODS) if a.room == b.room and a.number >= b.number]
    assert falling == []
    assert all(method.room for method in METHODS)


def test_the_table_of_contents_says_what_the_entries_say() -> None:
    row = re.compile(r"^\| \[(M\d+)\]\(#([\w-]+)\) \| (.+?) \| (\w+) \| (.+?) \|$", flags=re.MULTILINE)
    expected = [
        (m.id, re.sub(r"[^\w -]", "", f"{m.id} {m.name}".lower()).replace(" ", "-"), m.name, m.room, m.state)
        for m in sorted(METHODS, key=lambda method: method.number)
    ]
    assert row.findall(PAGE.read_text(encoding="utf-8")) == expected


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.id)
def test_an_entry_names_its_source_its_state_and_the_places_that_exist(method: Method) -> None:
    assert method.state in STATES
    assert re.search(r"^- Source: \S", method.text, flags=re.MULTILINE)
    if method.state != "not yet":
        assert method.places, "a method that is built names where"
    if method.state == "in part":
        assert re.search(r"^- In the code: in part: \S", method.text, flags=re.MULTILINE), "say what is missing"
    missing = [file for file, _ in method.places if not (ROOT / file).is_file()]
    assert missing == []
    assert [f"{file}::{name}" for file, name in method.places if name and not has_name(ROOT / file, name)] == []


def test_every_id_that_code_cites_is_on_the_page() -> None:
    known = {method.id for method in METHODS}
    assert {method_id: files for method_id, files in citations().items() if method_id not in known} == {}


@pytest.mark.parametrize("method", [m for m in METHODS if m.state != "not yet"], ids=lambda method: method.id)
def test_what_is_built_is_cited_where_the_page_says_it_is(method: Method) -> None:
    assert {file for file, _ in method.places} & citations().get(method.id, set())


def test_what_is_not_built_is_not_cited() -> None:
    assert {m.id: citations()[m.id] for m in METHODS if m.state == "not yet" and m.id in citations()} == {}


def test_an_entry_is_read_with_its_room_its_state_and_its_places() -> None:
    first = "### M1 One\n- In the code: in part: no two. `a/b.py::C.d`,\n  `a/e.py`\n"
    one, two = entries(f"## here\n{first}### M2 Two\n- In the code: maybe.\n")
    assert (one.id, one.name, one.room, one.state) == ("M1", "One", "here", "in part")
    assert one.places == (("a/b.py", "C.d"), ("a/e.py", ""))
    assert (two.room, two.state, two.places) == ("here", "", ())


def test_a_name_is_found_in_its_module_or_class_and_nowhere_else() -> None:
    here = Path(__file__)
    assert has_name(here, "Method.room") and has_name(here, "Method.id") and has_name(here, "has_name")
    assert not has_name(here, "Method.has_name") and not has_name(here, "room") and not has_name(here, "Other.room")
