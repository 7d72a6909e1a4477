"""One user's profile for people, and all of it for machines.

Axes: I items, H half-lives, B behaviors, L newest events.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.cli.standing import duration
from mmrec.scoring.as_of import ProfileAsOf, profile_as_of
from mmrec.scoring.profile import UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig
from mmrec.wire.instants import rfc3339


def profile_document(user_key: str, profile: UserProfile, *, config: ScoringConfig, as_of_s: float) -> dict[str, Any]:
    """Everything a profile holds, with nothing left out: counts, events, totals, marks and remembered event ids."""
    names = [_behavior_name(int(behavior_id), config) for behavior_id in profile.behavior_ids_B]
    affinity_I = _as_of(profile, config, as_of_s).affinity_I
    order = np.argsort(-affinity_I, kind="stable").tolist()
    return {
        "user_key": user_key,
        "as_of": rfc3339(as_of_s),
        "decay_per_day": list(config.decay_per_day),
        "weights": {b.name: b.weight for b in config.behaviors},
        "num_events": profile.num_events,
        "num_items": profile.num_items,
        "num_pruned_items": profile.num_pruned_items,
        "first_event_time": _instant(profile.first_event_time_s),
        "newest_event_time": _instant(profile.newest_event_time_s),
        "newest_ingest_time": _instant(profile.newest_ingest_time_s),
        "items": [
            {
                "item_id": profile.item_ids[row],
                "affinity": float(affinity_I[row]),
                "reference_time": _instant(float(profile.reference_times_I[row])),
                "counts": _by_half_life(profile.counts_IHB[row], names),
            }
            for row in order
        ],
        "newest_events": _newest_events(profile, config),
        "totals": _by_half_life(profile.totals_HB, names),
        "marks": [{**asdict(source), "offset": offset} for source, offset in sorted(profile.marks.items())],
        "event_ids_remembered": [
            {"hash": f"{value:016x}", "ingest_time": _instant(time_s)}
            for value, time_s in zip(profile.ring_ids_R.tolist(), profile.ring_ingest_times_R.tolist(), strict=True)
        ],
    }


def _newest_events(profile: UserProfile, config: ScoringConfig) -> list[dict[str, Any]]:
    return [
        {
            "item_id": item_id,
            "behavior": _behavior_name(behavior_id, config),
            "event_time": _instant(event_time_s),
            "known_time": _instant(known_time_s),
        }
        for item_id, behavior_id, event_time_s, known_time_s in zip(
            profile.recent_item_ids,
            profile.recent_behavior_ids_L.tolist(),
            profile.recent_event_times_L.tolist(),
            profile.recent_known_times_L.tolist(),
            strict=True,
        )
    ]


def _by_half_life(counts_HB: npt.NDArray[np.float64], names: list[str]) -> list[dict[str, float]]:
    return [dict(zip(names, row, strict=True)) for row in counts_HB.tolist()]


def _behavior_name(behavior_id: int, config: ScoringConfig) -> str:
    """A behavior's name; where it is configured no more, its number."""
    found = (behavior.name for behavior in config.behaviors if behavior.behavior_id == behavior_id)
    return next(found, f"behavior {behavior_id}")


def print_profile(
    user_key: str, profile: UserProfile, *, config: ScoringConfig, as_of_s: float, num_rows: int, console: Console
) -> None:
    """Affinities, totals, newest events and what keeps the stream exact."""
    behaviors = config.behaviors
    console.print(
        f"{user_key}: {profile.num_events} events on {profile.num_items} items"
        + (f", {profile.num_pruned_items} items pruned" if profile.num_pruned_items else "")
        + f"; newest event {_ago(profile.newest_event_time_s, as_of_s)}",
        highlight=False,
        markup=False,
    )
    state = _as_of(profile, config, as_of_s)
    affinity_I, counts_IB = state.affinity_I, state.counts_IB
    items = Table("item", title="affinity now, decayed counts as of the item's newest event", title_justify="left")
    for column in ("affinity", *behaviors.names, "newest"):
        items.add_column(column, justify="right")
    shown = np.argsort(-affinity_I, kind="stable")[:num_rows].tolist()
    for row in shown:
        newest = _ago(float(profile.reference_times_I[row]), as_of_s)
        counts = [f"{count:.3g}" if count else "" for count in counts_IB[row].tolist()]
        items.add_row(escape(profile.item_ids[row]), f"{affinity_I[row]:.4f}", *counts, newest)
    totals_B = align_behaviors(profile.totals_HB[0], profile.behavior_ids_B, behaviors)
    items.add_section()
    items.add_row("all items", "", *(f"{total:.3g}" for total in totals_B.tolist()), "")
    console.print(items)
    if profile.num_items > len(shown):
        console.print(f"... and {profile.num_items - len(shown)} more items; --rows shows more, --json all")
    events = Table("behavior", "item", "when", title="newest events", title_justify="left")
    columns = (profile.recent_item_ids, profile.recent_behavior_ids_L.tolist(), profile.recent_event_times_L.tolist())
    for item_id, behavior_id, time_s in list(zip(*columns, strict=True))[: -num_rows - 1 : -1]:
        events.add_row(_behavior_name(behavior_id, config), escape(item_id), _ago(time_s, as_of_s))
    console.print(events)
    marks = Table("topic", "partition", "offset", title="marks", title_justify="left")
    for source, offset in sorted(profile.marks.items()):
        marks.add_row(source.topic_id, str(source.partition), str(offset))
    console.print(marks)
    console.print(f"{len(profile.ring_ids_R)} event ids remembered against duplicates")


def _as_of(profile: UserProfile, config: ScoringConfig, as_of_s: float) -> ProfileAsOf:
    return profile_as_of(profile, as_of_s=as_of_s, behaviors=config.behaviors, decay_per_day=config.decay_per_day[0])


def _instant(time_s: float) -> str | None:
    return rfc3339(time_s) if math.isfinite(time_s) else None


def _ago(time_s: float, as_of_s: float) -> str:
    if not math.isfinite(time_s):
        return "never"
    return f"{duration(as_of_s - time_s)} ago" if time_s <= as_of_s else f"in {duration(time_s - as_of_s)}"
