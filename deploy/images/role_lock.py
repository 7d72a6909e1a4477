"""The part of requirements.lock that one role needs: its packages, what they need, and their hashes.

    python role_lock.py requirements.lock stream.in
    python role_lock.py requirements.lock models.in --without torch --without 'nvidia-*'

One lock stays the only source of versions and hashes. What needs what is read from its "via" comments, which do not
tell a package's extras apart: a role may get a package too many, never one too few.
"""

import argparse
import fnmatch
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Locked:
    """One entry of the lock."""

    name: str
    text: str
    """Its lines, hashes included."""
    needed_by: frozenset[str]
    """Names of packages that brought it."""


def read_lock(text: str) -> list[Locked]:
    """The entries of a lock; a package that has several versions, by platform, has as many entries."""
    entries = []
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        said = " ".join(line.strip(" #") for line in lines if line.lstrip().startswith("#"))
        needed_by = frozenset(normal(name) for name in said.removeprefix("via").split())
        entries.append(Locked(name=normal(lines[0]), text=block, needed_by=needed_by))
    return entries


def role_entries(entries: list[Locked], roots: Iterable[str], *, without: Iterable[str] = ()) -> list[Locked]:
    """Entries of the roots and of all that they need, in the lock's order; patterns in `without` are left out.

    Raises:
        ValueError: the lock lacks a root.
    """
    wanted = {normal(root) for root in roots}
    if absent := sorted(wanted - {entry.name for entry in entries}):
        raise ValueError(f"the lock has no {', '.join(absent)}; name what pyproject.toml names")
    while more := {e.name for e in entries if e.needed_by & wanted} - wanted:
        wanted |= more
    return [e for e in entries if e.name in wanted and not any(fnmatch.fnmatch(e.name, p) for p in without)]


def normal(requirement: str) -> str:
    """Name of a package as indexes compare it, without extras, version and marker."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>; ]", requirement.strip())[0]).lower()


def read_roots(text: str) -> list[str]:
    """Names of a role's file; lines that begin with # are for people."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def main() -> int:
    """Print the part of the lock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path)
    parser.add_argument("roots", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="PATTERN")
    asked = parser.parse_args()
    entries = read_lock(asked.lock.read_text(encoding="utf-8"))
    chosen = role_entries(entries, read_roots(asked.roots.read_text(encoding="utf-8")), without=asked.without)
    sys.stdout.write("".join(entry.text for entry in chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
