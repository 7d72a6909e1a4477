"""One user's profile for people.

Axes: I items, B behaviors.
"""

import math

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmrec.cli.standing_report import duration
from mmrec.operating.profile_document import behavior_name, profile_state
from mmrec.scoring.profile import UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig
from mmrec.v1 import admin_pb2


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
    state = profile_state(profile, config, as_of_s)
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
        events.add_row(behavior_name(behavior_id, config), escape(item_id), _ago(time_s, as_of_s))
    console.print(events)
    marks = Table("topic", "partition", "offset", title="marks", title_justify="left")
    for source, offset in sorted(profile.marks.items()):
        marks.add_row(source.topic_id, str(source.partition), str(offset))
    console.print(marks)
    console.print(f"{len(profile.ring_ids_R)} event ids remembered against duplicates")


def _ago(time_s: float, as_of_s: float) -> str:
    if not math.isfinite(time_s):
        return "never"
    return f"{duration(as_of_s - time_s)} ago" if time_s <= as_of_s else f"in {duration(time_s - as_of_s)}"


def print_profile_answer(answer: admin_pb2.GetProfileResponse, console: Console) -> None:
    """The same of a profile that the administrative service told."""
    behaviors = list(answer.weights)
    console.print(
        f"{answer.user_key}: {answer.num_events} events on {answer.num_items} items"
        + (f", {answer.num_pruned_items} items pruned" if answer.num_pruned_items else "")
        + (f"; {len(answer.overlay)} acknowledged events are not counted yet" if answer.overlay else ""),
        highlight=False,
        markup=False,
    )
    items = Table("item", title="affinity, decayed counts as of the item's newest event", title_justify="left")
    for column in ("affinity", *behaviors):
        items.add_column(column, justify="right")
    for item in answer.items:
        counts = [f"{item.counts[name]:.3g}" if name in item.counts else "" for name in behaviors]
        items.add_row(escape(item.item_id), f"{item.affinity:.4f}", *counts)
    console.print(items)
    events = Table("behavior", "item", "when", title="newest events", title_justify="left")
    for event in answer.newest_events:
        events.add_row(escape(event.behavior), escape(event.item_id), event.event_time.ToJsonString())
    console.print(events)
