"""Train with Ray Train: towers and ranker on what build_examples wrote, or another recipe of mmrec.training.recipes.

    python -m jobs.train --config mmrec.toml --examples examples --out model
    python -m jobs.train --config mmrec.toml --examples examples --out model --num-workers 2 --gpu
    python -m jobs.train --config mmrec.toml --task NAME --out folder              `--task NAME --help`: its options
    python -m jobs.train --config mmrec.toml --examples examples --out model --mlflow mlruns

Every epoch is a checkpoint in OUT.run; a killed run continues from there when it is started again. Writes the model
and metrics.json to OUT, and prints the figures as one JSON line. With --mlflow, options and curves stand in that
folder as MLflow keeps them.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmrec.clock import SystemClock
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.checkpoint import METRICS, ProgressFile, open_run
from mmrec.training.mlflow_folder import MLflowFolder, kept_run_id
from mmrec.training.recipe import (
    Desk,
    Recipe,
    add_options,
    check_training_tables,
    chosen_options,
    refuse_workers,
    result_folder,
)
from mmrec.training.recipes import RECIPES, recipe_named
from mmrec.training.run import use_threads
from mmrec.wire.declared import AtLeastOne, CountOrAll, argument
from mmrec.wiring import open_deployment_data, settings_from

log = get_logger("jobs.train")


def train_worker(job: dict[str, Any]) -> None:
    """Run by each Ray Train worker; the first one writes what the recipe leaves."""
    import ray.train
    import ray.train.torch

    use_threads(job["num_threads"])
    context, progress = ray.train.get_context(), ProgressFile(Path(job["run"]))
    number = context.get_world_rank()

    def save(figures: Mapping[str, float], write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if number == 0:
                write(Path(folder))
            kept = ray.train.Checkpoint.from_directory(folder) if number == 0 else None
            ray.train.report(dict(figures), checkpoint=kept)

    def at(checkpoint: Path | None) -> Desk:
        return Desk(
            options=job["options"],
            data=open_deployment_data(settings_from(job["config"])),
            out=Path(job["out"]),
            tell=progress.write,
            save=save,
            checkpoint=checkpoint,
            number=number,
            num_workers=context.get_world_size(),
            device=ray.train.torch.get_device(),
            wrap=lambda model: ray.train.torch.prepare_model(
                # No network that several workers share changes its buffers; content of a catalogue is large.
                model,
                parallel_strategy_kwargs={"find_unused_parameters": True, "broadcast_buffers": False},
            ),
        )

    train, newest = recipe_named(job["task"]).train, ray.train.get_checkpoint()
    if newest is None:
        train(at(None))
        return
    with newest.as_directory() as folder:
        train(at(Path(folder)))


def run(arguments: argparse.Namespace) -> None:
    """Start a run, or continue an interrupted one, and wait for it."""
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer

    recipe, settings = recipe_named(arguments.task), settings_from(arguments.config)
    check_training_tables(RECIPES, settings)
    refuse_workers(recipe, num_workers=arguments.num_workers, gpu=arguments.gpu)
    options = chosen_options(recipe, settings, arguments)
    out = result_folder(arguments.out)
    folder = out.with_name(out.name + ".run")
    works_on = recipe.prepare(options, open_deployment_data(settings))
    open_run(folder, describes=f"{recipe.name} {works_on} {arguments.num_workers}")
    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": arguments.num_workers + 1, "include_dashboard": False}
    ray.init(log_to_driver=False, **own)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "task": recipe.name,
            "options": options,
            "config": settings.config_file,
            "run": str(folder),
            "out": str(out),
            "num_threads": arguments.num_threads,
        },
        scaling_config=ray.train.ScalingConfig(num_workers=arguments.num_workers, use_gpu=arguments.gpu),
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=str(folder),
            failure_config=ray.train.FailureConfig(max_failures=arguments.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )
    with logged(recipe, options, out, arguments.mlflow) as tell, ProgressFile(folder).told(tell):
        trainer.fit()
    shutil.rmtree(folder)


@contextmanager
def logged(recipe: Recipe, options: Any, out: Path, mlflow: str) -> Iterator[Callable[..., None]]:
    """What tells a line of progress: to the program's log and, where a folder is given, to MLflow's."""
    if not mlflow:
        yield log.info
        return
    with MLflowFolder.open(
        Path(mlflow),
        experiment=f"mmrec {recipe.name}",
        run_id=kept_run_id(out.with_name(out.name + ".run")),
        run_name=out.name,
        parameters=asdict(options),
        clock=SystemClock(),
    ) as kept:

        def tell(event: str, **figures: Any) -> None:
            log.info(event, **figures)
            kept.tell(event, **figures)

        yield tell


def parsed() -> argparse.Namespace:
    """The command line, with the options of the recipe that it names."""
    tasks = argparse.ArgumentParser(add_help=False)
    names = [recipe.name for recipe in RECIPES]
    tasks.add_argument("--task", default=names[0], choices=names, help=f"what to train (default: {names[0]})")
    parser = shell_parser(__doc__)
    parser.add_argument("--task", default=names[0], choices=names, help=f"what to train (default: {names[0]})")
    parser.add_argument("--out", required=True, help="folder of the model and its figures")
    count = argument(AtLeastOne)
    parser.add_argument("--num-workers", type=count, default=1)
    parser.add_argument("--num-threads", type=count, default=1, help="threads of each worker")
    parser.add_argument("--gpu", action="store_true", help="one GPU per worker")
    parser.add_argument(
        "--max-failures", type=argument(CountOrAll), default=2, help="lost workers to outlive; -1: any number"
    )
    parser.add_argument("--mlflow", default="", metavar="FOLDER", help="also keep options and figures as MLflow does")
    add_options(parser, recipe_named(tasks.parse_known_args()[0].task))
    return parser.parse_args()


def main() -> int:
    """Run the job; see the module's first lines."""
    arguments = parsed()
    configure_logging()

    def train() -> None:
        run(arguments)
        figures = json.loads((Path(arguments.out) / METRICS).read_text(encoding="utf-8"))
        print(json.dumps({k: v for k, v in figures.items() if isinstance(v, int | float)}), flush=True)  # noqa: T201

    return exit_status(log, "train", train)


if __name__ == "__main__":
    sys.exit(main())
