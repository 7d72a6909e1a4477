"""The result of a check, and the table of results."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Health(Enum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked."""

    name: str
    health: Health
    found: str
    advice: str = ""
    """What to do; empty where nothing needs to be done."""


def worst(checks: Sequence[Check]) -> Health:
    """The worst outcome."""
    order = (Health.OK, Health.WARN, Health.FAIL)
    return max((check.health for check in checks), key=order.index, default=Health.OK)


def few(names: Sequence[str], *, at_most: int = 5) -> str:
    """The first names of many, and how many more there are."""
    more = len(names) - at_most
    return "; ".join(names[:at_most]) + (f"; and {more} more" if more > 0 else "")


_STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"}


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """One row per check."""
    table = Table("check", "", "found", "what to do")
    for check in checks:
        style = _STYLES[check.health]
        table.add_row(check.name, f"[{style}]{check.health.value}[/{style}]", escape(check.found), escape(check.advice))
    console.print(table)
