"""Parameters chosen on validation, and on nothing else: as many trials for each model (METHODS M36).

Each trial fits on what a fit may see, and is judged by NDCG@10 among all items on the validation targets. The first
trial is the defaults; the others are drawn from the declared space with a seed. Trials are kept as they are done.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mmrec.disk.files import replace_file
from mmrec.evaluation.candidates import FULL
from mmrec.evaluation.interactions import ItemFeatures
from mmrec.evaluation.judging import judge
from mmrec.evaluation.measure import mean_of, per_target
from mmrec.evaluation.search_space import trials
from mmrec.evaluation.task import Task
from mmrec.experiments.fitting import fitted
from mmrec.zoo.zoo_model import ZooModel

CHOSEN_BY: Final = "ndcg_at_10"
SEED: Final = 0
"""Of trials' fits and draws; figures are of other seeds."""


@dataclass(kw_only=True)
class Tuning:
    """What was tried of one model."""

    key: str
    """Of task and code; another one begins anew."""
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Parameters, validation figures and cost of each trial."""

    @property
    def best(self) -> dict[str, Any]:
        """The trial with the highest validation figure; the first of equals."""
        return max(self.tried, key=lambda trial: trial[CHOSEN_BY])

    @property
    def cpu_seconds(self) -> float:
        """Of all fits."""
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
) -> Tuning:
    """Try parameters; goes on where an earlier run with the same key ended.

    Args:
        max_cpu_seconds: No further trial begins once the model's fits took so long; the first one always does.
        path: File of the trials.
        tell: Called with a line after each trial.
    """
    found = _read(path, key)
    data = task.data.take(task.fit_E)
    # As the file gives them back: a tuple becomes a list there.
    planned = json.loads(json.dumps(trials(entry.space, num_trials=num_trials, seed=SEED)))
    for number, parameters in enumerate(planned, start=1):
        if any(trial["parameters"] == parameters for trial in found.tried):
            continue
        if found.tried and found.cpu_seconds >= max_cpu_seconds:
            tell(f"{entry.name}: {number - 1} of {len(planned)} trials in {found.cpu_seconds:.0f} s, and no more")
            break
        model = entry.model(parameters)
        cost = fitted(model, data, items, seed=SEED)
        values = _validation(model, task)
        found.tried.append({"parameters": parameters, **values, **asdict(cost)})
        replace_file(path, (json.dumps(asdict(found), indent=1) + "\n").encode())
        tell(
            f"{entry.name}: trial {number} of {len(planned)}, validation {CHOSEN_BY} {values[CHOSEN_BY]:.4f}, "
            f"{parameters or 'defaults'}"
        )
    found.tried = [trial for trial in found.tried if trial["parameters"] in planned]
    return found


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
