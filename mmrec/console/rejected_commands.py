"""`mmrec events rejected`: what was refused, why, and sending it again after a fix."""

import re
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from mmrec.config import Settings
from mmrec.console.terminal import ConfigOption, JsonOption, counting, deployment_settings, err, out, print_json
from mmrec.errors import InvalidRequestError

if TYPE_CHECKING:
    from mmrec.console.rejected_report import ReasonGroup
    from mmrec.events.resubmit import RefusedRecords

MALFORMED_LISTS = "malformed_served_lists"
"""The stream's count of served lists that hold none."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}


def events_rejected(
    *,
    config: ConfigOption = "",
    reason: Annotated[str, typer.Option("--reason", help="only records refused for this")] = "",
    since: Annotated[
        str, typer.Option("--since", help="only what came in since: RFC 3339, or a span as 90min, 2h, 3d")
    ] = "",
    show: Annotated[str, typer.Option("--show", metavar="REASON", help="the records of a reason, one by one")] = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="records to show (20) or to send (all) at most")
    ] = 0,
    again: Annotated[bool, typer.Option("--resubmit", help="send what the codec takes now, each record once")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="send without asking")] = False,
    as_they_were: Annotated[
        bool,
        typer.Option("--edit-none", help="send the original bytes: caps and the bot rule judge them like any other"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Refused records by reason; --show lists them, --resubmit sends them again after a fix.

    Example: `mmrec events rejected --reason unknown_behavior --resubmit`
    """
    from mmrec.console.rejected_report import by_reason, groups_document
    from mmrec.events.resubmit import Fate

    if show and again:
        raise InvalidRequestError("--show and --resubmit are two things; ask for one of them")
    now_s = time.time()
    since_s = instant(since, now_s=now_s) if since else 0.0
    settings = deployment_settings(config)
    with err.status("reading the rejected topic ..."):
        refused = _refused(settings, reason=show or reason, since_s=since_s, now_s=now_s, as_they_were=as_they_were)
        if show:
            _show(refused, limit=limit or 20, as_json=as_json)
            return
        groups = by_reason(refused)
    if not as_json:
        _print_groups(groups, refused, settings)
    elif not again:
        lists = _malformed_lists(settings)
        unreadable = refused.num_unreadable
        print_json({"groups": groups_document(groups), "num_unreadable": unreadable, f"num_{MALFORMED_LISTS}": lists})
    if again:
        num_sendable = sum(group.fates[Fate.SENDABLE] for group in groups)
        _send_again(refused, settings, num_sendable=num_sendable, limit=limit, yes=yes, as_json=as_json)


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


def _refused(settings: Settings, *, reason: str, since_s: float, now_s: float, as_they_were: bool) -> "RefusedRecords":
    from mmrec.events.resubmit import RefusedRecords
    from mmrec.stores.kafka import describe_topic, read_topic

    kafka = settings.kafka
    identity = describe_topic(kafka.bootstrap, kafka.rejected)
    return RefusedRecords(
        lambda: read_topic(kafka.bootstrap, kafka.rejected),
        cluster_id=identity.cluster_id,
        topic_id=identity.topic_id,
        behaviors=settings.behaviors,
        settings=settings.events,
        now_s=now_s,
        as_they_were=as_they_were,
        reason=reason,
        since_s=since_s,
    )


def _show(refused: "RefusedRecords", *, limit: int, as_json: bool) -> None:
    from collections import deque

    from mmrec.console.rejected_report import full_lines, refused_document
    from mmrec.events.resubmit import Fate

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


def _print_groups(groups: "list[ReasonGroup]", refused: "RefusedRecords", settings: Settings) -> None:
    from mmrec.console.rejected_report import print_groups
    from mmrec.events.resubmit import Fate

    if groups:
        print_groups(groups, out)
    else:
        typer.echo("nothing was refused")
    if num_cut := sum(group.fates[Fate.CUT] for group in groups):
        typer.echo(f"{num_cut:,} records were kept by their beginning only and cannot be sent again")
    if refused.num_unreadable:
        typer.echo(f"{refused.num_unreadable:,} records of the topic hold no refusal; somebody else wrote them")
    if num_lists := _malformed_lists(settings):
        typer.echo(f"{num_lists:,} malformed served lists were counted; they are not kept")


def _malformed_lists(settings: Settings) -> int:
    from mmrec.telemetry import read_status

    return int(read_status(settings.stores.status).get("score_stream", {}).get("counts", {}).get(MALFORMED_LISTS, 0))


def _send_again(
    refused: "RefusedRecords", settings: Settings, *, num_sendable: int, limit: int, yes: bool, as_json: bool
) -> None:
    from mmrec.events.resubmit import resubmit
    from mmrec.wiring import open_producer

    num_planned = min(num_sendable, limit) if limit else num_sendable
    if num_planned and not yes:
        if not sys.stdin.isatty():
            raise InvalidRequestError(f"{num_planned} records would be sent again; say --yes where nobody can be asked")
        typer.confirm(f"Send {num_planned:,} records to {settings.kafka.behavior_events} again?", abort=True, err=True)
    num_sent = 0
    if num_planned:
        with closing(open_producer(settings)) as producer, counting(f"of {num_planned:,} records sent") as told:
            num_sent = resubmit(refused, producer, settings.kafka, max_records=limit or None, told=told)
    if as_json:
        print_json({"num_sent": num_sent})
    else:
        typer.echo(f"{num_sent:,} records sent again")
