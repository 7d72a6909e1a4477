"""Commands that look at what is kept: profile, events tail."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from mmrec.cli.terminal import (
    AddressOption,
    ConfigOption,
    JsonOption,
    deployment_settings,
    err,
    out,
    print_json,
    until_interrupted,
)
from mmrec.config import Settings
from mmrec.errors import NotFoundError


def profile(
    user: Annotated[str, typer.Argument(help="user id; an anonymous id with ~ in front")],
    *,
    config: ConfigOption = "",
    rows: Annotated[int, typer.Option(min=1, help="items and events to show")] = 15,
    export: Annotated[
        str, typer.Option("--export", metavar="FILE", help="all that is kept about the user, as JSON")
    ] = "",
    address: AddressOption = "",
    as_json: JsonOption = False,
) -> None:
    """What the stream keeps about a user: affinities now, counts, newest events, marks; --json is the whole profile.

    Example: `mmrec profile u00001`
    """
    from mmrec.cli.profile_report import print_profile
    from mmrec.operating.profile_document import profile_document

    if address:
        _profile_there(config, address, user, rows=rows, export=export, as_json=as_json)
        return
    settings = deployment_settings(config)
    if export:
        _export(settings, user, export)
        return
    with err.status("opening the feature store ..."):
        from mmrec.wiring import open_feature_store

        found = open_feature_store(settings).read_profiles([user]).get(user)
    if found is None:
        raise NotFoundError(f"nothing is known of user {user!r}; events make a profile, `mmrec events tail` shows them")
    if as_json:
        print_json(profile_document(user, found, config=settings.scoring, as_of_s=time.time()))
    else:
        print_profile(user, found, config=settings.scoring, as_of_s=time.time(), num_rows=rows, console=out)


def _profile_there(config: str, address: str, user: str, *, rows: int, export: str, as_json: bool) -> None:
    """By the service at an address."""
    from google.protobuf.json_format import MessageToDict

    from mmrec.cli.profile_report import print_profile_answer
    from mmrec.cli.terminal import remote_desk
    from mmrec.v1.admin_pb2 import ExportUserRequest, GetProfileRequest

    desk = remote_desk(config, address)
    assert desk is not None, "an address was given"
    with desk:
        if export:
            pieces = [message.document for message in desk.run("ExportUser", ExportUserRequest(user_key=user))]
            Path(export).write_bytes(b"".join(pieces))
            typer.echo(f"all that is kept about the user in {export}")
            return
        answer = desk.ask("GetProfile", GetProfileRequest(user_key=user, num_rows=min(rows, 1_000)))
    if as_json:
        print_json(MessageToDict(answer, preserving_proto_field_name=True))
    else:
        print_profile_answer(answer, out)


def _export(settings: Settings, user: str, file: str) -> None:
    from mmrec.operating.user_export import export_document
    from mmrec.wiring import open_event_log, open_feature_store, open_overlay

    with err.status("reading every store ..."):
        document = export_document(
            settings,
            user,
            store=open_feature_store(settings),
            log=open_event_log(settings),
            overlay=open_overlay(settings),
            as_of_s=time.time(),
        )
    Path(file).write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    typer.echo(", ".join(f"{len(rows):,} {name}" for name, rows in document.items()) + f" in {file}")


def events_tail(
    config: ConfigOption = "",
    rejected: Annotated[bool, typer.Option("--rejected", help="refused records, with the reason")] = False,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="all that the topic holds first")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="end after so many")] = None,
    as_json: JsonOption = False,
) -> None:
    """Events as they arrive in Kafka, one a line, until Ctrl-C.

    Example: `mmrec events tail --rejected --from-beginning`
    """
    from mmrec.cli.event_lines import event_line, record_document, rejected_line
    from mmrec.wiring import open_topics

    settings = deployment_settings(config)
    kafka, topics = settings.kafka, open_topics(settings)
    topic, num_shown = kafka.rejected if rejected else kafka.behavior_events, 0
    shown = rejected_line if rejected else event_line
    with until_interrupted():
        for records in topics.follow(topic, stop=lambda: False, from_end=not from_beginning):
            for record in records:
                typer.echo(json.dumps(record_document(record)) if as_json else shown(record))
                num_shown += 1
                if num_shown == count:
                    return
