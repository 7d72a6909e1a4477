"""What all commands share: the two streams of the terminal, common options, progress."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmrec.config import Settings, load_settings
from mmrec.errors import UnreachableError
from mmrec.home import StackHome
from mmrec.operating.running import configuration_file

if TYPE_CHECKING:
    from mmrec.client import RecommenderClient
    from mmrec.operating.remote import RemoteDesk

PIPE_WIDTH = 160
"""Tables that go into a file or a pipe are not folded to the 80 columns that rich assumes there."""

out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH)
err = Console(stderr=True)

ConfigOption = Annotated[
    str, typer.Option("--config", "-c", envvar="MMREC_CONFIG", help="mmrec.toml; the running stack's where absent")
]
AddressOption = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="ask the administrative service there")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for machines")]
RateOption = Annotated[float, typer.Option("--rate", min=0.0, help="events per second; 0: as fast as Kafka takes them")]


def deployment_settings(config: str) -> Settings:
    """Settings of --config, MMREC_CONFIG, or the running stack; errors as configuration_file()."""
    return load_settings(configuration_file(config, StackHome.from_environment()))


def recommender_client(target: str, config: str) -> "RecommenderClient":
    """A client of the deployment's recommender, or of the one at `target`, by TLS where its settings say so."""
    from mmrec.client import CHANNEL_OPTIONS, RecommenderClient
    from mmrec.connections.grpc_credentials import client_channel

    serving = deployment_settings(config).serving if config or not target else None
    where = target or (serving.recommender if serving is not None else "")
    return RecommenderClient(where, channel=client_channel(where, serving, options=CHANNEL_OPTIONS))


def remote_desk(config: str, address: str) -> "RemoteDesk | None":
    """The administrative service at `address`, else the deployment's own; None where that one does not answer.

    Raises:
        UnreachableError: none answers at `address`.
        ConfigurationError, MachineError: see configuration_file(), where no address is given.
    """
    from mmrec.connections.grpc_credentials import client_channel
    from mmrec.operating.remote import RemoteDesk, service_of

    if not address:
        return service_of(deployment_settings(config))
    serving = deployment_settings(config).serving if config else None
    desk = RemoteDesk(address, channel=client_channel(address, serving))
    if not desk.is_there():
        raise UnreachableError(f"no administrative service answers at {address}; --config says how it is spoken to")
    return desk


def print_json(document: Any) -> None:
    """One JSON document on one line."""
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on stderr while records are sent; silent where stderr is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task(what)
        yield lambda count: progress.advance(task, count)


@contextmanager
def until_interrupted() -> Iterator[None]:
    """A block that is meant to be ended by Ctrl-C."""
    with suppress(KeyboardInterrupt):
        yield
