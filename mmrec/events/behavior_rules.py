"""Which behavior a row of a file is: `--behavior view=browse`, `--behavior 'rating>=4=like'`, in one grammar.

    RULE        NAME=BEHAVIOR             a name in the file's column of behaviors
                COLUMN OP VALUE=BEHAVIOR  a condition on a column, OP one of >= <= > < == !=
    NAME        any text; one with an operator in it stands in double quotes: "a>b"=browse
    VALUE       a number; for == and != any text as well

The behavior stands after the last "=". Every condition that a row meets gives an event of its own, so that
`rating>0=watch` and `rating>=4=like` make a well rated film watched and liked.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mmrec.errors import InvalidRequestError
from mmrec.wire.documents import JSON_NUMBER

_CONDITION: Final = re.compile(r"\s*(?P<column>[^<>=!]*?)\s*(?P<sign>>=|<=|==|!=|<>|=>|=<|>|<)\s*(?P<value>.*?)\s*")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    **{">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt},
    **{"==": operator.eq, "!=": operator.ne},
}
_SIGNS: Final = re.compile(r"[<>!]|==|=>|=<")


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with a value."""

    text: str
    """As it was given; the name under which its events are known."""
    column: str
    sign: str
    value: str

    def is_met(self, cell: Any) -> bool:
        """Whether a row's cell meets it; an empty one meets none, a text no comparison of size."""
        if cell is None or cell == "":
            return False
        number, wanted = _number(cell), _number(self.value)
        if number is not None and wanted is not None:
            return _COMPARE[self.sign](number, wanted)
        return self.sign in ("==", "!=") and _COMPARE[self.sign](str(cell).strip(), self.value)


def parse_behaviors(options: Sequence[str] | None) -> dict[str, str]:
    """Rules as a table: behavior by name or condition.

    Raises:
        InvalidRequestError: one is no rule, or a name or condition is given two behaviors.
    """
    table: dict[str, str] = {}
    for option in options or ():
        name, equals, behavior = option.rpartition("=")
        name, behavior = name.strip(), behavior.strip()
        if not (name and equals and behavior) or behavior[0] in "<>=!":
            raise InvalidRequestError(
                f"--behavior {option!r} is no NAME=BEHAVIOR and no CONDITION=BEHAVIOR; give one such as view=browse or "
                f"'rating>=4=like'"
            )
        if condition_of(name) is None:
            name = _unquoted(name)
        if table.setdefault(name, behavior) != behavior:
            raise InvalidRequestError(f"--behavior says both {name}={table[name]} and {option}; give one")
    return table


def condition_of(name: str) -> Condition | None:
    """The condition that a rule's left side is; None where it is a name.

    Raises:
        InvalidRequestError: it has an operator and is no condition.
    """
    if name != _unquoted(name) or not _SIGNS.search(name):
        return None
    match = _CONDITION.fullmatch(name)
    column, sign, value = (match["column"], match["sign"], match["value"]) if match else ("", "", "")
    if not column or sign not in _COMPARE or not value or _SIGNS.search(value):
        raise InvalidRequestError(
            f"--behavior {name!r}: this is no COLUMN OP VALUE with one of {' '.join(_COMPARE)}; give one such as "
            f"'rating>=4=like', or, where it is a name, put it in double quotes"
        )
    if sign not in ("==", "!=") and _number(value) is None:
        raise InvalidRequestError(
            f"--behavior {name!r}: {value!r} is no number, and {sign} compares numbers; give one such as 4 or 3.5"
        )
    return Condition(name, column, sign, _unquoted(value))


def conditions_of(names: Iterable[str]) -> tuple[Condition, ...]:
    """The conditions among the names of a table of rules."""
    return tuple(condition for name in names if (condition := condition_of(name)) is not None)


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == '"' else name


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip()
    if "," in text and "." not in text:
        text = text.replace(",", ".")
    return float(text) if JSON_NUMBER.fullmatch(text) else None
