"""Values that people give: one declaration, whichever way they come."""

import argparse
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import Meta

from mmrec.errors import ConfigurationError, SettingError
from mmrec.wire.declared import (
    Address,
    AddressOrNone,
    AtLeastOne,
    Count,
    Name,
    NotNegative,
    NotNegativeOrEndless,
    Port,
    Positive,
    Share,
    argument,
    build,
    check,
    describe,
    given,
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    size: AtLeastOne
    share: Share = 0.5
    kind: Literal["petrol", "steam"] = "steam"
    gears: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (1.0,)

    def __post_init__(self) -> None:
        check(self, "engine")
        if self.kind == "steam" and self.size > 9:
            raise SettingError(("engine", "size"), f"is {self.size} and kind is steam; give 9 at most")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (str, "a text"),
        (Name, "a text that is not empty"),
        (Count, "a whole number of 0 or more"),
        (Port, "a whole number from 1 to 65,535"),
        (float, "a number"),
        (Positive, "a number above 0"),
        (NotNegative, "a number of 0 or more"),
        (NotNegativeOrEndless, "a number of 0 or more, or inf"),
        (Share, "a number from 0 to 1"),
        (Annotated[float, Meta(ge=0, lt=1)], "a number of 0 or more and below 1"),
        (Literal["sqlite", "redis"], '"redis" or "sqlite"'),
        (Annotated[tuple[Positive, ...], Meta(min_length=1)], "a list of 1 or more, each of it a number above 0"),
        (Mapping[str, tuple[str, ...]], "a table, each value of it a list, each of it a text"),
        (Address, "host:port"),
    ],
)
def test_a_declaration_reads_as_words(kind: Any, words: str) -> None:
    assert describe(kind) == words


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"size": 0}, "a.size is 0; give a whole number of 1 or more"),
        ({"size": True}, "a.size is True; give a whole number"),
        ({"size": 1.0}, "a.size is 1.0; give a whole number"),
        ({"size": 1, "share": 1.01}, "a.share is 1.01; give a number from 0 to 1"),
        ({"size": 1, "share": float("nan")}, "a.share is nan; give a number from 0 to 1"),
        ({"size": 1, "share": "1"}, "a.share is '1'; give a number"),
        ({"size": 1, "kind": "stean"}, 'a.kind is \'stean\'; give "petrol" or "steam"'),
        ({"size": 1, "gears": []}, "a.gears is []; give a list of 1 or more"),
        ({"size": 1, "gears": [1, -1]}, "a.gears[1] is -1; give a number above 0"),
        ({"size": 1, "gears": [1, float("inf")]}, "a.gears[1] is inf; give a finite number"),
        ({"size": 1, "gears": 3}, "a.gears is 3; give a list"),
        ({"size": 10}, "a.size is 10 and kind is steam; give 9 at most"),
        ({"sise": 1}, "a.sise is not a known name; did you mean 'size'? known: gears, kind, share, size"),
        ({}, "a.size is not there; give a whole number of 1 or more"),
        ([1], "a is [1]; give a table"),
    ],
)
def test_what_a_table_has_wrong_is_named_with_what_would_be_right(table: Any, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        build(Engine, table, at=("a",))
    assert str(caught.value).startswith(said)


def test_what_is_built_in_code_is_held_to_the_same() -> None:
    with pytest.raises(ConfigurationError, match=r"engine\.kind is 'stean'; give"):
        Engine(size=1, kind="stean")


@for_all(st.integers() | st.floats() | st.booleans() | st.text() | st.lists(st.integers()) | st.none())
def test_a_built_dataclass_holds_what_it_declares_whatever_came(value: Any) -> None:
    for name in ("size", "share", "kind", "gears"):
        try:
            built = build(Engine, {"size": 1, name: value}, at=())
        except SettingError as error:
            assert str(error).startswith(name)
            continue
        check(built, "engine")
        assert isinstance(built.size, int)
        assert 0 <= built.share <= 1
        assert all(0 < gear < float("inf") for gear in built.gears)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(AtLeastOne, "4", 4), (NotNegative, "0.5", 0.5), (bool, "1", True), (bool, "0", False), (Name, "a", "a")],
)
def test_text_of_the_environment_becomes_the_declared_type(kind: Any, text: str, value: Any) -> None:
    found = given(kind, "MMREC_X", text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("kind", "text"), [(Port, "0"), (Port, "http"), (bool, "yes"), (Share, "nan"), (Count, "")])
def test_text_that_is_none_is_refused_by_the_variables_name(kind: Any, text: str) -> None:
    with pytest.raises(SettingError, match=f"MMREC_X is '{text}'; give "):
        given(kind, "MMREC_X", text)


def test_a_refused_option_ends_the_program_with_what_would_be_right(capsys: pytest.CaptureFixture) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=argument(AtLeastOne))
    assert parser.parse_args(["--workers", "2"]).workers == 2
    with pytest.raises(SystemExit):
        parser.parse_args(["--workers", "0"])
    assert "argument --workers: is '0'; give a whole number of 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ("jobs.tend_log", "--follow", "-1"),
        ("jobs.build_examples", "--out", "x", "--label-window-s", "-1"),
        ("jobs.build_examples", "--out", "x", "--towers-fraction", "1.5"),
        ("services.stack.kafka_broker", "--folder", "x", "--port", "99999"),
    ],
)
def test_options_of_the_programs_are_held_to_their_declarations(command: tuple[str, ...]) -> None:
    program = [sys.executable, "-m", *command]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"argument {command[-2]}: is '{command[-1]}'; give " in ended.stderr


@pytest.mark.parametrize("text", ["a:1", "a.b:65535", "[::1]:80", "0.0.0.0:18500"])
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    assert given(Address, "x", text) == text


@pytest.mark.parametrize(
    "text", ["", "a", "a:0", "a:65536", "a:080", ":80", "a b:80", "a:8\n", "http://a:80", "a:b:80"]
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(SettingError, match="host:port"):
        given(Address, "x", text)
    assert text or given(AddressOrNone, "x", text) == ""


def test_an_error_crosses_processes_whole() -> None:
    error = SettingError(("a", 1, "b"), "is 0; give 1")
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.path, other.what) == ("a[1].b is 0; give 1", ("a", 1, "b"), "is 0; give 1")
