"""What earlier runs of the demo found, as committed, and whether a new one is like them.

    stated = read_stated(folder / "demo_movielens.json")        made by python -m tests.benchmarks.keep_demo
    comparison(as_document(facts), stated)                      a line for the end of the demo

A run has drifted where the mean difference over popularity of the stated runs lies outside its own 95 % interval over
users. That interval knows of users, not of trainings or of how fast a machine rebuilds neighbors, so several runs are
kept and their range is said, too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrec.errors import IncompatibleStateError

KEPT = ("hr_at_10", "hr_at_10_popularity", "ndcg_at_10", "ndcg_at_10_popularity", "num_lists_compared")
"""Figures of a run that are kept, by their names in demo.json; hr_at_10_difference is kept by its mean and ends."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Runs of one data set and one commit."""

    commit: str
    runs: Sequence[Mapping[str, float]]
    """At least one, each as kept() gives it."""

    def mean(self, name: str) -> float:
        """Of a figure over the runs."""
        return sum(run[name] for run in self.runs) / len(self.runs)

    def range(self, name: str) -> tuple[float, float]:
        """Smallest and largest of a figure."""
        values = [run[name] for run in self.runs]
        return min(values), max(values)


def kept(document: Mapping[str, Any]) -> dict[str, float]:
    """What is kept of a run, from its demo.json."""
    difference = document["hr_at_10_difference"]
    ends = {f"hr_at_10_difference_{end}": float(difference[end]) for end in ("mean", "low", "high")}
    return {**{name: float(document[name]) for name in KEPT}, **ends}


def read_stated(path: Path) -> Stated | None:
    """What a receipt states; None where there is none.

    Raises:
        IncompatibleStateError: the file is there and is none.
    """
    if not path.is_file():
        return None
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        stated = Stated(commit=str(receipt["commit"]), runs=tuple(receipt["samples"]["runs"]))
        stated.mean("hr_at_10_difference_mean")
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise IncompatibleStateError(
            f"{path} states no runs ({error!r}); make it again: python -m tests.benchmarks.keep_demo"
        ) from None
    return stated


def has_drifted(run: Mapping[str, float], stated: Stated) -> bool:
    """Whether the stated mean difference over popularity lies outside the run's interval."""
    mean = stated.mean("hr_at_10_difference_mean")
    return not run["hr_at_10_difference_low"] <= mean <= run["hr_at_10_difference_high"]


def comparison(document: Mapping[str, Any], stated: Stated | None) -> str:
    """One line: this run beside the stated ones."""
    run, dataset = kept(document), document["dataset"]
    if stated is None:
        return f"no run of {dataset} is stated; keep this one: python -m tests.benchmarks.keep_demo .mmrec/demo.json"
    low, high = stated.range("hr_at_10")
    said = (
        f"HR@10 {run['hr_at_10']:.3f} here, {low:.3f} to {high:.3f} in {len(stated.runs)} stated runs of "
        f"{stated.commit}"
    )
    if has_drifted(run, stated):
        mean = stated.mean("hr_at_10_difference_mean")
        return (
            f"{said}: DRIFTED, their mean difference over popularity of {mean:+.3f} is not within this run's interval; "
            "find out why, or state new runs"
        )
    return f"{said}: alike"
