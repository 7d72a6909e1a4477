"""Commands about models: train, publish."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mmrec.cli.terminal import AddressOption, ConfigOption, err, out, remote_desk
from mmrec.errors import NotFoundError
from mmrec.home import StackHome
from mmrec.operating.running import configuration_file, require_stack

if TYPE_CHECKING:
    from mmrec.operating.remote import RemoteDesk

TOWERS = "towers"
"""The recipe that `mmrec train` runs where none is named; the only one that reads training examples."""


def train(
    context: typer.Context,
    config: ConfigOption = "",
    model: Annotated[Path | None, typer.Option(help="folder for the model; `model` in the home folder")] = None,
    rebuild: Annotated[bool, typer.Option("--examples/--no-examples", help="build training examples first")] = True,
    task: Annotated[str, typer.Option(help="what to train: a recipe of jobs.train, such as align")] = TOWERS,
) -> None:
    """Build training examples from the log and train towers and ranker; further options go to jobs.train.

    With --task another recipe is trained, on the catalogue's content; its folder is named after it.

    Example: `mmrec train`, `mmrec train --no-examples --epochs 3`, `mmrec train --task align`
    """
    home = StackHome.from_environment()
    if task != TOWERS:
        target = model or home.folder / task
        _show_figures(_run_job("jobs.train", ["--task", task, "--out", str(target), *context.args], config))
        out.print(f"{task} in {target}", highlight=False, soft_wrap=True)
        return
    examples, target = home.folder / "examples", model or home.folder / "model"
    if rebuild:
        _run_job("jobs.build_examples", ["--out", str(examples)], config)
    arguments = ["--examples", str(examples), "--out", str(target), *context.args]
    _show_figures(_run_job("jobs.train", arguments, config))
    out.print(f"model in {target}; let it serve with `mmrec publish`", highlight=False, soft_wrap=True)


def publish(
    *,
    config: ConfigOption = "",
    model: Annotated[Path | None, typer.Option(help="folder of a trained model; `model` in the home folder")] = None,
    promote: Annotated[str, typer.Option(help="let a kept release serve", metavar="ID")] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="let the release before serve again")] = False,
    list_: Annotated[bool, typer.Option("--list", help="name all releases and the one that serves")] = False,
    address: AddressOption = "",
) -> None:
    """Publish a trained model as a release, or choose the release in use; replicas follow within seconds.

    Example: `mmrec publish`, `mmrec publish --list`, `mmrec publish --rollback`
    """
    if sum((model is not None, bool(promote), rollback, list_)) > 1:
        raise typer.BadParameter("give one of --model, --promote, --rollback, --list")
    if promote or rollback or list_:
        desk = remote_desk(config, address)
        if desk is not None:
            with desk:
                _show_figures(_listed(desk) if list_ else _moved(desk, promote))
            return
    elif address:
        raise typer.BadParameter("a model is published where it lies; give --promote, --rollback or --list")
    folder = model or StackHome.from_environment().folder / "model"
    arguments = ["--model", str(folder)]
    if promote:
        arguments = ["--promote", promote]
    elif rollback or list_:
        arguments = ["--rollback" if rollback else "--list"]
    elif not folder.is_dir():
        raise NotFoundError(f"no trained model in {folder}; make one with `mmrec train`")
    _show_figures(_run_job("jobs.publish", arguments, config))


def _listed(desk: "RemoteDesk") -> dict[str, Any]:
    from mmrec.v1.admin_pb2 import ListReleasesRequest

    answer = desk.ask("ListReleases", ListReleasesRequest())
    return {
        "current": answer.current_release_id,
        "releases": [release.release_id for release in answer.releases],
        "refused": {release.release_id: release.refusal for release in answer.releases if release.refusal},
    }


def _moved(desk: "RemoteDesk", promote: str) -> dict[str, Any]:
    from mmrec.v1.admin_pb2 import PromoteReleaseRequest, RollBackReleaseRequest

    if promote:
        answer = desk.ask("PromoteRelease", PromoteReleaseRequest(release_id=promote))
    else:
        answer = desk.ask("RollBackRelease", RollBackReleaseRequest())
    release = answer.release
    return {
        "release_id": release.release_id,
        "collection": release.collection,
        "num_items": release.num_items,
        "metrics": dict(release.metrics),
    }


def _run_job(module: str, arguments: list[str], config: str) -> dict[str, Any]:
    """Run a job beside the running stack; its log lines are shown on stderr."""
    from mmrec.cli.programs import run_job

    home = StackHome.from_environment()
    file = configuration_file(config, home)
    record = require_stack(home) if file == home.config else None
    environment = {**(record.job_environment(module.rpartition(".")[2]) if record else {}), "MMREC_CONFIG": str(file)}
    err.print(f"[bold]{module}[/bold]")
    return run_job(
        module,
        arguments,
        environment=environment,
        tell=lambda line: err.print("  " + line, highlight=False, markup=False, soft_wrap=True),
    )


def _show_figures(figures: Mapping[str, Any]) -> None:
    table = Table(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in figures.items():
        if isinstance(value, Mapping):
            table.add_section()
            for part, number in value.items():
                table.add_row(f"{name} {part}".replace("_", " "), _shown(number))
        else:
            table.add_row(name.replace("_", " "), _shown(value))
    if figures:
        out.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.4f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
