"""What a chaos run found, as a table for people and as the figures and samples of its receipt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.chaos_stream_kills import Kills
from tests.benchmarks.chaos_stream_run import Outcome, Plan

SUMS = ("kills", "kills_wanted", "acknowledged", "lost", "wrong_profiles", "sent_again", "duplicates_found", "seconds")
"""Figures that stand for each store, and for all of them together."""


def table(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Lines: kills by store and kind, then what became of the events."""
    rows = [f"{'store':8} {'killed':12} {'kills':>5} {'recovered':>9} {'p50 s':>7} {'max s':>7}"]
    for store, outcome in outcomes.items():
        for kind, kills in outcome.kills.items():
            p50_s, max_s = _p50_and_max(kills) if kills.recoveries_s else (float("nan"), float("nan"))
            recovered = len(kills.recoveries_s)
            rows.append(f"{store:8} {kind:12} {kills.done:5} {recovered:9} {p50_s:7.1f} {max_s:7.1f}")
    rows.append(
        f"{'store':8} {'kills':>5} {'acknowledged':>12} {'repeats':>8} {'lost':>5} {'wrong profiles':>14} {'s':>5}"
    )
    found = figures(outcomes)
    for place in [*outcomes, "all"]:
        end = "" if place == "all" else f"_{place}"
        kills, acknowledged, repeats, lost, wrong, seconds = (
            round(found[name + end])
            for name in ("kills", "acknowledged", "duplicates_found", "lost", "wrong_profiles", "seconds")
        )
        rows.append(f"{place:8} {kills:5} {acknowledged:12} {repeats:8} {lost:5} {wrong:14} {seconds:5}")
    return rows


def figures(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """Flat numbers: of all stores together, by store, and by store and kind of part."""
    total: Counter[str] = Counter()
    apart: dict[str, float] = {}
    for store, outcome in outcomes.items():
        for name, number in zip(SUMS, _sums(outcome), strict=True):
            total[name] += number  # type: ignore[assignment]
            apart[f"{name}_{store}"] = number
        for kind, kills in outcome.kills.items():
            name = f"{kind.replace(' ', '_')}_{{}}_{store}"
            apart[name.format("kills")] = kills.done
            apart[name.format("recovered")] = len(kills.recoveries_s)
            if kills.recoveries_s:
                apart[name.format("recovery_p50_s")], apart[name.format("recovery_max_s")] = _p50_and_max(kills)
    return {**{name: round(total[name], 1) for name in SUMS}, **apart}


def samples(outcomes: Mapping[str, Outcome], plans: Sequence[Plan]) -> dict[str, Any]:
    """Raw values by store: the plan, instants of kills and recoveries, the stream's own counts."""
    return {
        plan.store: {
            "plan": {**vars(plan), "kills": dict(plan.kills)},
            "kills": {
                kind: {"at_s": kills.at_s, "recoveries_s": kills.recoveries_s}
                for kind, kills in outcomes[plan.store].kills.items()
            },
            "counts": dict(outcomes[plan.store].counts),
        }
        for plan in plans
    }


def _sums(outcome: Outcome) -> tuple[float, ...]:
    """Values of SUMS."""
    return (
        outcome.num_kills,
        sum(kills.wanted for kills in outcome.kills.values()),
        outcome.acknowledged,
        outcome.lost,
        outcome.wrong_profiles,
        outcome.sent_again,
        outcome.counts.get("duplicate", 0),
        round(outcome.seconds, 1),
    )


def _p50_and_max(kills: Kills) -> tuple[float, float]:
    return round(float(np.median(kills.recoveries_s)), 2), max(kills.recoveries_s)
