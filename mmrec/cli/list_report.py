"""A recommended list as a table."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.errors import InvalidRequestError
from mmrec.v1 import recommender_pb2

ListAnswer = (
    recommender_pb2.RecommendItemsResponse
    | recommender_pb2.SimilarItemsResponse
    | recommender_pb2.SearchItemsResponse
    | recommender_pb2.RankItemsResponse
)


def session_event(text: str) -> tuple[str, str]:
    """Item id and behavior of "item:behavior"; item ids may hold colons.

    Raises:
        InvalidRequestError: one of the two is missing.
    """
    item_id, _, behavior = text.rpartition(":")
    if not item_id or not behavior:
        raise InvalidRequestError(f"session event {text!r} is no item:behavior; give for example i00042:browse")
    return item_id, behavior


def list_document(
    answer: ListAnswer
    | recommender_pb2.RecommendRowsResponse
    | recommender_pb2.ExplainItemResponse
    | recommender_pb2.UserList,
) -> dict[str, Any]:
    """The answer for machines, proto3 JSON in snake_case."""
    document: dict[str, Any] = MessageToDict(answer, preserving_proto_field_name=True)
    return document


def print_list(answer: ListAnswer, console: Console) -> None:
    """Rank, item, title, score, sources and why."""
    table = Table(expand=False)
    table.add_column("rank", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("sources", overflow="fold")
    table.add_column("why", overflow="fold")
    for item in answer.items:
        table.add_row(
            str(item.rank),
            escape(item.item_id),
            escape(item.title),
            f"{item.ranking_score:.4f}",
            ", ".join(item.sources),
            escape(item.explanation.text),
        )
    console.print(table)
    facts = _facts(answer)
    if isinstance(answer, recommender_pb2.RecommendItemsResponse) and answer.next_page_token:
        facts.append(f"more with --page {answer.next_page_token}")
    if isinstance(answer, recommender_pb2.RankItemsResponse):
        left_out = (("unknown", answer.unknown_item_ids), ("not available now", answer.unavailable_item_ids))
        facts += [f"{word}: {', '.join(ids)}" for word, ids in left_out if ids]
    console.print("; ".join(facts), highlight=False, markup=False, soft_wrap=True)


def print_rows(answer: recommender_pb2.RecommendRowsResponse, console: Console) -> None:
    """One table per row, its reason above it."""
    for row in answer.rows:
        table = Table("item", "title", "price", title=escape(row.title), title_justify="left", expand=False)
        for item in row.items:
            price = f"{item.price:,.2f} {item.currency}".strip() if item.price else ""
            table.add_row(escape(item.item_id), escape(item.title), escape(price))
        console.print(table)
    console.print("; ".join(_facts(answer)), highlight=False, markup=False, soft_wrap=True)


def _facts(answer: ListAnswer | recommender_pb2.RecommendRowsResponse) -> list[str]:
    """Release, candidates, freshness and what is lacking."""
    state = answer.state
    facts = [f"release {answer.release_id or 'none'}", f"{state.num_candidates} candidates"]
    if state.HasField("stream_lag"):
        facts.append(f"newest event applied {state.stream_lag.ToTimedelta().total_seconds():.1f} s before")
    if state.degraded:
        facts.append(f"degraded: {', '.join(state.degraded_reasons)}")
    return facts
