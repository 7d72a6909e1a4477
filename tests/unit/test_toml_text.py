"""TOML: what is written is read back, and a key's line is found."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.errors import ConfigurationError
from mmrec.wire.toml_text import line_of, parse_toml, toml_text

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(["", "one line", "two\nlines"]))
def test_what_is_written_is_read_back_whatever_stands_above_it(document: dict, header: str) -> None:
    text = toml_text(document, header=header)
    assert tomllib.loads(text) == document
    assert [line for line in text.splitlines()[:2] if line.startswith("# ")] == [f"# {h}" for h in header.splitlines()]


def test_each_entry_of_a_list_of_tables_has_a_block_of_its_own() -> None:
    text = toml_text(
        {"stores": {"content": "a"}, "behaviors": [{"name": "browse"}, {"name": "cart", "more": {"x": 1}}]}
    )
    assert text.split("\n") == [
        *("[stores]", 'content = "a"', "", "[[behaviors]]", 'name = "browse"', ""),
        *("[[behaviors]]", 'name = "cart"', "", "[behaviors.more]", "x = 1", ""),
    ]


TEXT = '''# b = 1
top = "a.b"
[a]
text = """
b = 1
"""
b = 2
list = [
  1,
]
"quoted key" = 3
[[c]]
b = 1
[[c]]
x = 1
b = { deep = 4 }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), 3),
        (("a", "b"), 7),
        (("a", "list", 0), 8),
        (("a", "quoted key"), 11),
        (("c",), 12),
        (("c", 0, "b"), 13),
        (("c", 1), 12),
        (("c", 1, "b"), 16),
        (("c", 1, "b", "deep"), 16),
        (("nowhere",), None),
        (("a", "b", "c"), None),
        ((), None),
    ],
)
def test_the_line_of_a_key_is_that_at_which_its_value_begins(path: tuple, line: int | None) -> None:
    assert line_of(TEXT, path) == line


def test_text_that_is_no_toml_is_named_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"mine is no TOML: .*line 2"):
        parse_toml("a = 1\nb = ]\n", where="mine")
