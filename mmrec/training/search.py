"""A search over a recipe's options: what is tried, and what came of it.

The first trial is the options as they are asked for, the others are drawn from the recipe's space with a seed, so that
a search that was ended goes on with the same trials. jobs/tune.py runs them with Ray Tune.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mmrec.disk.files import replace_file
from mmrec.errors import ConfigurationError
from mmrec.evaluation.search_space import trials
from mmrec.training.recipe import Recipe

TUNED: Final = "tuned.json"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One trial."""

    parameters: dict[str, Any]
    """Options that differ from those asked for."""
    scores: tuple[float, ...]
    """What the recipe is judged by, after each epoch; as many as there were before the trial ended."""
    failed: str = ""
    """Why it broke off; empty where it did not."""


def planned_trials(recipe: Recipe, options: Any, *, num_trials: int, seed: int) -> list[dict[str, Any]]:
    """Options to try, as changes of `options`.

    Raises:
        ConfigurationError: the recipe declares nothing that a search may try, or nothing to judge by.
        SettingError: a drawn value is refused by the options' declaration.
    """
    if not recipe.space or not recipe.judged_by:
        raise ConfigurationError(f"--task {recipe.name} has nothing to search; give a recipe that declares a space")
    planned = trials(recipe.space, num_trials=num_trials, seed=seed)
    for parameters in planned:
        replace(options, **parameters)
    return planned


def write_tuned(out: Path, recipe: Recipe, tried: Sequence[Tried]) -> dict[str, Any]:
    """Write tuned.json, best trial first, and return its best: the score and the options that gave it.

    Raises:
        ConfigurationError: no trial got as far as one score; names the first reason.
    """
    scored = sorted((each for each in tried if each.scores), key=lambda each: -max(each.scores))
    if not scored:
        reason = next((each.failed for each in tried if each.failed), "none was begun")
        raise ConfigurationError(f"none of {len(tried)} trials of {recipe.name} ended an epoch: {reason}")
    best = {recipe.judged_by: max(scored[0].scores), **scored[0].parameters}
    report: Mapping[str, Any] = {
        "task": recipe.name,
        "judged_by": recipe.judged_by,
        "judged_on": "what was not fitted; it is what chose, and says too much about new data",
        "best": best,
        "trials": [
            {
                "parameters": each.parameters,
                recipe.judged_by: max(each.scores, default=None),
                "epochs": len(each.scores),
                **({"failed": each.failed} if each.failed else {}),
            }
            for each in [*scored, *(each for each in tried if not each.scores)]
        ],
    }
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / TUNED, json.dumps(report, indent=1) + "\n")
    return best
