"""`mmrec metrics`: the fixed list of names."""

from typing import Annotated

import typer

from mmrec.cli.terminal import JsonOption, out, print_json


def metrics(
    process: Annotated[str, typer.Option("--process", help="only what this one exposes, such as collector")] = "",
    as_json: JsonOption = False,
) -> None:
    """All metrics that processes show to Prometheus: name, type, labels, processes, meaning.

    Example: `mmrec metrics --process score_stream`
    """
    from rich.table import Column, Table

    from mmrec.errors import NotFoundError
    from mmrec.telemetry.metric_names import METRICS, PROCESSES

    if process and process not in PROCESSES:
        raise NotFoundError(f"no process {process!r} has metrics; {', '.join(PROCESSES)} have")
    found = [metric for metric in METRICS if not process or process in metric.processes]
    if as_json:
        print_json(
            [
                {
                    "name": metric.name,
                    "type": metric.kind.value,
                    "labels": list(metric.labels),
                    "processes": sorted(metric.processes),
                    "help": metric.help,
                }
                for metric in found
            ]
        )
        return
    table = Table(Column("name", no_wrap=True), "type", "labels", "processes", "what it says")
    for metric in found:
        who = ", ".join(sorted(metric.processes))
        table.add_row(metric.name, metric.kind.value, ", ".join(metric.labels), who, metric.help)
    out.print(table)
