"""`mmrec events rejected` and `mmrec items rejected`: what was refused, why, and sending it again after a fix."""

import re
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.terminal import (
    AddressOption,
    ConfigOption,
    JsonOption,
    counting,
    deployment_settings,
    err,
    out,
    print_json,
    remote_desk,
)
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError

if TYPE_CHECKING:
    from mmrec.events.resubmit import RefusedRecords, ResubmitTopics
    from mmrec.operating.reason_groups import ReasonGroup
    from mmrec.operating.rejected import Refusals

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What was asked for."""

    reason: str
    since_s: float
    show: str
    limit: int
    again: bool
    yes: bool
    as_json: bool


ReasonOption = Annotated[str, typer.Option("--reason", help="only records refused for this")]
SinceOption = Annotated[
    str, typer.Option("--since", help="only what came in since: RFC 3339, or a span as 90min, 2h, 3d")
]
ShowOption = Annotated[str, typer.Option("--show", metavar="REASON", help="the records of a reason, one by one")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=0, help="records to show (20) or to send (all) at most")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="send without asking")]


def events_rejected(
    *,
    config: ConfigOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    show: ShowOption = "",
    limit: LimitOption = 0,
    again: Annotated[bool, typer.Option("--resubmit", help="send what the codec takes now, each record once")] = False,
    yes: YesOption = False,
    address: AddressOption = "",
    as_they_were: Annotated[
        bool,
        typer.Option("--edit-none", help="send the original bytes: caps and the bot rule judge them like any other"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Refused records by reason; --show lists them, --resubmit sends them again after a fix.

    Example: `mmrec events rejected --reason unknown_behavior --resubmit`
    """
    from mmrec.operating.rejected import event_refusals

    now_s = time.time()
    wish = _wish(reason=reason, since=since, show=show, limit=limit, again=again, yes=yes, as_json=as_json, now_s=now_s)
    if address:
        _look_there(config, address, wish, kind="EVENTS", as_they_were=as_they_were)
        return
    settings = deployment_settings(config)
    _look(event_refusals(settings, now_s=now_s, as_they_were=as_they_were), wish, settings)


def items_rejected(
    *,
    config: ConfigOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    show: ShowOption = "",
    limit: LimitOption = 0,
    again: Annotated[
        bool,
        typer.Option("--resubmit", help="send what the rules take now, each record once, where nothing newer stands"),
    ] = False,
    yes: YesOption = False,
    address: AddressOption = "",
    as_json: JsonOption = False,
) -> None:
    """Refused catalogue records by reason; --show lists them, --resubmit sends them again after a fix.

    The state before a refused one stays in use. Example: `mmrec items rejected --show bad_price`
    """
    from mmrec.operating.rejected import item_refusals

    wish = _wish(
        reason=reason, since=since, show=show, limit=limit, again=again, yes=yes, as_json=as_json, now_s=time.time()
    )
    if address:
        _look_there(config, address, wish, kind="ITEMS")
        return
    settings = deployment_settings(config)
    _look(item_refusals(settings), wish, settings)


def _wish(
    *, reason: str, since: str, show: str, limit: int, again: bool, yes: bool, as_json: bool, now_s: float
) -> _Wish:
    if show and again:
        raise InvalidRequestError("--show and --resubmit are two things; ask for one of them")
    since_s = instant(since, now_s=now_s) if since else 0.0
    return _Wish(reason=reason, since_s=since_s, show=show, limit=limit, again=again, yes=yes, as_json=as_json)


def _look(refusals: "Refusals", wish: _Wish, settings: Settings) -> None:
    from mmrec.events.resubmit import Fate
    from mmrec.operating.reason_groups import by_reason, groups_document
    from mmrec.operating.rejected import refused_records

    with err.status("reading the rejected topic ..."):
        refused = refused_records(settings, refusals, reason=wish.show or wish.reason, since_s=wish.since_s)
        if wish.show:
            _show(refused, limit=wish.limit or 20, as_json=wish.as_json)
            return
        groups = by_reason(refused)
    if not wish.as_json:
        _print_groups(groups, refused, num_malformed_lists=refusals.num_malformed_lists)
    elif not wish.again:
        counts = {"num_unreadable": refused.num_unreadable, "num_malformed_served_lists": refusals.num_malformed_lists}
        print_json({"groups": groups_document(groups), **counts})
    if wish.again:
        num_sendable = sum(group.fates[Fate.SENDABLE] for group in groups)
        _send_again(refused, refusals.topics, wish, settings, num_sendable=num_sendable)


