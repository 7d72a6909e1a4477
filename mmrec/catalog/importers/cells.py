"""Values of a file's cells as texts of an item: scalars, lists in every spelling, HTML.

cell_text(2011.0) -> "2011"
list_values("['Red', 'Blue']") -> ("Red", "Blue")
without_tags("<p>Soft &amp; warm</p>") -> "Soft &amp; warm"        entities are decoded once, by cleaning
"""

import ast
import datetime
import decimal
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from mmrec.catalog.values import VALUE_SEPARATOR

MAX_LITERAL: Final = 65_536
"""Characters of a Python literal that is read; Python's own parser is not made for more."""
_TAG_NAMES: Final = (
    "a|abbr|article|b|big|blockquote|br|center|code|div|em|font|footer|h[1-6]|head|header|hr|html|body|i|iframe|img|"
    "input|label|li|link|meta|nav|noscript|ol|p|pre|q|s|section|small|span|strike|strong|style|sub|sup|table|tbody|td|"
    "tfoot|th|thead|tr|tt|u|ul|wbr"
)
_ATTRIBUTE: Final = r"""\s+[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+)"""
_HALF: Final = re.compile("[\ud800-\udfff]")
_HIDDEN: Final = re.compile(r"<!--.*?-->|<(script|style)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(rf"</?({_TAG_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
_INLINE: Final = frozenset(
    (
        "a",
        "abbr",
        "b",
        "big",
        "em",
        "font",
        "i",
        "q",
        "s",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "wbr",
    )
)
"""Tags within a word or sentence; they leave no space."""


def cell_text(value: Any) -> str:
    """A scalar as text; "" for what is absent (None, NaN). Lists are joined, see joined()."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list | tuple | set):
        return joined(list_values(value))
    if isinstance(value, Mapping):
        return msgspec.json.encode(value, enc_hook=str).decode("utf-8")
    return str(value)


def is_list(value: Any) -> bool:
    """Whether a cell holds a list, as such or spelled as JSON or as a Python literal."""
    if isinstance(value, str):
        return value[:1] in "[(" and value.strip()[-1:] in ("]", ")") and _literal_list(value) is not None
    return isinstance(value, list | tuple | set)


def list_values(value: Any) -> tuple[str, ...]:
    """The texts of a list, nested ones among them, each once, in their order; a scalar is a list of one."""
    if isinstance(value, str):
        found = _literal_list(value)
        parts = [value] if found is None else list(_leaves(found))
    else:
        parts = list(_leaves(value))
    return tuple(dict.fromkeys(part for each in parts if (part := each.strip())))


def joined(values: tuple[str, ...]) -> str:
    """Values as an attribute holds them; "|" inside of one becomes "/"."""
    return VALUE_SEPARATOR.join(value.replace(VALUE_SEPARATOR, "/") for value in values)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple | set):
        for each in value:
            yield from _leaves(each)
    elif value is not None:
        yield cell_text(value)


def _literal_list(text: str) -> list[Any] | tuple[Any, ...] | None:
    """The list that a text spells; None where it spells none."""
    bare = text.strip()
    if not (bare[:1] == "[" and bare[-1:] == "]") and not (bare[:1] == "(" and bare[-1:] == ")"):
        return None
    try:
        found = msgspec.json.decode(bare)
    except (msgspec.DecodeError, RecursionError):
        found = python_literal(bare)
    return found if isinstance(found, list | tuple) else None


def python_literal(text: str) -> Any:
    """The value of a Python literal; None where the text is none. Nothing of it is run."""
    if len(text) > MAX_LITERAL:
        return None
    try:
        return whole_text(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def whole_text(value: Any) -> Any:
    """A decoded value in which half a surrogate pair, which no text in UTF-8 can hold, is a replacement character."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, list | tuple):
        return [whole_text(each) for each in value]
    if isinstance(value, dict):
        return {whole_text(name): whole_text(each) for name, each in value.items()}
    return value


def has_tags(text: str) -> bool:
    """Whether a text holds HTML tags; "i <3 it" and "a < b" do not."""
    return "<" in text and (_TAG.search(text) is not None or _HIDDEN.search(text) is not None)


def without_tags(text: str) -> str:
    """A text without HTML tags, comments, scripts and styles; tags that begin something new leave a space."""
    shown = _TAG.sub(lambda tag: "" if tag[1].lower() in _INLINE else " ", _HIDDEN.sub(" ", text))
    return " ".join(shown.split())
