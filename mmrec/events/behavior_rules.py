"""Which behavior a row of a file is: `--behavior view=browse`, `--behavior 'rating>=4=like'`, in one grammar.

    RULE        NAME=BEHAVIOR             a name in the file's column of behaviors
                COLUMN OP VALUE=BEHAVIOR  a condition on a column, OP one of >= <= > < == !=
    NAME        any text; one with an operator in it stands in double quotes: "a>b"=browse
    VALUE       a number; for == and != any text as well

The behavior stands after the last "=". Every condition that a row meets gives an event of its own, so that
`rating>0=watch` and `rating>=4=like` make a well rated film watched and liked.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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


@dataclass(frozen=True)
class BehaviorRules:
    """What rows are, by name and by condition."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Configured behavior by the name in the file."""
    conditions: Mapping[Condition, str] = field(default_factory=dict)
    """Configured behavior by condition, in the order in which they were given."""

    @cached_property
    def table(self) -> dict[str, str]:
        """Configured behavior by name; conditions by their text, under which readers give their events."""
        return {**self.names, **{condition.text: behavior for condition, behavior in self.conditions.items()}}

    def __bool__(self) -> bool:
        return bool(self.names or self.conditions)

    def after(self, others: "BehaviorRules") -> "BehaviorRules":
        """These rules and those of `others` that these do not say."""
        return BehaviorRules({**others.names, **self.names}, {**others.conditions, **self.conditions})


def parse_behaviors(options: Sequence[str] | None) -> BehaviorRules:
    """Rules as they are given on a command line.

    Raises:
        InvalidRequestError: one is no rule, or a name or condition is given two behaviors.
    """
    names: dict[str, str] = {}
    conditions: dict[Condition, str] = {}
    for option in options or ():
        name, equals, behavior = option.rpartition("=")
        if not (name.strip() and equals and behavior.strip()) or name.rstrip()[-1] in "<>=!":
            raise InvalidRequestError(
                f"--behavior {option!r} is no NAME=BEHAVIOR and no CONDITION=BEHAVIOR; give one such as view=browse or "
                f"'rating>=4=like'"
            )
        condition = condition_of(name.strip())
        if condition is None:
            before = names.setdefault(_unquoted(name), behavior)
        else:
            before = conditions.setdefault(condition, behavior.strip())
        if before not in (behavior, behavior.strip()):
            raise InvalidRequestError(f"--behavior says both {name}={before} and {option}; give one")
    return BehaviorRules(names, conditions)


def condition_of(name: str) -> Condition | None:
    """The condition that a rule's left side is; None where it is a name.

    Raises:
        InvalidRequestError: it has an operator and is no condition.
    """
    if name != _unquoted(name) or not _SIGNS.search(name):
        return None
    match = _CONDITION.fullmatch(name)
    column, sign, value = (match["column"], match["sign"], match["value"]) if match else ("", "", "")
    if not column or sign not in _COMPARE or not value or (value == _unquoted(value) and _SIGNS.search(value)):
        raise InvalidRequestError(
            f"--behavior {name!r}: this is no COLUMN OP VALUE with one of {' '.join(_COMPARE)}; give one such as "
            f"'rating>=4=like', or, where it is a name, put it in double quotes"
        )
    if sign not in ("==", "!=") and _number(value) is None:
        raise InvalidRequestError(
            f"--behavior {name!r}: {value!r} is no number, and {sign} compares numbers; give one such as 4 or 3.5"
        )
    return Condition(name, column, sign, _unquoted(value))


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == '"' else name


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:  # an integer beyond every float, as JSON may have it
            return math.inf if value > 0 else -math.inf
    text = str(value).strip()
    if "," in text and "." not in text:
        text = text.replace(",", ".")
    return float(text) if JSON_NUMBER.fullmatch(text) else None
