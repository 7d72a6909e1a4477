"""An audit for people, and for machines."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.state.audit import TOLERANCE, Audit

MAX_SHOWN = 20


def audit_document(audit: Audit) -> dict[str, Any]:
    """All of an audit as JSON; an error that is infinite is null."""
    return {
        "num_compared": audit.num_compared,
        "num_left_out": audit.num_left_out,
        "num_values": audit.num_values,
        "largest_error": audit.largest_error,
        "differences": [
            {"key": d.key, "name": d.name, "error": d.error if d.error != float("inf") else None}
            for d in audit.differences
        ],
    }


def print_audit(found: Mapping[str, Audit], console: Console) -> None:
    """A line per kind, then the first differences."""
    table = Table("what", "compared", "left out", "numbers", "largest error", "differ")
    for name, audit in found.items():
        differ = len({difference.key for difference in audit.differences})
        table.add_row(
            name,
            f"{audit.num_compared:,}",
            f"{audit.num_left_out:,}",
            f"{audit.num_values:,}",
            f"{audit.largest_error:.1e}",
            f"[red]{differ:,}[/red]" if differ else "none",
        )
    console.print(table)
    differences = [(name, difference) for name, audit in found.items() for difference in audit.differences]
    if not differences:
        return
    shown = Table("what", "key", "item or count", "relative error", title=f"beyond {TOLERANCE:g}", title_justify="left")
    for name, difference in differences[:MAX_SHOWN]:
        shown.add_row(name, escape(difference.key), escape(difference.name), f"{difference.error:.2e}")
    console.print(shown)
    if len(differences) > MAX_SHOWN:
        console.print(f"... and {len(differences) - MAX_SHOWN:,} more; --json shows all")
