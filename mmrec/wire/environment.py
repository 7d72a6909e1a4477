"""Settings that the environment overrides: one variable for one key of one table.

    MMREC__KAFKA__BOOTSTRAP=kafka:9093                       [kafka] bootstrap = "kafka:9093"
    MMREC__KAFKA__TLS=true                                   [kafka] tls = true
    MMREC__CONTENT__IMAGE_HOSTS='["*.cdn.shop.example"]'     a list or table is written as in TOML

A variable of that form which names no known table and key is an error, as it is in the file.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Final, get_args, get_origin

from mmrec.errors import ConfigurationError, SettingError
from mmrec.wire.declared import declared, given, refuse_unknown
from mmrec.wire.toml_text import parse_toml

PREFIX: Final = "MMREC__"


def overridden(
    document: Mapping[str, Any], environment: Mapping[str, str], tables: Mapping[str, Any]
) -> dict[str, Any]:
    """The document with the values that the environment has for its keys.

    Args:
        document: Parsed TOML.
        environment: Variables by name.
        tables: Dataclasses by the name of the table that they declare; other tables have no variables.

    Raises:
        ConfigurationError: a variable names no key, or its value does not fit the key's declaration.
    """
    changed = dict(document)
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        table, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        try:
            refuse_unknown({table: None}, tables, at=())
            refuse_unknown({key: None}, [f.name for f in fields(tables[table])], at=(table,))
            value = _value(declared(tables[table], key), variable, environment[variable])
        except SettingError as error:
            raise ConfigurationError(f"environment: {error}, in {variable}") from None
        beside = changed.get(table, {})
        if isinstance(beside, dict):  # what is no table is refused where the document is checked
            changed[table] = {**beside, key: value}
    return changed


def _value(kind: Any, variable: str, text: str) -> Any:
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) in (tuple, Mapping):
        try:
            return parse_toml(f"value = {text}", where=variable)["value"]
        except ConfigurationError as error:
            raise SettingError((variable,), f"is no TOML value: {error}") from None
    return given(kind, variable, text)
