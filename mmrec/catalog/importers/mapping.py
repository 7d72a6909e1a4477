"""Which column is which field: given by flags or a small file, else guessed from names and contents; always shown.

mmrec import products.csv --column title=product_name --column color=Colour --mapping products.toml

[columns]                      fields of items or events; another name makes the column that attribute
title = "product_name"
color = "Colour"
[behaviors]                    as --behavior
"rating>=4" = "like"
[reading]                      options of the same names: ignore, images, kind, domain, encoding, decimal,
ignore = ["internal_note"]     time_unit, time_zone
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from mmrec.catalog.importers.fields import EVENT_FIELDS, ITEM_FIELDS, guessed_by_name, plain_name
from mmrec.catalog.importers.guesses import guessed_by_contents
from mmrec.catalog.importers.table import Row, Table
from mmrec.errors import ConfigurationError, InvalidRequestError
from mmrec.events.behavior_rules import BehaviorRules, parse_behaviors
from mmrec.wire.declared import build, check
from mmrec.wire.toml_text import parse_toml, read_toml_text

Kind = Literal["", "items", "events"]
ATTRIBUTE: Final = "attribute"
"""What the rest of an item's columns are."""
CONTEXT: Final = "context"
"""What the rest of an event's columns are."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a caller says about a source; everything may be left open."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column by field, or by the name of the attribute it becomes."""
    ignore: tuple[str, ...] = ()
    """Columns that are not read."""
    rules: BehaviorRules = field(default_factory=BehaviorRules)
    """Behaviors by name and condition; readers look at the conditions alone."""
    images: str = ""
    """A folder or tar of pictures; empty takes what lies beside the table."""
    kind: Kind = ""
    """Whether a plain file holds items or events; empty decides by its columns."""
    domain: str = ""
    """Of items whose file does not say it."""
    encoding: str = ""
    """Of text files; empty decides by their bytes."""
    decimal: Literal["", ",", "."] = ""
    """What separates decimals; empty decides by the numbers."""
    time_unit: Literal["", "s", "ms", "us", "ns"] = ""
    """Of times that are numbers; empty decides by their size."""
    time_zone: str = ""
    """IANA name for times without a zone; empty is UTC."""

    def __post_init__(self) -> None:
        check(self, "import")

    def with_usual(self, usual: Mapping[str, str]) -> "ImportOptions":
        """These options with the rules that a form usually has, where they do not say others.

        Args:
            usual: Behavior by name or condition.
        """
        rules = parse_behaviors([f"{name}={behavior}" for name, behavior in usual.items()])
        conditions = self.rules.conditions or rules.conditions
        return replace(self, rules=BehaviorRules({**rules.names, **self.rules.names}, conditions))

    def for_mark(self) -> dict[str, Any]:
        """What makes the import of the same files another one, as JSON can hold it."""
        said = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rules"}
        said |= {"columns": dict(self.columns), "ignore": list(self.ignore)}
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """What a column is taken for."""

    field: str
    """Of an item or event; ATTRIBUTE and CONTEXT for the rest, "" for one that is not read."""
    column: str
    why: str
    """"given", "its name", "its contents", or of the form."""
    name: str = ""
    """Of the attribute."""


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """All columns of a table."""

    kind: Kind
    columns: tuple[Mapped, ...]

    def column(self, field: str) -> str:
        """The column of a field; "" where there is none."""
        return next((each.column for each in self.columns if each.field == field), "")

    def rest(self) -> dict[str, str]:
        """Names of attributes, or of entries of the context, by column."""
        return {each.column: each.name for each in self.columns if each.field in (ATTRIBUTE, CONTEXT)}

    def lines(self) -> list[str]:
        """What is shown before anything is sent."""
        said = {each: f"{each.field} {each.name}".strip() if each.field else "not read" for each in self.columns}
        return [f"{each.column} -> {said[each]} ({each.why})" for each in self.columns]


