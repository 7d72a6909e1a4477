"""Checks values that people give against the declarations of a dataclass: type, range, choice, form.

    @dataclass(frozen=True, kw_only=True)
    class KafkaSettings:
        num_partitions: AtLeastOne = 2              the declaration

        def __post_init__(self) -> None:
            check(self, "kafka")

    build(KafkaSettings, {"num_partitions": 4}, at=("kafka",))         from a table of a file
    given(AtLeastOne, "--num-workers", "4")                            from a command line or the environment

All ways go through the same declaration, and all refusals read alike: `kafka.num_partitions is 0; give a whole number
of 1 or more`. Relations between fields are checked in `__post_init__`, after check().
"""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, inspect

from mmrec.errors import SettingError
from mmrec.wire.shown import shown

SECRET: Final = {"secret": True}
"""`Meta(extra=SECRET)`: the value may hold a password, so no message shows it."""
ENDLESS: Final = {"endless": True}
"""`Meta(extra=ENDLESS)`: a number that may be inf."""

NotNegative = Annotated[float, Meta(ge=0)]
NotNegativeOrEndless = Annotated[float, Meta(ge=0, description="a number of 0 or more, or inf", extra=ENDLESS)]
"""For durations: inf stands for ever."""
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
CountOrAll = Annotated[int, Meta(ge=-1)]
"""-1 stands for any number."""
AtLeastOne = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Name = Annotated[str, Meta(min_length=1)]
FilePath = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]*\Z", description="the path of a file, or nothing")]
"""Relative paths of a configuration are taken from the folder of its file."""

_PORT: Final = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
HOST_PORT: Final = rf"(?:\[[0-9A-Fa-f:.%]+\]|[^\s,:/\[\]]+):{_PORT}"
Address = Annotated[str, Meta(pattern=rf"^{HOST_PORT}\Z", description="host:port")]
AddressOrNone = Annotated[str, Meta(pattern=rf"^(?:{HOST_PORT})?\Z", description="host:port, or nothing")]
Addresses = Annotated[
    str, Meta(pattern=rf"^{HOST_PORT}(?:, *{HOST_PORT})*\Z", description="host:port, or several with commas between")
]

SettingPath = tuple[str | int, ...]
"""Keys and positions that lead to a value, such as ("statistics", "half_lives_days", 1)."""


def check(instance: Any, table: str) -> None:
    """Check every field of a dataclass against its declaration.

    Raises:
        SettingError: a value is of another type, out of range, or none of the choices. `table` begins its path.
    """
    cls: Any = type(instance)
    for name, kind in _kinds(cls).items():
        value = getattr(instance, name)
        _converted(value.item() if isinstance(value, np.generic) else value, kind, (table, name))


def build(cls: Any, table: Any, *, at: SettingPath) -> Any:
    """The dataclass `cls` of a table.

    Args:
        table: As read from TOML: lists stand for tuples, whole numbers for numbers. Fields that are dataclasses
            themselves are taken as they are.
        at: Path of the table.

    Raises:
        SettingError: it is no table, has an unknown key or lacks one, or holds a value that the declaration refuses.
    """
    kinds = _kinds(cls)
    if not isinstance(table, dict):
        raise SettingError(at, f"{_shown(table, *kinds.values())}; give a table")
    refuse_unknown(table, [f.name for f in fields(cls)], at=at)
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in needed if name not in table]:
        raise SettingError((*at, lacking[0]), f"is not there; give {describe(kinds[lacking[0]])}")
    values = {n: _converted(value, kinds[n], (*at, n)) if n in kinds else value for n, value in table.items()}
    try:
        return cls(**values)
    except SettingError as error:  # the dataclass knows the table's name, but not which of several it is
        raise SettingError((*at, *error.path[1:]), error.what) from None


