"""How fast sequences are learned from, and what that gives: the shipped causal towers beside SASRec as published.

    python -m tests.benchmarks.bench_training                        the peer learns for two hours; one thread
    python -m tests.benchmarks.bench_training --peer-seconds 480     stopped before its time, and said so

`amazon_beauty_sequences`, leave-one-out, full ranking over items new to the user, train only, one seed (--seed). A
sequence is one user; an epoch reads each once. `sequences_per_s` counts the processor seconds of epochs, without
judging; the median of all epochs. Both keep the epoch that is best on 3,000 validation users, and are judged on the
test users with it; `..._at_budget` is the same for what was reached within so many processor seconds of training.
Writes tests/benchmarks/results/training.json.
"""

import argparse
import copy
import json
import os
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import nn

from mmrec.evaluation.candidates import FULL
from mmrec.evaluation.interactions import Float32Array, Histories, IntArray
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import mean_of, per_target
from mmrec.evaluation.model import Model
from mmrec.evaluation.splits import SplitOptions, leave_one_out
from mmrec.evaluation.task import Targets
from mmrec.experiments.data_sets import read_data_set
from tests.benchmarks.receipt import write_receipt
from tests.benchmarks.training_rivals import FIT, TOWERS, CausalTowers, PublishedSASRec
from tests.public_data import public_data

DATA_SET = "amazon_beauty_sequences"
ENCODERS = {"attributes": "attribute-hash"}
VALIDATION_USERS = 3_000


class Rival(Protocol):
    """What is compared; judge() asks score() of it and nothing more."""

    num_sequences: int

    @property
    def name(self) -> str:
        """In progress."""

    @property
    def network(self) -> nn.Module:
        """What learns."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is planned any more."""

    def run_epoch(self) -> None:
        """Read every user once."""

    def ready(self) -> None:
        """Between an epoch and score()."""

    def score(self, users_N: IntArray, histories: Histories) -> Float32Array:
        """As of a Model."""


@dataclass(kw_only=True)
class Course:
    """How a training went."""

    epoch_seconds: list[float] = field(default_factory=list)
    judged: list[tuple[float, float]] = field(default_factory=list)
    """(processor seconds of training so far, validation NDCG@10)."""
    figures: dict[str, float] = field(default_factory=dict)
    """Of the best epoch on the test users."""
    at_budget: dict[str, float] = field(default_factory=dict)
    """The same of the best one within the budget."""


def quality(rival: Rival, targets: Targets, *, seed: int) -> dict[str, float]:
    """NDCG@10 and HR@10 among all items that are new to the user."""
    rival.ready()
    places = judge(cast("Model", rival), targets, seen=("new",), seed=seed)[FULL, "new"]
    values = per_target(places, targets, cuts=(10,))
    return {name: mean_of(values[name]) for name in ("ndcg_at_10", "hr_at_10")}


def quality_with(rival: Rival, weights: Any, targets: Targets, *, seed: int) -> dict[str, float]:
    """The same with weights of another epoch."""
    newest = copy.deepcopy(rival.network.state_dict())
    rival.network.load_state_dict(weights)
    found = quality(rival, targets, seed=seed)
    rival.network.load_state_dict(newest)
    return found


def trained(
    rival: Rival, validation: Targets, test: Targets, *, seconds: float, budget_s: float, every_s: float, seed: int
) -> Course:
    """Epochs until `seconds` of training are over, or the rival's plan is, judged about every `every_s` of them."""
    course, best, spent_s, judged_s = Course(), -1.0, 0.0, 0.0
    kept: Any = None
    while not rival.is_over and spent_s < seconds:
        began_s = time.process_time()
        rival.run_epoch()
        course.epoch_seconds.append(time.process_time() - began_s)
        spent_s += course.epoch_seconds[-1]
        if not course.at_budget and spent_s > budget_s and kept is not None:
            course.at_budget = quality_with(rival, kept, test, seed=seed)
        if spent_s - judged_s >= every_s or rival.is_over or spent_s >= seconds:
            judged_s, found = spent_s, quality(rival, validation, seed=seed)["ndcg_at_10"]
            course.judged.append((spent_s, found))
            print(json.dumps({"rival": rival.name, "seconds": round(spent_s, 1), "ndcg_at_10": found}), flush=True)
            if found > best:
                best, kept = found, copy.deepcopy(rival.network.state_dict())
    course.figures = quality_with(rival, kept, test, seed=seed)
    course.at_budget = course.at_budget or course.figures
    return course


def main() -> None:
    """Train both, one after the other, and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-seconds", type=float, default=7_200.0, help="processor seconds that the peer learns")
    parser.add_argument("--budget-s", type=float, default=60.0, help="processor seconds of the second comparison")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = read_data_set(DATA_SET, data_folder=str(public_data()), encoders=ENCODERS)
    task = leave_one_out(found.data)
    validation = leave_one_out(found.data, SplitOptions(max_targets=VALIDATION_USERS)).validation
    data = task.data.take(task.fit_E)
    ours = CausalTowers(data, found.items, settings=TOWERS, config=replace(FIT, seed=asked.seed))
    peer = PublishedSASRec(data, seed=asked.seed)
    common = {"budget_s": asked.budget_s, "seed": asked.seed}
    courses = {
        "": trained(ours, validation, task.test, seconds=float("inf"), every_s=asked.budget_s / 5, **common),
        "_peer": trained(peer, validation, task.test, seconds=asked.peer_seconds, every_s=asked.budget_s / 5, **common),
    }
    speeds = {"": ours.num_sequences, "_peer": peer.num_sequences}
    figures: dict[str, Any] = {"budget_s": asked.budget_s, "seed": asked.seed}
    for suffix, course in courses.items():
        figures |= {
            f"sequences_per_s{suffix}": speeds[suffix] / statistics.median(course.epoch_seconds),
            f"epochs{suffix}": len(course.epoch_seconds),
            f"training_seconds{suffix}": sum(course.epoch_seconds),
            **{f"{name}{suffix}": value for name, value in course.figures.items()},
            **{f"{name}{suffix}_at_budget": value for name, value in course.at_budget.items()},
        }
    figures["times_faster"] = figures["sequences_per_s"] / figures["sequences_per_s_peer"]
    path = write_receipt(
        "training",
        figures,
        samples={
            "epoch_seconds": {name: course.epoch_seconds for name, course in courses.items()},
            "judged": {name: course.judged for name, course in courses.items()},
        },
        packages=("torch", "numpy"),
        output=asked.output,
        notes=(
            f"{DATA_SET}, leave-one-out, all items new to the user, train only, {len(task.test)} test users",
            f"the peer learned for {asked.peer_seconds:.0f} processor seconds; as published it learns for 201 epochs",
        ),
    )
    print(path)


if __name__ == "__main__":
    main()
