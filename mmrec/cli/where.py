"""Filters and contexts as a command line gives them: what is written after --where and --context."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.errors import InvalidRequestError
from mmrec.v1 import recommender_pb2
from mmrec.wire.instants import parse_time

_COMPARED: Final = re.compile(r"(?s)(.+?)(>=|<=|!=|&=|=|<)(.+)")
_KINDS: Final = {
    "=": recommender_pb2.CONDITION_KIND_ANY,
    "&=": recommender_pb2.CONDITION_KIND_ALL,
    "!=": recommender_pb2.CONDITION_KIND_NONE,
}
_FORMS: Final = (
    "attribute=value, attribute!=value, attribute&=value, attribute>=number, attribute<=number, price>=number, "
    "price<=number, published>=instant, published<instant, shown>=instant, domain=name or stock=any, such as color=red"
)
Setting = Callable[[recommender_pb2.AttributeFilter, str], None]


def attribute_filter(conditions: Sequence[str]) -> recommender_pb2.AttributeFilter:
    """The filter that all conditions together make; see `_FORMS`.

    Several values of one attribute after "=" mean any of them, after "&=" all of them, after "!=" none of them.

    Raises:
        InvalidRequestError: one is not written so.
    """
    made = recommender_pb2.AttributeFilter()
    for condition in conditions:
        compared = _COMPARED.fullmatch(condition)
        if compared is None:
            raise InvalidRequestError(f"--where is {condition!r}; give {_FORMS}")
        name, comparison, value = compared.groups()
        if (setting := _OWN.get(name + comparison)) is not None:
            setting(made, value)
        elif comparison in _KINDS:
            _alternatives(made, name, _KINDS[comparison]).values.append(value)
        elif comparison != "<" and name not in ("published", "shown"):
            _bound(made, name, comparison, value)
        else:
            raise InvalidRequestError(f"--where is {condition!r}; give {_FORMS}")
    return made


def asked_context(entries: Sequence[str]) -> dict[str, str]:
    """The context that "name=value" entries make; InvalidRequestError where one is not written so."""
    context = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        if not name or not value:
            raise InvalidRequestError(f"--context is {entry!r}; give name=value, such as country=SE")
        context[name] = value
    return context


def _alternatives(
    made: recommender_pb2.AttributeFilter, attribute: str, kind: "recommender_pb2.ConditionKind"
) -> recommender_pb2.AttributeCondition:
    same = [each for each in made.conditions if (each.attribute, each.kind) == (attribute, kind)]
    found: recommender_pb2.AttributeCondition = same[0] if same else made.conditions.add(attribute=attribute, kind=kind)
    return found


def _bound(made: recommender_pb2.AttributeFilter, attribute: str, comparison: str, value: str) -> None:
    ranges = [each for each in made.numbers if each.attribute == attribute]
    numbers = ranges[0] if ranges else made.numbers.add(attribute=attribute)
    if comparison == ">=":
        numbers.min = _number(value)
    else:
        numbers.max = _number(value)


def _price_min(made: recommender_pb2.AttributeFilter, value: str) -> None:
    made.price_min = _number(value)


def _price_max(made: recommender_pb2.AttributeFilter, value: str) -> None:
    made.price_max = _number(value)


def _domain(made: recommender_pb2.AttributeFilter, value: str) -> None:
    made.domain = value


def _stock(made: recommender_pb2.AttributeFilter, value: str) -> None:
    if value != "any":
        raise InvalidRequestError(f"--where is 'stock={value}'; give stock=any for items out of stock, too")
    made.includes_out_of_stock = True


def _instant_of(field: str) -> Setting:
    def put(made: recommender_pb2.AttributeFilter, value: str) -> None:
        instant: Timestamp = getattr(made, field)
        time_s = parse_time(value if "T" in value else f"{value}T00:00:00Z")
        if time_s is None:
            raise InvalidRequestError(
                f"--where has the instant {value!r}; give a day or RFC 3339, such as 2026-01-31 or 2026-01-31T12:00:00Z"
            )
        instant.FromMicroseconds(round(time_s * 1e6))

    return put


_OWN: Final[dict[str, Setting]] = {
    "price>=": _price_min,
    "price<=": _price_max,
    "published>=": _instant_of("published_after"),
    "published<": _instant_of("published_before"),
    "shown>=": _instant_of("shown_until"),
    "domain=": _domain,
    "stock=": _stock,
}
"""What items have beside attributes."""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidRequestError(f"--where has the bound {text!r}; give a number, such as 13.5") from None
