"""What reports of evaluations say above their tables, in the same words: size of the data, what counts, its origin."""

from collections.abc import Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]


def size_of(data: Report) -> str:
    """Of a data set."""
    return f"{data['num_users']:,} users, {data['num_items']:,} items, {data['num_events']:,} events"


def counted(seen: str) -> str:
    """Which items count, by the policy."""
    return "items new to the user" if seen == "new" else "any item"


def with_origin(said: str, report: Report, notes: Sequence[str]) -> str:
    """What is said, then notes, then commit, machine and command, as far as the report names them."""
    origin = [f"{name} {report[name]}" for name in ("commit", "machine", "command") if report.get(name)]
    return " ".join([said, *(f"{each}." for each in [*notes, *origin])])
