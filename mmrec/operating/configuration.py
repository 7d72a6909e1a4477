"""The configuration in force: each value, where it comes from, and nothing that is secret.

    for value in configured_values(settings, os.environ): value.name, value.value, value.origin, value.place

Secrets are files of their own, so a configuration has few: passwords in addresses, where somebody wrote them there.
What is declared to hold one (mmrec.wire.declared.SECRET), and what looks like one anywhere, is replaced.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from mmrec.config import TABLES, Settings
from mmrec.scoring.settings import ScoringConfig
from mmrec.v1.admin_pb2 import ConfiguredValue, ValueOrigin
from mmrec.wire.environment import PREFIX
from mmrec.wire.toml_text import line_of, parse_toml, read_toml_text

HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"(?i)(?:^|_)(?:password|passwd|secret|token|api_?key|credentials?)\Z")
_WORDS: Final = r"(?:passwd|password|secret|token|api_?key|access_?key)"
_NAME: Final = rf"(?<![\w.-])(?:(?:[\w.-]*[_.-])?pass|[\w.-]*{_WORDS})"
_QUOTE: Final = r"""\\{0,7}["']"""
"""As it stands in a text, or in a text that is a value of another one."""
_PARTS: Final = (
    # A quoted value ends at its own quote, not at one that is escaped in it; without one, at the end of the line.
    re.compile(rf"(?i)({_NAME}(?:{_QUOTE})?[ \t]*[:=][ \t]*[bru]{{0,2}}(?P<quote>{_QUOTE}))(?:(?!(?P=quote))\\*+.)*"),
    re.compile(rf"""(?i)({_NAME}(?:{_QUOTE})?[ \t]*=[ \t]*+)(?![bru]{{0,2}}{_QUOTE})(?:(?!{_QUOTE})[^,&;\s])*"""),
    re.compile(r"(\w://)[^/@\s]*@"),
)
"""Of texts: what stands before a secret is kept, the secret is not."""


def configured_values(settings: Settings, environment: Mapping[str, str]) -> list[ConfiguredValue]:
    """Every setting in force, in the order of the tables.

    Args:
        settings: As load_settings() read them.
        environment: Variables by name, as of then.

    Raises:
        ConfigurationError: the file is no TOML any more.
    """
    file = Path(settings.config_file) if settings.config_file else None
    text = read_toml_text(file) if file is not None and file.is_file() else ""
    document = parse_toml(text, where=str(file)) if text else {}
    return [
        ConfiguredValue(name=".".join(path), value=_shown(path[-1], value), origin=origin, place=place)
        for path, value in _values(settings)
        for origin, place in [_origin(path, document, text, environment)]
    ]


def without_secrets(text: str) -> str:
    """A text with passwords, tokens and keys replaced, wherever they stand in it."""
    for part in _PARTS:
        text = part.sub(rf"\g<1>{HIDDEN}" + ("@" if "://" in part.pattern else ""), text)
    return text


def document_without_secrets(document: Any) -> Any:
    """A JSON document with the same replaced in all its texts, and whole values under names such as `password`."""
    if isinstance(document, str):
        return without_secrets(document)
    if isinstance(document, Mapping):
        return {
            name: HIDDEN if _SECRET_NAME.search(str(name)) and value else document_without_secrets(value)
            for name, value in document.items()
        }
    if isinstance(document, list | tuple):
        return [document_without_secrets(value) for value in document]
    return document


def _values(settings: Settings) -> Iterator[tuple[tuple[str, ...], Any]]:
    for table in TABLES:
        values = getattr(settings, table)
        yield from (((table, f.name), getattr(values, f.name)) for f in fields(values))
    scoring = settings.scoring
    yield from ((("scoring", f.name), getattr(scoring, f.name)) for f in fields(ScoringConfig) if f.name != "behaviors")
    yield ("behaviors",), [asdict(behavior) for behavior in settings.behaviors]
    for recipe, options in settings.training.items():
        yield from ((("training", recipe, name), value) for name, value in options.items())


def _origin(
    path: tuple[str, ...], document: Mapping[str, Any], text: str, environment: Mapping[str, str]
) -> tuple[ValueOrigin, str]:
    variable = PREFIX + "__".join(part.upper() for part in path)
    if variable in environment:
        return ValueOrigin.VALUE_ORIGIN_ENVIRONMENT, variable
    there: Any = document
    for part in path:
        if not isinstance(there, Mapping) or part not in there:
            return ValueOrigin.VALUE_ORIGIN_DEFAULT, ""
        there = there[part]
    line = line_of(text, path)
    return ValueOrigin.VALUE_ORIGIN_FILE, "" if line is None else f"line {line}"


def _shown(name: str, value: Any) -> str:
    if isinstance(value, str) and _SECRET_NAME.search(name):
        value = HIDDEN if value else ""
    return json.dumps(document_without_secrets(_plain(value)), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