def map_columns(table: Table, rows: Sequence[Row], options: ImportOptions) -> ColumnMapping:
    """What each column of a plain table is.

    Args:
        rows: The first rows, for guesses from contents.

    Raises:
        InvalidRequestError: a column that is named is not there, or what every row needs has no column.
    """
    known = check_columns(table, options)
    open_columns = tuple(name for name in table.columns if name not in known)
    kind = options.kind or _kind_of(open_columns, options)
    wanted = EVENT_FIELDS if kind == "events" else ITEM_FIELDS
    given = {name: column for name, column in options.columns.items() if name in wanted}
    left = {name: names for name, names in wanted.items() if name not in given}
    by_name = guessed_by_name(open_columns, left)
    found = {**given, **by_name}
    by_contents = guessed_by_contents(
        rows, [name for name in open_columns if name not in by_name.values()], kind=kind, known=frozenset(found)
    )
    whys = dict.fromkeys(options.columns.values(), "given")
    whys |= dict.fromkeys(by_name.values(), "its name") | dict.fromkeys(by_contents.values(), "its contents")
    field_of = {column: name for name, column in {**found, **by_contents}.items()}
    names = {column: name for name, column in options.columns.items() if name not in wanted}
    rest = CONTEXT if kind == "events" else ATTRIBUTE
    mapped = tuple(
        Mapped(field="", column=column, why="given")
        if column in options.ignore
        else Mapped(
            field=field_of.get(column, rest),
            column=column,
            why=whys.get(column, "no field's"),
            name="" if column in field_of else names.get(column, column),
        )
        for column in table.columns
    )
    _check(table, mapped, kind)
    return ColumnMapping(kind=kind, columns=mapped)


def check_columns(table: Table, options: ImportOptions) -> frozenset[str]:
    """The columns that a caller names.

    Raises:
        InvalidRequestError: one of them is not there.
    """
    named = {**options.columns, **{f"ignored column {n}": name for n, name in enumerate(options.ignore)}}
    for name, column in named.items():
        if column not in table.columns:
            raise InvalidRequestError(
                f"{table.path.name} has no column {column!r} for {name}; it has {', '.join(table.columns)}"
            )
    return frozenset(named.values())


def refuse_columns(form: str, options: ImportOptions) -> None:
    """InvalidRequestError where columns are named and the form says itself what each one is."""
    if named := ", ".join(
        [*(f"--column {name}={column}" for name, column in options.columns.items()), *options.ignore]
    ):
        raise InvalidRequestError(
            f"{named}: the form {form} says itself what its columns are; leave this out, or read a table of it with "
            f"--form plain"
        )


def _kind_of(columns: tuple[str, ...], options: ImportOptions) -> Kind:
    """Events name users; items do not."""
    users = {"userid", *EVENT_FIELDS["user_id"].split()}
    names_users = any(plain_name(column) in users for column in columns) or "user_id" in options.columns
    return "events" if names_users and "title" not in options.columns else "items"


def _check(table: Table, mapped: Sequence[Mapped], kind: Kind) -> None:
    needed = ("user_id", "item_id") if kind == "events" else ("item_id", "title")
    lacking = [name for name in needed if name not in {each.field for each in mapped}]
    if lacking:
        first = next((each.column for each in mapped if each.field in (ATTRIBUTE, CONTEXT)), "COLUMN")
        raise InvalidRequestError(
            f"{table.path.name} is read as {kind} and no column says {' and '.join(lacking)}; it has "
            f"{', '.join(table.columns)}. Name one, as --column {lacking[0]}={first}, or say what the file holds with "
            f"--kind {'items' if kind == 'events' else 'events'}"
        )


@dataclass(frozen=True, kw_only=True)
class _ReadingTable:
    """The table [reading] of a mapping file."""

    ignore: tuple[str, ...] = ()
    images: str = ""
    kind: Kind = ""
    domain: str = ""
    encoding: str = ""
    decimal: Literal["", ",", "."] = ""
    time_unit: Literal["", "s", "ms", "us", "ns"] = ""
    time_zone: str = ""


@dataclass(frozen=True, kw_only=True)
class _MappingFile:
    """A mapping file."""

    columns: Mapping[str, str] = field(default_factory=dict)
    behaviors: Mapping[str, str] = field(default_factory=dict)
    reading: Any = None


def read_mapping(path: Path, said: ImportOptions) -> ImportOptions:
    """The options of a mapping file, under those that a caller said himself.

    Raises:
        ConfigurationError: the file is not there, no TOML, or has names or values that are not known.
    """
    try:
        document = parse_toml(read_toml_text(path), where=str(path))
    except FileNotFoundError:
        raise ConfigurationError(f"no file {path}; name a mapping file with --mapping") from None
    try:
        tables: _MappingFile = build(_MappingFile, document, at=())
        reading: _ReadingTable = build(_ReadingTable, document.get("reading", {}), at=("reading",))
        rules = parse_behaviors([f"{name}={behavior}" for name, behavior in tables.behaviors.items()])
    except (ConfigurationError, InvalidRequestError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    mine = ImportOptions()
    rest: dict[str, Any] = {
        each.name: getattr(said, each.name)
        if getattr(said, each.name) != getattr(mine, each.name)
        else getattr(reading, each.name)
        for each in fields(_ReadingTable)
    }
    return replace(
        said,
        columns={**tables.columns, **said.columns},
        rules=said.rules.after(rules),
        **rest,
    )
