"""What became of an item on its way to a list, as tables."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.v1 import recommender_pb2
from mmrec.wire.instants import rfc3339


def print_why(answer: recommender_pb2.ExplainItemResponse, console: Console, *, num_features: int) -> None:
    """One line of what became of it, then its sources, then the features that moved it most."""
    item = answer.item
    outcome = recommender_pb2.ItemOutcome.Name(answer.outcome).removeprefix("ITEM_OUTCOME_").lower().replace("_", " ")
    place = f"rank {item.rank}" if item.rank else f"{outcome}, place {answer.place}"
    console.print(f"[bold]{escape(item.item_id)}[/bold] {escape(item.title)}: {place}. {escape(answer.text)}")
    if item.explanation.text and item.explanation.text != answer.text:
        console.print(f"If it were shown: {escape(item.explanation.text)}")
    sources = Table("source", "place", "score", "adds to recall", expand=False)
    for each in answer.sources:
        place = f"{each.rank:,}" if each.rank else "-"
        sources.add_row(each.source, place, f"{each.score:.4f}" if each.rank else "", f"{each.gain:.4f}")
    console.print(sources)
    if answer.contributions:
        _print_features(answer, console, num_features)
    facts = [f"release {answer.release_id or 'none'}", f"{answer.state.num_candidates} candidates"]
    facts.append(f"score {item.ranking_score:.4f}, last of the list {answer.last_score:.4f}")
    if answer.state.degraded:
        facts.append(f"degraded: {', '.join(answer.state.degraded_reasons)}")
    console.print("; ".join(facts), highlight=False, markup=False, soft_wrap=True)


def print_served(served: Mapping[str, Any], console: Console) -> None:
    """A list as it was served: a row of mmrec.events.served.SERVED_SCHEMA."""
    table = Table("rank", "item", "score", "sources", expand=False)
    for item in served["items"]:
        sources = ", ".join(item["sources"])
        table.add_row(str(item["rank"]), escape(item["item_id"]), f"{item['ranking_score']:.4f}", escape(sources))
    console.print(table)
    facts = [f"for {served['user_key'] or 'a session without a user'}", f"at {rfc3339(served['serve_time_s'])}"]
    facts += [f"release {served['release_id'] or 'none'}"]
    facts += [f"placement {served['placement']}"] if served["placement"] else []
    facts += [f"degraded: {', '.join(served['degraded'])}"] if served["degraded"] else []
    console.print("; ".join(facts), highlight=False, markup=False, soft_wrap=True)


def _print_features(answer: recommender_pb2.ExplainItemResponse, console: Console, num_features: int) -> None:
    """The features that added or took most, beside the mean of the candidates, and the sum of the rest."""
    table = Table("feature", "value", "added to the score", expand=False)
    added = sorted(answer.contributions.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    table.add_row("the mean of the candidates", "", f"{answer.candidates_score:.4f}")
    for name, value in added[:num_features]:
        table.add_row(name, f"{answer.features[name]:.4f}", f"{value:+.4f}")
    if rest := added[num_features:]:
        table.add_row(f"{len(rest)} others", "", f"{sum(value for _, value in rest):+.4f}")
    console.print(table)
