"""What a rehearsal found, as figures of a receipt and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.rehearsal.acts import Performed
from tests.rehearsal.lists import Answer
from tests.rehearsal.run import Outcome, Plan


def figures(outcome: Outcome, plan: Plan) -> dict[str, Any]:
    """Flat: name with its unit -> number."""
    found: dict[str, Any] = {
        "events_per_s": plan.events_per_s,
        "acknowledged": outcome.acknowledged,
        "lost": outcome.found.lost,
        "wrong_profiles": outcome.found.wrong_profiles,
        "sent_again": sum(way.num_sent_again for way in outcome.ways.values()),
        "start_s": round(outcome.start_s, 1),
        "seconds": round(outcome.seconds, 1),
        "peak_memory_gb": round(outcome.peak_gb, 2),
        "lists_per_s": plan.lists_per_s,
        **_lists(outcome.answers),
    }
    for act in outcome.acts:
        found |= {f"{act.act}.{way}_recovery_s": seconds for way, seconds in act.recovery_s.items()}
        found |= {f"{act.act}.{name}_p99_ms": _ms(_waits(outcome, act, name), 99) for name in outcome.ways}
        found[f"{act.act}.sent_again"] = act.sent_again
        if mine := [a for a in outcome.answers if act.began_s <= a.asked_s <= act.ended_s]:
            found |= {f"{act.act}.{name}": value for name, value in _lists(mine).items()}
    return found


def _lists(answers: Sequence[Answer]) -> dict[str, Any]:
    good = [answer for answer in answers if not answer.has_failed]
    return {
        "requests": len(answers),
        "failed_requests": len(answers) - len(good),
        "retried_requests": sum(answer.tries > 1 for answer in good),
        "empty_lists": sum(not answer.num_items for answer in good),
        "degraded_lists": sum(bool(answer.lacking) for answer in good),
        "lists_p99_ms": _ms([answer.seconds for answer in good], 99),
    }


def samples(outcome: Outcome) -> dict[str, Any]:
    """Raw: by act and way, how long events took until they were acknowledged, in hundredths."""
    return {
        act.act: {
            name: [_ms(waits, percent) for percent in (1, 10, 25, 50, 75, 90, 99, 100)] if len(waits) else []
            for name in outcome.ways
            for waits in (_waits(outcome, act, name),)
        }
        for act in outcome.acts
    }


def table(outcome: Outcome) -> list[str]:
    """For a person."""
    ways = [*outcome.acts[0].recovery_s]
    head = [
        "act",
        *(f"{way} works after s" for way in ways),
        *(f"{name} p99 ms" for name in outcome.ways),
        "sent again",
    ]
    rows = [
        [
            act.act,
            *("never" if seconds is None else f"{seconds:.1f}" for seconds in act.recovery_s.values()),
            *(f"{_ms(_waits(outcome, act, name), 99):,.0f}" for name in outcome.ways),
            f"{act.sent_again:,}",
        ]
        for act in outcome.acts
    ]
    found = f"lost {outcome.found.lost}, wrong profiles {outcome.found.wrong_profiles}"
    sums = f"acknowledged {outcome.acknowledged:,}, {found}"
    if outcome.answers:
        sums += "; " + ", ".join(
            f"{name.replace('_', ' ')} {value:,}" for name, value in _lists(outcome.answers).items()
        )
    return [*_aligned([head, *rows]), f"{sums}; {outcome.seconds:.0f} s, {outcome.peak_gb:.1f} GB"]


def _waits(outcome: Outcome, act: Performed, way: str) -> Sequence[float]:
    return [wait_s for at_s, wait_s in outcome.ways[way].waits if act.began_s <= at_s <= act.ended_s]


def _ms(waits_s: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(waits_s, percent)) * 1_000, 1) if len(waits_s) else float("nan")


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(part.rjust(width) for part, width in zip(row, widths, strict=True)) for row in rows]
