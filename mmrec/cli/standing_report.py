"""The state of a deployment as tables.

print_standing(standing, console)
"""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.operating.standing import MAX_AGE_S, Standing

_STATE_STYLES = {"ready": "green", "done": "green", "failed": "red", "unwell": "red"}


def print_standing(standing: Standing, console: Console) -> None:
    """Tables of programs, events, refusals and freshness."""
    if standing.pid:
        age = duration(standing.as_of_s - standing.started_s)
        where = f"stack in {standing.home}, pid {standing.pid}, up for {age}"
        console.print(where, highlight=False, markup=False, soft_wrap=True)
        console.print(_programs(standing))
    if not standing.events:
        console.print("the scoring stream has counted no events yet; send some with `mmrec simulate`")
    elif standing.rejected:
        console.print(_counts("events", standing.events))
        console.print(_counts("rejected, by reason", standing.rejected))
    else:
        console.print(_counts("events", standing.events))
    if standing.catalogue_rejected:
        title = "catalogue records rejected, by reason; see mmrec items rejected"
        console.print(_counts(title, standing.catalogue_rejected))
    if standing.collector:
        console.print(_counts("collector, since it started", standing.collector))
    if standing.rates:
        console.print(_rates(standing.rates))
    facts = Table(title="freshness and sizes", title_justify="left", show_header=False)
    facts.add_column(style="bold")
    facts.add_column(justify="right", overflow="fold")
    for name, value in standing.figures.items():
        is_seconds = name.endswith("_s") or name.startswith("seconds")
        label = name.removesuffix("_s").replace("seconds_since", "since").replace("_", " ")
        facts.add_row(label, duration(float(value)) if is_seconds and value is not None else escape(_shown(value)))
    console.print(facts)
    for name in standing.stale:
        console.print(f"[yellow]{name} has not written its counters for more than {MAX_AGE_S:.0f} s[/yellow]")


def duration(seconds: float) -> str:
    """A duration in the form people use."""
    for unit_s, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    if seconds < 0.995:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _rates(rates: Mapping[str, float]) -> Table:
    table = Table(title="per second", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, rate in rates.items():
        table.add_row(name.replace("_", " "), f"{rate:,.1f}")
    return table


def _programs(standing: Standing) -> Table:
    table = Table("program", "state")
    for column in ("pid", "port", "restarts", "since"):
        table.add_column(column, justify="right")
    for program in standing.programs:
        style = _STATE_STYLES.get(program.state, "yellow")
        table.add_row(
            program.name,
            f"[{style}]{program.state}[/{style}]",
            str(program.pid or ""),
            str(program.port or ""),
            str(program.restarts),
            duration(max(standing.as_of_s - program.since_s, 0.0)),
        )
    return table


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, min_width=len(title))
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(name, f"{number:,}")
    return table
