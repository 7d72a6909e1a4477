"""Parameters chosen on validation, and on nothing else: as many trials for each model (METHODS M36).

Each trial fits on what a fit may see, and is judged by NDCG@10 among all items on the validation targets. The first
trial is the defaults; the others are drawn from the declared space with a seed. Trials are kept as they are done;
one that fails is kept with its message, and never chosen.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.candidates import FULL
from mmrec.evaluation.interactions import Interactions, ItemFeatures
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import mean_of, per_target
from mmrec.evaluation.search_space import trials
from mmrec.evaluation.task import Task
from mmrec.experiments.budget import Budget
from mmrec.experiments.fitting import measured
from mmrec.zoo.zoo_model import ZooModel

CHOSEN_BY: Final = "ndcg_at_10"
SEED: Final = 0
"""Of trials' fits and draws; figures are of other seeds."""
FAILURES: Final = (ArithmeticError, ValueError)
"""What a model raises where parameters do not suit the data: no inverse, or scores that are no finite numbers."""


@dataclass(kw_only=True)
class Tuning:
    """What was tried of one model."""

    key: str
    """Of task and code; another one begins anew."""
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Parameters, validation figures and cost of each trial."""

    @property
    def best(self) -> dict[str, Any]:
        """The trial with the highest validation figure among those that did not fail; the first of equals."""
        return max((trial for trial in self.tried if "failed" not in trial), key=lambda trial: trial[CHOSEN_BY])

    @property
    def cpu_seconds(self) -> float:
        """Of all trials, fits and scores."""
        return float(sum(trial["cpu_seconds"] for trial in self.tried))


def tuned(
    entry: ZooModel,
    task: Task,
    items: ItemFeatures,
    *,
    num_trials: int,
    max_cpu_seconds: float = math.inf,
    path: Path,
    key: str,
    tell: Callable[[str], None],
    budget: Budget | None = None,
) -> Tuning:
    """Try parameters; goes on where an earlier run with the same key ended.

    Args:
        num_trials: At most; without validation targets only the defaults are fitted, since nothing can be chosen by.
        max_cpu_seconds: No further trial begins once the model's fits and scores took so long; the first one always
            does.
        budget: Asked before each trial.
        path: File of the trials.
        tell: Called with a line after each trial.

    Raises:
        InvalidRequestError: every trial failed.
        DeadlineError: the budget is over; trials that were done are kept.
    """
    found = _read(path, key)
    data = task.data.take(task.fit_E)
    num_wanted = num_trials if len(task.validation) else 1
    # As the file gives them back: a tuple becomes a list there.
    planned = json.loads(json.dumps(trials(entry.space, num_trials=num_wanted, seed=SEED)))
    for number, parameters in enumerate(planned, start=1):
        if any(trial["parameters"] == parameters for trial in found.tried):
            continue
        if found.tried and found.cpu_seconds >= max_cpu_seconds:
            tell(f"{entry.name}: {number - 1} of {len(planned)} trials in {found.cpu_seconds:.0f} s, and no more")
            break
        if budget is not None:
            budget.check()
        trial = _trial(entry, parameters, data, items, task)
        found.tried.append(trial)
        replace_file(path, (json.dumps(asdict(found), indent=1) + "\n").encode())
        tell(f"{entry.name}: trial {number} of {len(planned)}, {_outcome(trial)}, {parameters or 'defaults'}")
    found.tried = [trial for trial in found.tried if trial["parameters"] in planned]
    if all("failed" in trial for trial in found.tried):
        raise InvalidRequestError(
            f"all {len(found.tried)} trials of {entry.name} failed, the first one: {found.tried[0]['failed']}; leave "
            "the model out, or try more"
        )
    return found


def _trial(
    entry: ZooModel, parameters: dict[str, Any], data: Interactions, items: ItemFeatures, task: Task
) -> dict[str, Any]:
    """Parameters, validation figures and cost; of a failed trial the figures are 0, and "failed" says why."""
    model = entry.model(parameters)
    values: dict[str, Any]
    try:
        with measured() as cost:
            model.fit(data, items, seed=SEED)
            values = {**_validation(model, task)}
    except FAILURES as error:
        values = {CHOSEN_BY: 0.0, "hr_at_10": 0.0, "failed": str(error)}
    return {"parameters": parameters, **values, **asdict(cost)}


def _outcome(trial: dict[str, Any]) -> str:
    return f"failed ({trial['failed']})" if "failed" in trial else f"validation {CHOSEN_BY} {trial[CHOSEN_BY]:.4f}"


def _validation(model: Any, task: Task) -> dict[str, float]:
    if not len(task.validation):
        return {CHOSEN_BY: 0.0, "hr_at_10": 0.0}
    places = judge(model, task.validation, seen=(task.seen,), seed=SEED)[FULL, task.seen]
    values = per_target(places, task.validation, cuts=(10,))
    return {name: mean_of(values[name]) for name in (CHOSEN_BY, "hr_at_10")}


def _read(path: Path, key: str) -> Tuning:
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return Tuning(**kept)
    return Tuning(key=key)
