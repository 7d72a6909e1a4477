"""`mmrec forget USER`: the request on the topic of events, the removal from all other stores, and a receipt."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mmrec.cli.terminal import AddressOption, ConfigOption, JsonOption, deployment_settings, err, print_json
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError


def forget(
    user: Annotated[str, typer.Argument(help="user id; with --anonymous an anonymous id")],
    *,
    config: ConfigOption = "",
    anonymous: Annotated[bool, typer.Option("--anonymous", help="USER is an anonymous id")] = False,
    receipt: Annotated[str, typer.Option("--receipt", help="file of the receipt; default: forgotten-HASH.json")] = "",
    wait: Annotated[float, typer.Option("--wait", min=0.0, help="seconds the stream has to read the request")] = 60.0,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="further folder to clean and search, such as training examples; repeatable"),
    ] = None,
    looked_at: Annotated[
        bool,
        typer.Option("--looked-at", help="the files that a run found were looked at, and hold only longer ids"),
    ] = False,
    address: AddressOption = "",
    as_json: JsonOption = False,
) -> None:
    """Remove everything that is kept about a user, and search every store for what might be left.

    The exit code is 1 where something is left, was found or could not be read: the receipt is not complete, the request
    stays pending, and the same command then continues from there. An id that is part of a longer one is found in that
    one; once somebody has looked at the files, --looked-at completes the receipt in spite of them, and it says so.

    Example: `mmrec forget u00001`
    """
    folders = [Path(name) for name in also or ()]
    if address and folders:
        raise InvalidRequestError("--also names folders of this machine; it does not go with --address")
    if address:
        document, settle = _forgotten_there(config, address, _key(user, anonymous), wait_s=wait, looked_at=looked_at)
    else:
        document, settle = _forgotten_here(
            deployment_settings(config), user, anonymous=anonymous, wait_s=wait, also=folders, looked_at=looked_at
        )
    place = Path(receipt or f"forgotten-{document['user_hash'][:12]}.json")
    place.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    settle()
    if as_json:
        print_json(document)
    else:
        _tell(document)
        typer.echo(f"receipt: {place}")
    if not document["complete"]:
        err.print("not complete: mend what is named above and run the command again; it goes on from here")
        if any(store["found"] for store in document["stores"]):
            err.print("files that only hold longer ids which contain this one: add --looked-at")
        raise typer.Exit(1)


def _key(user: str, anonymous: bool) -> str:
    from mmrec.events.columns import user_key

    return user_key("", user) if anonymous else user


def _forgotten_here(
    settings: Settings, user: str, *, anonymous: bool, wait_s: float, also: list[Path], looked_at: bool
) -> tuple[dict[str, Any], Callable[[], None]]:
    """The receipt, and what is to be called once it is written."""
    from mmrec.operating.acts import ActKind
    from mmrec.operating.forgetting import forget_user
    from mmrec.operating.workplace import recorded_here
    from mmrec.wiring import open_forgotten_users

    key = _key(user, anonymous)
    name = open_forgotten_users(settings).hash_of(key) if key else ""
    with recorded_here(settings, ActKind.FORGET_USER, subject=name, told=err.print) as act:
        forgotten = forget_user(
            settings, user, anonymous=anonymous, wait_s=wait_s, also=also, looked_at=looked_at, doing=err.status
        )
        act.details["is_complete"] = str(forgotten.is_complete).lower()
    return forgotten.document, forgotten.settle


def _forgotten_there(
    config: str, address: str, key: str, *, wait_s: float, looked_at: bool
) -> tuple[dict[str, Any], Callable[[], None]]:
    """The same by the service at an address, which keeps the receipt with the act."""
    from mmrec.cli.state_commands import asked_for
    from mmrec.v1.admin_pb2 import AdminServiceForgetUserRequest

    request = AdminServiceForgetUserRequest(user_key=key, wait_s=wait_s, looked_at=looked_at)
    answer = asked_for(config, address, "ForgetUser", request, "steps")
    return json.loads(answer.receipt), lambda: None


def _tell(document: dict[str, Any]) -> None:
    for store in document["stores"]:
        gone = ", ".join(f"{number:,} {name}" for name, number in store["removed"].items() if number) or "nothing to do"
        left = f"; STILL IN {', '.join(store['found'])}" if store["found"] else ""
        unread = f"; COULD NOT READ {', '.join(store['unread'])}" if store["unread"] else ""
        again = store["found_of_used_again"]
        told = f"; ids used again since the request are in {', '.join(again)}" if again else ""
        typer.echo(f"{store['name']}: {gone}; {store['num_bytes_scanned']:,} bytes searched{left}{unread}{told}")
    if document["not_forgotten_hashes"]:
        typer.echo(f"{len(document['not_forgotten_hashes'])} of the user's keys ARE NOT FORGOTTEN by the stream")
    if document["profiles_left"]:
        typer.echo(f"{document['profiles_left']} PROFILES ARE LEFT in the online store")
    for topic in document["kafka"]:
        until_s = topic["bytes_may_stand_until_s"]
        told = time.strftime("until %Y-%m-%d %H:%MZ", time.gmtime(until_s)) if until_s else "for ever (retention.ms=-1)"
        typer.echo(f"Kafka's own segments of {topic['topic']} may hold the id {told}")
