"""Commands that ask for lists: recommend, batch, similar, rank, rows, why, search."""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mmrec.cli.terminal import ConfigOption, JsonOption, deployment_settings, err, out, print_json
from mmrec.errors import InvalidRequestError, NotFoundError

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help="condition that must hold: color=red, color!=red, genre&=Comedy, inches>=13, price<=50, "
        "published>=2026-01-31, domain=NAME, stock=any; repeatable"
    ),
]


ContextOption = Annotated[
    list[str] | None, typer.Option("--context", help="name=value of where it is asked, such as country=SE; repeatable")
]


def recommend(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    exclude: Annotated[list[str] | None, typer.Option(help="item id to leave out; repeatable")] = None,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    as_of: Annotated[str, typer.Option("--as-of", help="instant, such as 2026-01-31T12:00:00Z; now where absent")] = "",
    where: WhereOption = None,
    context: ContextOption = None,
    page: Annotated[str, typer.Option("--page", help="next page token of the answer before")] = "",
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """A user's list, and why each item is on it.

    Example: `mmrec recommend u00001 -n 10 --session i00042:browse --where color!=red --where "price<=50"`
    """
    from mmrec.cli.list_report import print_list, session_event
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import asked_context, attribute_filter
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
            item_filter=attribute_filter(where or ()),
            session_events=clicks,
            page_token=page,
            include_explanations=True,
            as_of_s=as_of_s,
            context=asked_context(context or ()),
        )
    _show(answer, print_list, as_json=as_json)


def batch(
    users: Annotated[Path, typer.Argument(help="file of user ids, one a line; - reads them from the terminal's input")],
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of each list")] = 20,
    where: WhereOption = None,
    placement: Annotated[str, typer.Option(help="place the lists are for, kept with them")] = "",
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
) -> None:
    """Lists for many users as JSON, one a line, as they are made; python -m jobs.recommend_users is for millions.

    Example: `mmrec batch users.txt -n 10 --placement letter > lists.jsonl`
    """
    from mmrec.cli.list_report import list_document
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import attribute_filter
    from mmrec.serving.batch_answer import MAX_USERS
    from mmrec.wire.portions import portions

    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        for some in portions(_user_ids(users), MAX_USERS):
            lists = client.recommend_many(some, num_items=num_items, item_filter=item_filter, placement=placement)
            for each in lists:
                typer.echo(json.dumps(list_document(each), ensure_ascii=False))


def _user_ids(file: Path) -> Iterator[str]:
    """The ids of a file, or for "-" of the terminal's input, one a line."""
    try:
        with sys.stdin if str(file) == "-" else file.open(encoding="utf-8") as lines:
            yield from (name for line in lines if (name := line.strip()))
    except OSError as error:
        raise InvalidRequestError(f"{file} cannot be read: {error.strerror}; give a file of user ids") from None


