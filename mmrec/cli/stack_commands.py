"""Commands about the stack: up, down, status, logs, doctor, demo."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mmrec.cli.terminal import (
    AddressOption,
    ConfigOption,
    JsonOption,
    err,
    out,
    print_json,
    until_interrupted,
)
from mmrec.errors import InvalidRequestError, MmrecError
from mmrec.home import StackHome, data_folder

if TYPE_CHECKING:
    from mmrec.cli.checks import Check


def up(
    config: Annotated[str, typer.Option("--config", "-c", help="settings that differ from the defaults (TOML)")] = "",
    dataset: Annotated[str, typer.Option(help="storefront, or movielens: its behaviors and bounds")] = "storefront",
    fresh: Annotated[bool, typer.Option("--fresh", help="begin with empty stores")] = False,
) -> None:
    """Run the embedded stack in the foreground until Ctrl-C; a home with the state of another data set is refused.

    Example: `mmrec up --fresh`
    """
    from mmrec.cli.programs import become
    from mmrec.cli.worlds import dataset_configuration

    home, named = StackHome.from_environment(), list[str]()
    if dataset != "storefront":
        if config:
            raise InvalidRequestError("--config and --dataset both say how to configure the stack; give one of them")
        config = str(dataset_configuration(dataset, home, data_folder=data_folder(), now_s=time.time()))
        named = ["--dataset", dataset]
    arguments = [*(["--config", config] if config else []), *(["--fresh"] if fresh else []), *named]
    become("services.stack", arguments)


def down() -> None:
    """End the stack that runs in the home folder, or what is left of one that was killed.

    Example: `mmrec down`
    """
    from mmrec.cli.programs import become

    become("services.stack.down", [])


def status(
    config: ConfigOption = "",
    address: AddressOption = "",
    interval: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="seconds that rates are measured over; 0: no rates")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Programs, events by verdict, refusals by reason, rates, lag, freshness, release; of any deployment.

    Example: `mmrec status --json | jq .rejected`, `mmrec status --address admin.mmrec.example:443 --config mmrec.toml`
    """
    from mmrec.cli.admin_commands import asked_desk
    from mmrec.cli.standing_report import print_standing
    from mmrec.operating.standing import standing_document
    from mmrec.operating.standing_message import standing_of
    from mmrec.v1.admin_pb2 import GetStandingRequest

    with asked_desk(config, address) as desk:
        standing = standing_of(desk.ask("GetStanding", GetStandingRequest(interval_s=interval)))
    if as_json:
        print_json(standing_document(standing))
    else:
        print_standing(standing, out)


def logs(
    name: Annotated[str | None, typer.Argument(help="a program or job; all names are listed where absent")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until Ctrl-C")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="last lines to begin with")] = 50,
    raw: Annotated[bool, typer.Option("--raw", help="lines as they stand in the file")] = False,
) -> None:
    """The log of a program of the stack; logs are kept after the stack has ended.

    Example: `mmrec logs score_stream -f`
    """
    from mmrec.cli import log_lines

    folder = StackHome.from_environment().logs
    if name is None:
        typer.echo("\n".join(log_lines.log_names(folder)) or f"no logs in {folder}; start a stack with `mmrec up`")
        return
    shown = str if raw else log_lines.timed_line
    path = log_lines.log_file(folder, name)
    last, place = log_lines.tail(path, lines)
    for line in last:
        typer.echo(shown(line))
    if follow:
        with until_interrupted():
            for line in log_lines.follow(path, place, stop=lambda: False, wait=lambda: time.sleep(0.3)):
                typer.echo(shown(line))


def doctor(
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="check this deployment's configuration in place of a stack")
    ] = "",
    reach: Annotated[bool, typer.Option("--reach", help="with --config: connect to every engine, too")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check everything the stack needs and say what to do; status 1 where something would fail.

    With --config: whether programs would start with that configuration on this machine: its values, secrets,
    certificates and folders.

    Example: `mmrec doctor`
    Example: `mmrec doctor --config deploy/mmrec.production.toml`
    """
    from mmrec.cli.doctor import diagnose
    from mmrec.cli.programs import run_job

    if config:
        from mmrec.cli.configuration_checks import check_configuration

        _end_with(check_configuration(Path(config), now_s=time.time(), reach=reach), as_json=as_json)
    with err.status("looking ..."):
        try:
            runtime = run_job("services.stack.check", [], environment={}, tell=lambda line: None)
        except MmrecError as error:
            runtime = {"check_error": str(error)}
        checks = diagnose(
            StackHome.from_environment(),
            runtime=runtime,
            lock=Path(__file__).resolve().parents[2] / "requirements.lock",
            data_folder=data_folder(),
            now_s=time.time(),
        )
    _end_with(checks, as_json=as_json)


def _end_with(checks: "list[Check]", *, as_json: bool) -> NoReturn:
    """Show checks; the status is 1 where one failed."""
    from mmrec.cli.checks import Health, print_checks, worst

    if as_json:
        print_json([{**vars(check), "health": check.health.value} for check in checks])
    else:
        print_checks(checks, out)
    raise typer.Exit(1 if worst(checks) is Health.FAIL else 0)


def demo(
    dataset: Annotated[str, typer.Option(help="storefront (simulated) or movielens (MMREC_DATA_DIR)")] = "storefront",
    fresh: Annotated[bool, typer.Option("--fresh", help="empty the home folder, whatever it keeps")] = False,
) -> None:
    """Everything on real engines, from an empty stack to a list that three clicks change; then everything stops.

    What an earlier demo left in the home folder is removed; state of `mmrec up` is removed only with --fresh.

    Example: `mmrec demo --dataset movielens`
    """
    from mmrec.cli.programs import become

    become("services.stack.demo", ["--dataset", dataset, *(["--fresh"] if fresh else [])])
