"""Commands that only read: recommend, search, profile, events tail."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from mmrec.cli.terminal import (
    ConfigOption,
    JsonOption,
    deployment_settings,
    err,
    out,
    print_json,
    until_interrupted,
)
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError, NotFoundError


def recommend(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    exclude: Annotated[list[str] | None, typer.Option(help="item id to leave out; repeatable")] = None,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    as_of: Annotated[str, typer.Option("--as-of", help="instant, such as 2026-01-31T12:00:00Z; now where absent")] = "",
    page: Annotated[str, typer.Option("--page", help="next page token of the answer before")] = "",
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """A user's list, and why each item is on it.

    Example: `mmrec recommend u00001 -n 10 --session i00042:browse`
    """
    from mmrec.cli.list_report import list_document, print_list, session_event
    from mmrec.cli.terminal import recommender_client
    from mmrec.wire.instants import parse_time

    as_of_s = parse_time(as_of) if as_of else None
    if as_of and as_of_s is None:
        raise InvalidRequestError(f"--as-of is {as_of!r}; give RFC 3339, such as 2026-01-31T12:00:00Z")
    clicks = [session_event(text) for text in session or ()]
    with recommender_client(target, config) as client:
        answer = client.recommend(
            user,
            num_items=num_items,
            excluded_item_ids=exclude or (),
            session_events=clicks,
            page_token=page,
            include_explanations=True,
            as_of_s=as_of_s,
        )
    if as_json:
        print_json(list_document(answer))
    else:
        print_list(answer, out)


def rank(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    items: Annotated[list[str], typer.Argument(help="item ids, 1 to 1,000")],
    *,
    config: ConfigOption = "",
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Items of yours in the order of a user's interest; unknown and unavailable ones are named.

    Example: `mmrec rank u00001 i00042 i00007 i00133`
    """
    from mmrec.cli.list_report import list_document, print_list, session_event
    from mmrec.cli.terminal import recommender_client

    clicks = [session_event(text) for text in session or ()]
    with recommender_client(target, config) as client:
        answer = client.rank(user, items, session_events=clicks, include_explanations=True)
    if as_json:
        print_json(list_document(answer))
    else:
        print_list(answer, out)


def rows(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    *,
    config: ConfigOption = "",
    num_rows: Annotated[int, typer.Option(min=1, max=20, help="rows of the page")] = 5,
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=50, help="items of a row")] = 6,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """A page of rows for a user: the user's list, "because you ...", new, popular; no item in two of them.

    Example: `mmrec rows u00001`
    """
    from mmrec.cli.list_report import list_document, print_rows, session_event
    from mmrec.cli.terminal import recommender_client

    clicks = [session_event(text) for text in session or ()]
    with recommender_client(target, config) as client:
        answer = client.rows(user, num_rows=num_rows, num_items=num_items, session_events=clicks)
    if as_json:
        print_json(list_document(answer))
    else:
        print_rows(answer, out)


def why(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    item: Annotated[str, typer.Argument(help="item id, on the user's list or not")],
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    where: Annotated[list[str] | None, typer.Option(help="attribute=value that must hold; repeatable")] = None,
    rows: Annotated[int, typer.Option(min=1, help="features to show")] = 8,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Why an item is on a user's list, or why not: each recall source, each feature, and the stage that dropped it.

    Example: `mmrec why u00001 i00042`
    """
    from mmrec.cli.list_report import session_event
    from mmrec.cli.search_parts import attribute_filter
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.why_report import print_why, why_document

    clicks = [session_event(text) for text in session or ()]
    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.explain(user, item, num_items=num_items, session_events=clicks, item_filter=item_filter)
    if as_json:
        print_json(why_document(answer))
    else:
        print_why(answer, out, num_features=rows)


def search(
    text: Annotated[str, typer.Argument(help="what is looked for; not needed beside --image or --like")] = "",
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    image: Annotated[list[Path] | None, typer.Option(help="picture file of what is looked for; repeatable")] = None,
    like: Annotated[list[str] | None, typer.Option(help="item id of something like it; repeatable")] = None,
    without: Annotated[list[str] | None, typer.Option("--not", help="what it should not be; repeatable")] = None,
    user: Annotated[str, typer.Option(help="user id: order by relevance and this user's interest")] = "",
    where: Annotated[list[str] | None, typer.Option(help="attribute=value that must hold; repeatable")] = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Items for words, pictures or other items, and why each was found.

    Example: `mmrec search "red summer dress" --not stripes --like i00042`
    """
    from mmrec.cli.list_report import list_document, print_list
    from mmrec.cli.search_parts import attribute_filter, query_parts
    from mmrec.cli.terminal import recommender_client

    parts = query_parts(text, images=image or (), item_ids=like or (), unwanted=without or ())
    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.search(parts, num_items=num_items, item_filter=item_filter, user_id=user, personal=bool(user))
    if as_json:
        print_json(list_document(answer))
    else:
        print_list(answer, out)


def profile(
    user: Annotated[str, typer.Argument(help="user id; an anonymous id with ~ in front")],
    config: ConfigOption = "",
    rows: Annotated[int, typer.Option(min=1, help="items and events to show")] = 15,
    export: Annotated[
        str, typer.Option("--export", metavar="FILE", help="all that is kept about the user, as JSON")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """What the stream keeps about a user: affinities now, counts, newest events, marks; --json is the whole profile.

    Example: `mmrec profile u00001`
    """
    from mmrec.cli.profile_report import print_profile, profile_document

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


def _export(settings: Settings, user: str, file: str) -> None:
    from mmrec.cli.forget_export import export_document
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