def similar(
    item: Annotated[str, typer.Argument(help="item id")],
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    goes_with: Annotated[bool, typer.Option("--goes-with", help="what people take together with it instead")] = False,
    user: Annotated[str, typer.Option(help="user id: this user's interest has a say in the order")] = "",
    where: WhereOption = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Items like one item, or what goes with it.

    Example: `mmrec similar i00042 --user u00001 --where "price<=50"`, `mmrec similar i00042 --goes-with`
    """
    from mmrec.cli.list_report import print_list
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import attribute_filter

    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.similar(item, num_items=num_items, goes_with=goes_with, user_id=user, item_filter=item_filter)
    _show(answer, print_list, as_json=as_json)


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
    from mmrec.cli.list_report import print_list, session_event
    from mmrec.cli.terminal import recommender_client

    clicks = [session_event(text) for text in session or ()]
    with recommender_client(target, config) as client:
        answer = client.rank(user, items, session_events=clicks, include_explanations=True)
    _show(answer, print_list, as_json=as_json)


def rows(
    user: Annotated[str, typer.Argument(help="user id; known or not")],
    *,
    config: ConfigOption = "",
    num_rows: Annotated[int, typer.Option(min=1, max=20, help="rows of the page")] = 5,
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=50, help="items of a row")] = 6,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    where: WhereOption = None,
    context: ContextOption = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """A page of rows for a user: the user's list, "because you ...", new, popular; no item in two of them.

    Example: `mmrec rows u00001`
    """
    from mmrec.cli.list_report import print_rows, session_event
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import asked_context, attribute_filter

    clicks, item_filter = [session_event(text) for text in session or ()], attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.rows(
            user,
            num_rows=num_rows,
            num_items=num_items,
            item_filter=item_filter,
            session_events=clicks,
            context=asked_context(context or ()),
        )
    _show(answer, print_rows, as_json=as_json)


def why(
    user: Annotated[str, typer.Argument(help="user id; known or not")] = "",
    item: Annotated[str, typer.Argument(help="item id, on the user's list or not")] = "",
    *,
    request_id: Annotated[
        str, typer.Option("--request-id", help="instead of user and item: the list that was served, from the log")
    ] = "",
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    session: Annotated[list[str] | None, typer.Option(help="item:behavior done just now; repeatable")] = None,
    where: WhereOption = None,
    rows: Annotated[int, typer.Option(min=1, help="features to show")] = 8,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Why an item is on a user's list, or why not: each recall source, each feature, and the stage that dropped it.

    Example: `mmrec why u00001 i00042`
    """
    if request_id:
        _served(config, request_id, as_json=as_json)
        return
    if not (user and item):
        raise InvalidRequestError("give a user id and an item id, or --request-id of a list that was served")
    from mmrec.cli.list_report import session_event
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import attribute_filter
    from mmrec.cli.why_report import print_why

    clicks = [session_event(text) for text in session or ()]
    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.explain(user, item, num_items=num_items, session_events=clicks, item_filter=item_filter)
    _show(answer, partial(print_why, num_features=rows), as_json=as_json)


def _served(config: str, request_id: str, *, as_json: bool) -> None:
    from mmrec.cli.why_report import print_served
    from mmrec.events.served import find_served
    from mmrec.wiring import open_event_log

    with err.status("reading the event log ..."):
        served = find_served(open_event_log(deployment_settings(config)).scan_served(), request_id)
    if served is None:
        raise NotFoundError(
            f"no list of request {request_id!r} is in the event log; the stream brings lists there within a minute, "
            "and neither those of forgotten users nor expired ones stay"
        )
    if as_json:
        print_json(served)
    else:
        print_served(served, out)


def _show(answer: Any, show: Callable[[Any, Console], None], *, as_json: bool) -> None:
    """An answer for machines or, as `show` has it, for people."""
    from mmrec.cli.list_report import list_document

    if as_json:
        print_json(list_document(answer))
    else:
        show(answer, out)


def search(
    text: Annotated[str, typer.Argument(help="what is looked for; not needed beside --image or --like")] = "",
    *,
    config: ConfigOption = "",
    num_items: Annotated[int, typer.Option("--num-items", "-n", min=1, max=200, help="length of the list")] = 20,
    image: Annotated[list[Path] | None, typer.Option(help="picture file of what is looked for; repeatable")] = None,
    like: Annotated[list[str] | None, typer.Option(help="item id of something like it; repeatable")] = None,
    without: Annotated[list[str] | None, typer.Option("--not", help="what it should not be; repeatable")] = None,
    user: Annotated[str, typer.Option(help="user id: order by relevance and this user's interest")] = "",
    where: WhereOption = None,
    target: Annotated[str, typer.Option(help="host:port of another recommender")] = "",
    as_json: JsonOption = False,
) -> None:
    """Items for words, pictures or other items, and why each was found.

    Example: `mmrec search "red summer dress" --not stripes --like i00042`
    """
    from mmrec.cli.list_report import print_list
    from mmrec.cli.search_parts import query_parts
    from mmrec.cli.terminal import recommender_client
    from mmrec.cli.where import attribute_filter

    parts = query_parts(text, images=image or (), item_ids=like or (), unwanted=without or ())
    item_filter = attribute_filter(where or ())
    with recommender_client(target, config) as client:
        answer = client.search(parts, num_items=num_items, item_filter=item_filter, user_id=user, personal=bool(user))
    _show(answer, print_list, as_json=as_json)