def refuse_unknown(table: Mapping[str, Any], known: Iterable[str], *, at: SettingPath) -> None:
    """SettingError where a table has an unknown key; it names the most similar known one."""
    names = sorted(known)
    for key in sorted(set(table) - set(names)):
        near = difflib.get_close_matches(key, names, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise SettingError((*at, key), f"is not a known name; {guess}known: {', '.join(names)}")


def given(kind: Any, what: str, text: str) -> Any:
    """A value of the declared kind from text, such as an environment variable or a command-line option.

    Raises:
        SettingError: it is none.
    """
    return _converted(text, kind, (what,), strict=False)


def argument(kind: Any) -> Callable[[str], Any]:
    """`type=` of an argparse option: a refused value ends the program with what would be right."""
    from argparse import ArgumentTypeError

    def parse(text: str) -> Any:
        try:
            return given(kind, "", text)
        except SettingError as error:
            raise ArgumentTypeError(error.what) from None  # argparse puts the option's name before it

    return parse


def declared(cls: Any, name: str) -> Any:
    """The declared kind of a field, for options that set it."""
    return _kinds(cls)[name]


def describe(kind: Any) -> str:
    """The values of a kind, in words: "a whole number of 1 or more", '"redis" or "sqlite"'."""
    return _in_words(inspect.type_info(kind))


@cache
def _kinds(cls: Any) -> dict[str, Any]:
    """Declared kinds of fields by name, without fields that are dataclasses, which check themselves."""
    hints = get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in fields(cls) if not is_dataclass(hints[f.name])}


def _converted(value: Any, kind: Any, path: SettingPath, *, strict: bool = True) -> Any:
    try:
        found = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        for place, each, of in _parts(value, kind):
            _converted(each, of, (*path, place))  # an entry that is wrong is named, not the whole list
        raise SettingError(path, f"{_shown(value, kind)}; give {describe(kind)}") from None
    for where, number in _numbers(found, path):
        if not math.isfinite(number) and not (number > 0 and says(kind, ENDLESS)):
            raise SettingError(where, f"is {number}; give a finite number")
    return found


def _parts(value: Any, kind: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """Place, value and kind of each entry of a list or table."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) is tuple and isinstance(value, list | tuple):
        yield from ((place, each, get_args(plain)[0]) for place, each in enumerate(value))
    elif get_origin(plain) is Mapping and isinstance(value, Mapping):
        yield from ((str(place), each, get_args(plain)[1]) for place, each in value.items())


def _numbers(found: Any, path: SettingPath) -> Iterator[tuple[SettingPath, float]]:
    if isinstance(found, float):
        yield path, found
    elif isinstance(found, tuple):
        for place, each in enumerate(found):
            yield from _numbers(each, (*path, place))


def _shown(value: Any, *kinds: Any) -> str:
    """What a message says of a refused value: what it is, unless a declaration calls it a secret."""
    if any(says(kind, SECRET) for kind in kinds):
        return "is refused, and not shown here because it may hold a password"
    return f"is {shown(value)}"


def says(kind: Any, note: Mapping[str, bool]) -> bool:
    """Whether a declaration has a note among its own, in Meta(extra=...)."""
    notes = [meta.extra or {} for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, Meta)]
    return any(note.items() <= each.items() for each in notes)


def _in_words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return str(extra["description"]) if extra and "description" in extra else _in_words(inner)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(info)}"
        case inspect.FloatType():
            return f"a number{_range(info)}"
        case inspect.StrType(min_length=least):
            return "a text that is not empty" if least else "a text"
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.EnumType(cls=choices):
            return " or ".join(f'"{choice.value}"' for choice in choices)
        case inspect.VarTupleType(item_type=of, min_length=least, max_length=most):
            size = f" of {least} or more" if least else ""
            return f"a list{size}{f', {most} at most' if most else ''}, each of it {_in_words(of)}"
        case inspect.DictType(value_type=of):
            return f"a table, each value of it {_in_words(of)}"
    raise AssertionError(f"no words for {info}; declare fields of kinds that have some")


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    low = f"{info.ge:,}" if info.ge is not None else ""
    high = f"{info.le:,}" if info.le is not None else ""
    if low and high:
        return f" from {low} to {high}"
    if low or info.gt is not None:
        words = f" of {low} or more" if low else f" above {info.gt:,}"
        return words if info.lt is None else f"{words} and below {info.lt:,}"
    return f" of {high} at most" if high else ""
