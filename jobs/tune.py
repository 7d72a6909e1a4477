"""Search a recipe's options with Ray Tune: a fixed number of trials, each judged on what it did not fit.

    python -m jobs.tune --config mmrec.toml --examples examples --out tuned --num-trials 16
    python -m jobs.tune --config mmrec.toml --task NAME --out folder               `--task NAME --help`: its options

Trials that fall behind end early (successive halving). A search that was ended goes on when it is started again:
whole trials are kept, and one that was broken off continues from its last epoch. Writes tuned.json to OUT, and prints
the best score and options as one JSON line: options for jobs.train, or for [training.NAME] of the configuration.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.checkpoint import ProgressFile, open_run
from mmrec.training.recipe import Desk, Recipe, add_options, check_training_tables, chosen_options, result_folder
from mmrec.training.recipes import RECIPES, recipe_named
from mmrec.training.run import use_threads
from mmrec.training.search import Tried, planned_trials, write_tuned
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, argument
from mmrec.wiring import open_deployment_data, settings_from

log = get_logger("jobs.tune")


def run_trial(config: dict[str, Any], *, job: dict[str, Any]) -> None:
    """Run by Ray Tune: the recipe's epochs with the options of one trial."""
    from ray import tune

    use_threads(1)
    progress = ProgressFile(Path(job["run"]))

    def save(figures: Mapping[str, float], write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            tune.report(dict(figures), checkpoint=tune.Checkpoint.from_directory(folder))

    def at(checkpoint: Path | None) -> Desk:
        return Desk(
            options=replace(job["options"], **config["trial"]),
            data=open_deployment_data(settings_from(job["config"])),
            out=Path(job["out"]),
            tell=lambda event, figures: progress.write(event, {"trial": config["trial"], **figures}),
            save=save,
            checkpoint=checkpoint,
            is_trial=True,
        )

    train, newest = recipe_named(job["task"]).train, tune.get_checkpoint()
    if newest is None:
        train(at(None))
        return
    with newest.as_directory() as folder:
        train(at(Path(folder)))


def search(
    recipe: Recipe, job: dict[str, Any], planned: list[dict[str, Any]], asked: argparse.Namespace
) -> list[Tried]:
    """All trials, those of an earlier start included."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": asked.num_concurrent, "include_dashboard": False}
    ray.init(log_to_driver=False, **own)
    trainable, kept = tune.with_parameters(run_trial, job=job), Path(job["run"]) / "ray"
    if tune.Tuner.can_restore(str(kept)):
        tuner = tune.Tuner.restore(str(kept), trainable=trainable, resume_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(planned)},
            tune_config=tune.TuneConfig(
                metric=recipe.judged_by,
                mode="max",
                scheduler=ASHAScheduler(max_t=10_000, grace_period=asked.grace_epochs, reduction_factor=3),
                max_concurrent_trials=asked.num_concurrent,
                time_budget_s=asked.time_budget_s or None,
            ),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=job["run"],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=asked.max_failures),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            ),
        )
    return [
        Tried(
            parameters=(result.config or {}).get("trial", {}),  # not known of a trial that broke off at once
            scores=() if (told := result.metrics_dataframe) is None else tuple(told.get(recipe.judged_by, ())),
            failed=str(result.error or ""),
        )
        for result in tuner.fit()
    ]


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Start a search, or continue an interrupted one, and wait for it."""
    recipe, settings = recipe_named(asked.task), settings_from(asked.config)
    check_training_tables(RECIPES, settings)
    options = chosen_options(recipe, settings, asked)
    planned = planned_trials(recipe, options, num_trials=asked.num_trials, seed=asked.seed_of_trials)
    out = result_folder(asked.out)
    folder = out.with_name(out.name + ".run")
    works_on = recipe.prepare(options, open_deployment_data(settings))
    open_run(folder, describes=f"search {recipe.name} {works_on} {planned} {asked.grace_epochs}")
    job = {
        "task": recipe.name,
        "options": options,
        "config": settings.config_file,
        "run": str(folder),
        "out": str(out),
    }
    with ProgressFile(folder).told(log.info):
        tried = search(recipe, job, planned, asked)
    best = write_tuned(out, recipe, tried)
    shutil.rmtree(folder)
    return best


def parsed() -> argparse.Namespace:
    """The command line, with the options of the recipe that it names."""
    names = [recipe.name for recipe in RECIPES if recipe.space]
    tasks = argparse.ArgumentParser(add_help=False)
    tasks.add_argument("--task", default=names[0], choices=names, help=f"what to train (default: {names[0]})")
    parser = shell_parser(__doc__)
    parser.add_argument("--task", default=names[0], choices=names, help=f"what to train (default: {names[0]})")
    parser.add_argument("--out", required=True, help="folder of tuned.json")
    count = argument(AtLeastOne)
    parser.add_argument("--num-trials", type=count, default=8, help="trials in all; the first one is what is asked for")
    parser.add_argument("--num-concurrent", type=count, default=1, help="trials at once, each on one CPU")
    parser.add_argument("--grace-epochs", type=count, default=2, help="epochs before a trial may be ended early")
    parser.add_argument(
        "--time-budget-s", type=argument(NotNegative), default=0.0, help="seconds for all trials; 0: any number"
    )
    parser.add_argument("--max-failures", type=argument(Count), default=1, help="starts of a trial after it broke off")
    parser.add_argument("--seed-of-trials", type=argument(Count), default=1, help="of what is drawn from the space")
    add_options(parser, recipe_named(tasks.parse_known_args()[0].task))
    return parser.parse_args()


def main() -> int:
    """Run the job; see the module's first lines."""
    asked = parsed()
    configure_logging()
    return exit_status(log, "tune", lambda: print(json.dumps(run(asked)), flush=True))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
