"""Commands on a deployment by its administrative API: acts, engines, settings, and items changed.

They ask the administrative service: the one at --address, else the deployment's own. Where none answers, those that can
work on the stores themselves, as far as this machine has them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mmrec.cli.terminal import AddressOption, ConfigOption, JsonOption, out, print_json, remote_desk
from mmrec.errors import InvalidRequestError, UnreachableError

if TYPE_CHECKING:
    from mmrec.operating.remote import AskedDesk

_OUTCOMES = {1: "[yellow]begun[/yellow]", 2: "[green]done[/green]", 3: "[red]failed[/red]"}


def acts(
    *,
    config: ConfigOption = "",
    address: AddressOption = "",
    kind: Annotated[str, typer.Option(help="only acts of this kind, such as promote_release")] = "",
    who: Annotated[str, typer.Option(help="only what this caller did")] = "",
    since: Annotated[str, typer.Option(help="only since: RFC 3339, or a span as 90min, 2h, 3d")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="the newest so many")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Who did what to the deployment, when, and how it ended; the newest first.

    Example: `mmrec acts --kind promote_release --since 7d`
    """
    import time

    from mmrec.cli.rejected_commands import instant
    from mmrec.operating.instants import stamp
    from mmrec.v1.admin_pb2 import ListActsRequest

    since_time = stamp(instant(since, now_s=time.time())) if since else None
    request = ListActsRequest(kind=kind, who=who, since_time=since_time, num_acts=limit)
    with asked_desk(config, address) as desk:
        answer = desk.ask("ListActs", request)
    if as_json:
        print_json([_plain(act) for act in answer.acts])
        return
    table = Table("when", "who", "act", "on", "ended", "")
    for act in answer.acts:
        said = "; ".join(f"{name}={value}"[:80] for name, value in sorted(act.details.items()) if len(value) < 200)
        when, ended = act.begin_time.ToJsonString()[:19], _OUTCOMES.get(act.outcome, "?")
        table.add_row(when, escape(act.who), act.kind, escape(act.subject), ended, escape(act.problem or said))
    out.print(table)


def engines(config: ConfigOption = "", address: AddressOption = "", as_json: JsonOption = False) -> None:
    """Whether every engine and service of the deployment answers; status 1 where one does not.

    Example: `mmrec engines`
    """
    from mmrec.v1.admin_pb2 import CheckEnginesRequest

    with asked_desk(config, address) as desk:
        answer = desk.ask("CheckEngines", CheckEnginesRequest())
    if as_json:
        print_json([_plain(engine) for engine in answer.engines])
    else:
        table = Table("engine", "at", "", "says", "ms")
        for engine in answer.engines:
            state = "[green]well[/green]" if engine.is_well else "[red]away[/red]"
            spent = f"{engine.answer_s * 1_000:.0f}" if engine.is_well else ""
            table.add_row(engine.name, escape(engine.address), state, escape(engine.detail), spent)
        out.print(table)
    if not all(engine.is_well for engine in answer.engines):
        raise typer.Exit(1)


def settings(
    config: ConfigOption = "",
    address: AddressOption = "",
    everything: Annotated[bool, typer.Option("--all", help="defaults as well")] = False,
    as_json: JsonOption = False,
) -> None:
    """The configuration in force and where each value comes from, without secrets.

    Example: `mmrec settings --address admin.mmrec.example:443 --all`
    """
    from mmrec.v1.admin_pb2 import GetConfigurationRequest, ValueOrigin

    with asked_desk(config, address) as desk:
        answer = desk.ask("GetConfiguration", GetConfigurationRequest())
    shown = [v for v in answer.values if everything or v.origin != ValueOrigin.VALUE_ORIGIN_DEFAULT]
    if as_json:
        values = {v.name: {"value": json.loads(v.value), "origin": _word(v.origin), "place": v.place} for v in shown}
        print_json({"file": answer.file, "version": answer.version, "values": values})
        return
    table = Table("setting", "value", "from", title=f"{answer.file or 'defaults'}, version {answer.version}")
    for value in shown:
        table.add_row(value.name, escape(value.value), f"{_word(value.origin)} {escape(value.place)}".strip())
    out.print(table)


def items_change(
    item_id: Annotated[str, typer.Argument(help="the item")],
    *,
    config: ConfigOption = "",
    address: AddressOption = "",
    hide: Annotated[bool, typer.Option("--hide", help="never show it")] = False,
    restock: Annotated[bool, typer.Option("--restock", help="show it")] = False,
    sold_out: Annotated[bool, typer.Option("--sold-out", help="keep it known and do not offer it")] = False,
    price: Annotated[float | None, typer.Option(min=0.0, help="its price from now on")] = None,
) -> None:
    """Hide, restock or price one item; lists follow within seconds. Asks the administrative service.

    Example: `mmrec items change b00042 --sold-out`
    """
    from mmrec.v1.admin_pb2 import ChangeItemRequest

    wanted = {"HIDDEN": hide, "AVAILABLE": restock, "OUT_OF_STOCK": sold_out}
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise InvalidRequestError("--hide, --restock and --sold-out are three things; give one of them")
    availability: Any = f"AVAILABILITY_{chosen[0] if chosen else 'UNSPECIFIED'}"
    request = ChangeItemRequest(item_id=item_id, availability=availability, price=price)
    desk = remote_desk(config, address)
    if desk is None:
        raise UnreachableError("the deployment's administrative service does not answer, and only it follows the items")
    with desk:
        answer = desk.ask("ChangeItem", request)
    for name in ("availability", "price"):
        before, after = _plain(answer.before).get(name), _plain(answer.after).get(name)
        if before != after:
            typer.echo(f"{name}: {before or 'unset'} -> {after or 'unset'}")


@contextmanager
def asked_desk(config: str, address: str) -> "Iterator[AskedDesk]":
    """The administrative service, or the deployment's own stores where none answers."""
    from mmrec.cli.terminal import deployment_settings

    remote = remote_desk(config, address)
    if remote is not None:
        with remote:
            yield remote
        return
    from mmrec.operating.local import LocalDesk  # loads what the stores are read with

    with LocalDesk(deployment_settings(config)) as desk:
        yield desk


def _word(origin: int) -> str:
    from mmrec.v1.admin_pb2 import ValueOrigin

    name: str = ValueOrigin.Name(origin)  # type: ignore[arg-type]
    return name.removeprefix("VALUE_ORIGIN_").lower()


def _plain(message: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document
