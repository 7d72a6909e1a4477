"""What a demo found, for a terminal, a program and a browser: the same facts three times."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmrec.demo.journey import Journey
from mmrec.demo.ledger import Exactness, LedgerCounts
from mmrec.demo.page import ShownItem
from mmrec.evaluation.prequential import PrequentialResult
from mmrec.features.record_counts import RecordCounts
from mmrec.scoring.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class DemoFacts:
    """Everything measured in one run."""

    dataset: str
    steps: Sequence[Mapping[str, float | str]]
    total_s: float
    sent: LedgerCounts
    """What the producer sent."""
    stream_counts: RecordCounts
    """What the stream says became of it."""
    exactness: Exactness
    journey: Journey
    live: PrequentialResult
    split: str
    num_items_indexed: int
    release_id: str


def as_document(facts: DemoFacts) -> dict[str, Any]:
    """The facts under the names of `.mmrec/demo.json`."""
    counts, journey, live = facts.stream_counts, facts.journey, facts.live
    return {
        "dataset": facts.dataset,
        "steps": [dict(step) for step in facts.steps],
        "total_s": round(facts.total_s, 1),
        "events_produced": facts.sent.produced,
        "events_accepted": counts.verdicts.get(Verdict.ACCEPTED, 0),
        "events_duplicate": counts.verdicts.get(Verdict.DUPLICATE, 0),
        "events_rejected": counts.num_rejected,
        "rejected_by_reason": dict(counts.rejected),
        "max_relative_error": facts.exactness.max_relative_error,
        "num_profiles_compared": facts.exactness.num_profiles,
        "num_pairs_compared": facts.exactness.num_pairs,
        "num_profiles_pruned": facts.exactness.num_pruned,
        "freshness_s": round(journey.freshness_s, 3),
        "num_items_indexed": facts.num_items_indexed,
        "release_id": facts.release_id,
        "user_id": journey.user_id,
        "clicked": [item.item_id for item in journey.clicks],
        "list_before": [item.item_id for item in journey.before],
        "list_after": [item.item_id for item in journey.after],
        "list_repeatable": journey.is_repeatable,
        "list_changed": journey.list_changed,
        "new_items": [{"item_id": item.item_id, "why": item.why} for item in journey.new_items],
        "hr_at_10": live.hr_at_10,
        "hr_at_10_popularity": live.hr_at_10_popularity,
        "hr_at_10_difference": asdict(live.difference),
        "ndcg_at_10": live.ndcg_at_10,
        "ndcg_at_10_popularity": live.ndcg_at_10_popularity,
        "popularity_half_life_days": live.popularity_half_life_days,
        "num_lists_compared": live.num_events,
        "num_users_compared": live.num_users,
        "split": facts.split,
    }


def as_rows(facts: DemoFacts) -> list[tuple[str, str]]:
    """(name, value) for people."""
    live, sent, exactness = facts.live, facts.sent, facts.exactness
    counts = facts.stream_counts
    difference = live.difference
    return [
        ("first changed list after the first click", f"{facts.journey.freshness_s:.2f} s"),
        ("asked twice, the same list", "yes" if facts.journey.is_repeatable else "no"),
        (
            "events",
            f"{sent.produced} sent, {counts.verdicts.get(Verdict.ACCEPTED, 0)} accepted, "
            f"{counts.verdicts.get(Verdict.DUPLICATE, 0)} duplicate, {counts.num_rejected} rejected",
        ),
        (
            "profiles against the plain sum",
            f"{exactness.num_profiles} profiles, {exactness.num_pairs} scores, "
            f"largest relative error {exactness.max_relative_error:.1e}",
        ),
        ("items indexed, release", f"{facts.num_items_indexed}, {facts.release_id}"),
        ("compared on", f"{facts.split}; {live.num_events} lists of {live.num_users} users, full catalogue"),
        ("HR@10", f"{live.hr_at_10:.3f}"),
        (
            f"HR@10 of decayed popularity (half-life {live.popularity_half_life_days:g} days, tuned)",
            f"{live.hr_at_10_popularity:.3f}",
        ),
        (
            "difference, 95 % interval over users",
            f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]",
        ),
        ("whole run", f"{facts.total_s:.0f} s"),
    ]


def as_lines(facts: DemoFacts, *, length: int = 10) -> list[str]:
    """The journey and the figures for a terminal."""
    journey = facts.journey
    former = {item.item_id: rank for rank, item in enumerate(journey.before, start=1)}
    lines = [f"User {journey.user_id}, before:"]
    lines += [_line(rank, item, "") for rank, item in enumerate(journey.before[:length], start=1)]
    lines += ["", "Three clicks on Kafka:", *(f"    *  {item.title}  ({item.item_id})" for item in journey.clicks)]
    lines += ["", f"After, first changed {journey.freshness_s:.2f} s after the first click was sent:"]
    for rank, item in enumerate(journey.after[:length], start=1):
        mark = "new" if item.item_id not in former else _moved(former[item.item_id] - rank)
        lines.append(_line(rank, item, mark))
    lower = [item for item in journey.after[length:] if item.item_id not in former]
    if lower:
        lines.append(f"       and {len(lower)} more new items further down")
    width = max(len(name) for name, _ in as_rows(facts))
    return [*lines, "", *(f"{name:<{width}}  {value}" for name, value in as_rows(facts))]


def write_document(facts: DemoFacts, path: Path) -> None:
    """Replace the file at `path` by the facts as JSON."""
    path.write_text(json.dumps(as_document(facts), indent=1, allow_nan=True) + "\n", encoding="utf-8")


def _moved(places: int) -> str:
    return f"{places:+d}" if places else ""


def _line(rank: int, item: ShownItem, mark: str) -> str:
    why = f"  - {item.why}" if item.why and mark == "new" else ""
    return f"  {rank:3d}  {mark:>3}  {item.title}{why}"
