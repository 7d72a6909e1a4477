"""Values of a configuration file, checked against the types that their dataclass declares.

    build(KafkaSettings, {"num_partitions": 4}, where="mmrec.toml [kafka]")

A wrong type would otherwise be met far from here, as a TypeError in some process. What a value may be beyond its type
is said by the dataclass itself.
"""

import math
from dataclasses import fields
from typing import Any, Final, get_args, get_origin, get_type_hints

from mmrec.errors import ConfigurationError
from mmrec.wire.shown import shown

_NAMES: Final = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def build(cls: Any, table: Any, *, where: str) -> Any:
    """The dataclass `cls` of a table.

    Args:
        cls: Fields of other types than text, numbers, truth values and tuples of these are taken as they come.
        table: As TOML gives it; lists stand for tuples.
        where: What the table is, for messages.

    Raises:
        ConfigurationError: it is no table, has unknown keys or lacks one, or holds a value of another type.
    """
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is {shown(table)}; give a table")
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigurationError(f"{where} has unknown keys {unknown}; known: {', '.join(sorted(known))}")
    kinds = get_type_hints(cls)
    values = {name: _typed(value, kinds[name], f"{where}: {name}") for name, value in table.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _typed(value: Any, kind: Any, what: str) -> Any:
    if get_origin(kind) is tuple:
        (of, *_) = get_args(kind)
        if not isinstance(value, list | tuple):
            raise ConfigurationError(f"{what} is {shown(value)}; give a list, each of it {_NAMES.get(of, 'a value')}")
        return tuple(_typed(each, of, f"one of {what}") for each in value)
    if kind not in _NAMES:
        return value
    accepted = (int, float) if kind is float else kind
    is_right = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if not is_right or (kind is float and math.isnan(value)):
        raise ConfigurationError(f"{what} is {shown(value)}; give {_NAMES[kind]}")
    return value
