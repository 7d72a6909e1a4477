"""What an importer is: it recognizes a form of files and opens a source of items, events or both.

    source = find_importer(path).open(path, ImportOptions())          (registry.py)
    for item in source.items.read(reading): ...

How to add one: a file in this folder with an `Importer`, and a line in registry.py. recognizes() looks at names and
beginnings of files only, and never raises; open() may read what it needs to show its mapping, and raises where the
source cannot be read as this form. read() begins anew with each call, gives rows in the file's order, holds no more
than a few of them, and notes in the Reading whatever it alters or leaves out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from mmrec.catalog.importers.event_rows import ImportedEvent
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.item import CatalogItem

Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True)
class Part(Generic[Read]):
    """The items of a source, or its events."""

    files: tuple[Path, ...]
    """Everything it is read from, pictures included: the same content is the same import. A folder stands for the
    files in it."""
    read: Callable[[Reading], Iterator[Read]]


@dataclass(frozen=True, kw_only=True)
class ImportSource:
    """A source that was recognized."""

    form: str
    """Name of the importer."""
    path: Path
    mapping: tuple[str, ...]
    """How it is read, a line for each column and file; shown before anything is sent."""
    items: Part[CatalogItem] | None = None
    events: Part[ImportedEvent] | None = None


@dataclass(frozen=True, kw_only=True)
class Importer:
    """One form of files."""

    name: str
    about: str
    """What it is made of, for people who look for the form of their files."""
    recognizes: Callable[[Path], bool]
    open: Callable[[Path, ImportOptions], ImportSource]
    usual_behaviors: Mapping[str, str] = field(default_factory=dict)
    """Rules of this form where the caller gives none: configured behavior by name or condition."""