def _look_there(config: str, address: str, wish: _Wish, *, kind: str, as_they_were: bool = False) -> None:
    """By the service at an address."""
    from google.protobuf.json_format import MessageToDict

    from mmrec.cli.rejected_report import print_group_messages, record_message_lines
    from mmrec.cli.state_commands import asked_for
    from mmrec.operating.instants import stamp
    from mmrec.v1 import admin_pb2

    of = admin_pb2.RejectedFilter(
        kind=admin_pb2.RejectedKind.Value(f"REJECTED_KIND_{kind}"),
        reason=wish.show or wish.reason,
        since_time=stamp(wish.since_s),
    )
    desk = remote_desk(config, address)
    assert desk is not None, "an address was given"
    with desk:
        method = "ListRejected" if wish.show else "CountRejected"
        request: Any = admin_pb2.CountRejectedRequest(filter=of)
        if wish.show:
            request = admin_pb2.ListRejectedRequest(filter=of, num_records=min(wish.limit, 200))
        answer = desk.ask(method, request)
    if wish.as_json and not wish.again:
        print_json(MessageToDict(answer, preserving_proto_field_name=True))
    elif wish.show:
        for record in answer.records:
            typer.echo("\n".join(record_message_lines(record)))
    elif not wish.as_json:
        print_group_messages(answer.groups, out)
    if not wish.again:
        return
    num_sendable = sum(group.num_sendable for group in answer.groups)
    if num_sendable and not wish.yes:
        typer.confirm(f"Send {num_sendable:,} records again?", abort=True, err=True)
    send = admin_pb2.ResubmitRejectedRequest(filter=of, max_records=wish.limit, as_they_were=as_they_were)
    result = asked_for(config, address, "ResubmitRejected", send, "records sent")
    print_json({"num_sent": result.num_sent}) if wish.as_json else typer.echo(f"{result.num_sent:,} records sent again")


def instant(text: str, *, now_s: float) -> float:
    """Epoch seconds of an RFC 3339 instant, or of a span before now.

    Raises:
        InvalidRequestError: it is neither.
    """
    from mmrec.wire.instants import parse_time

    if span := _SPAN.fullmatch(text):
        return now_s - float(span[1]) * _UNITS_S[span[2]]
    time_s = parse_time(text)
    if time_s is None:
        raise InvalidRequestError(f"--since is {text!r}; give RFC 3339, such as 2026-01-31T12:00:00Z, or 90min, 2h, 3d")
    return time_s


def _show(refused: "RefusedRecords", *, limit: int, as_json: bool) -> None:
    from collections import deque

    from mmrec.cli.rejected_report import full_lines
    from mmrec.events.resubmit import Fate
    from mmrec.operating.reason_groups import refused_document

    num_records = 0
    newest = deque[object](maxlen=limit)
    for record in refused:
        if record.fate is not Fate.COPY:
            num_records += 1
            newest.append(refused_document(record) if as_json else "\n".join(full_lines(record)))
    if as_json:
        print_json(list(newest))
        return
    for lines in newest:
        typer.echo(lines)
    typer.echo(f"{len(newest):,} of {num_records:,} records, the newest of each partition last")


def _print_groups(groups: "list[ReasonGroup]", refused: "RefusedRecords", *, num_malformed_lists: int) -> None:
    from mmrec.cli.rejected_report import print_groups
    from mmrec.events.resubmit import Fate

    if groups:
        print_groups(groups, out)
    else:
        typer.echo("nothing was refused")
    if num_cut := sum(group.fates[Fate.CUT] for group in groups):
        typer.echo(f"{num_cut:,} records were kept by their beginning only and cannot be sent again")
    if refused.num_unreadable:
        typer.echo(f"{refused.num_unreadable:,} records of the topic hold no refusal; somebody else wrote them")
    if num_malformed_lists:
        typer.echo(f"{num_malformed_lists:,} malformed served lists were counted; they are not kept")


def _send_again(
    refused: "RefusedRecords", topics: "ResubmitTopics", wish: _Wish, settings: Settings, *, num_sendable: int
) -> None:
    from mmrec.events.resubmit import resubmit
    from mmrec.operating.acts import ActKind
    from mmrec.operating.workplace import recorded_here
    from mmrec.wiring import open_producer

    num_planned = min(num_sendable, wish.limit) if wish.limit else num_sendable
    if num_planned and not wish.yes:
        if not sys.stdin.isatty():
            raise InvalidRequestError(f"{num_planned} records would be sent again; say --yes where nobody can be asked")
        typer.confirm(f"Send {num_planned:,} records to {topics.records} again?", abort=True, err=True)
    num_sent, details = 0, {"reason": wish.reason}
    if num_planned:
        with (
            recorded_here(settings, ActKind.RESUBMIT_REJECTED, subject=topics.rejected, details=details) as act,
            closing(open_producer(settings)) as producer,
            counting(f"of {num_planned:,} records sent") as told,
        ):
            num_sent = resubmit(refused, producer, topics, max_records=wish.limit or None, told=told)
            act.details["num_sent"] = str(num_sent)
    if wish.as_json:
        print_json({"num_sent": num_sent})
    else:
        typer.echo(f"{num_sent:,} records sent again")
