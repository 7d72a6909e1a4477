"""Train towers and ranker with Ray Train on what build_examples wrote.

    python -m jobs.train --config mmrec.toml --examples examples --out model
    python -m jobs.train --config mmrec.toml --examples examples --out model --num-workers 2 --gpu

Every epoch is a checkpoint in OUT.run; a killed run continues from there when it is started again. Writes the model
(a ModelBundle), metrics.json and curves.json to OUT, and prints the figures as one JSON line.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from mmrec.errors import ConfigurationError
from mmrec.models.settings import Fusion
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.checkpoint import METRICS, ProgressFile, open_run, restore_state, save_state, write_trained
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.fit_towers import TowerFit
from mmrec.training.run import (
    TrainConfig,
    TrainInputs,
    behavior_ids,
    finish,
    run_tower_epochs,
    start_towers,
    train_config,
    use_threads,
)
from mmrec.wire.declared import AtLeastOne, CountOrAll, argument
from mmrec.wiring import open_content_store, open_feature_store, settings_from

log = get_logger("jobs.train")


def train_worker(job: dict[str, Any]) -> None:
    """Run by each Ray Train worker; the first one also fits the ranker and writes the model."""
    import ray.train
    import ray.train.torch

    use_threads(job["num_threads"])
    settings, config = settings_from(job["config"]), job["train_config"]
    retrieval = RetrievalExamples.load(Path(job["examples"]) / "retrieval")
    inputs = TrainInputs(
        retrieval=retrieval,
        ranking=RankingExamples.load(Path(job["examples"]) / "ranking"),
        content=open_content_store(settings).load_matrix().select(retrieval.item_ids),
        entries=open_feature_store(settings).read_item_content(retrieval.item_ids),
    )
    context, progress = ray.train.get_context(), ProgressFile(Path(job["run"]))
    is_first = context.get_world_rank() == 0
    model = start_towers(inputs, settings, config)
    fit = TowerFit(
        model,
        retrieval,
        behavior_ids=behavior_ids(settings),
        config=config.fit_towers,
        max_history=config.towers.max_history,
        device=ray.train.torch.get_device(),
        worker=(context.get_world_rank(), context.get_world_size()),
        wrapped=ray.train.torch.prepare_model(model, parallel_strategy_kwargs={"find_unused_parameters": True}),
    )
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            restore_state(fit, Path(folder))
        progress.write("resumed", {"epoch": fit.epoch})

    def after_epoch(figures: Mapping[str, float], best: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if is_first:
                save_state(fit, Path(folder))
                progress.write("towers_epoch", {**figures, "best": best})
            kept = ray.train.Checkpoint.from_directory(folder) if is_first else None
            ray.train.report(dict(figures), checkpoint=kept)

    run_tower_epochs(fit, inputs, config, after_epoch=after_epoch)
    if is_first:
        trained = finish(fit.alone(), inputs, settings=settings, config=config, progress=progress.write)
        write_trained(trained, Path(job["out"]))


def run(arguments: argparse.Namespace, config: TrainConfig) -> None:
    """Start a run, or continue an interrupted one, and wait for it."""
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer

    out, examples = Path(arguments.out).resolve(), Path(arguments.examples).resolve()
    manifests = [examples / kind / "manifest.json" for kind in ("retrieval", "ranking")]
    if not all(manifest.exists() for manifest in manifests):
        raise ConfigurationError(f"no examples in {examples}; run `python -m jobs.build_examples --out ...` first")
    folder = out.with_name(out.name + ".run")
    written = [manifest.stat().st_mtime_ns for manifest in manifests]
    open_run(folder, describes=f"{written} {config} {arguments.num_workers}")
    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": arguments.num_workers + 1, "include_dashboard": False}
    ray.init(log_to_driver=False, **own)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "config": str(Path(arguments.config or os.environ.get("MMREC_CONFIG", "")).resolve()),
            "examples": str(examples),
            "run": str(folder),
            "out": str(out),
            "train_config": config,
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
    with ProgressFile(folder).told(log.info):
        trainer.fit()
    shutil.rmtree(folder)


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("--examples", required=True, help="folder of build_examples")
    parser.add_argument("--out", required=True, help="folder of the model and its figures")
    defaults, count = TrainConfig(), argument(AtLeastOne)
    parser.add_argument("--num-workers", type=count, default=1)
    parser.add_argument("--num-threads", type=count, default=1, help="threads of each worker")
    parser.add_argument("--gpu", action="store_true", help="one GPU per worker")
    parser.add_argument("--epochs", type=count, default=defaults.fit_towers.max_epochs, help="of the towers")
    parser.add_argument("--fusion", default=defaults.towers.fusion, choices=get_args(Fusion), help="of modalities")
    parser.add_argument(
        "--max-failures", type=argument(CountOrAll), default=2, help="lost workers to outlive; -1: any number"
    )
    arguments = parser.parse_args()
    configure_logging()

    def train() -> None:
        run(arguments, train_config(fusion=arguments.fusion, max_epochs=arguments.epochs))
        figures = json.loads((Path(arguments.out) / METRICS).read_text(encoding="utf-8"))
        print(json.dumps({k: v for k, v in figures.items() if isinstance(v, int | float)}), flush=True)  # noqa: T201

    return exit_status(log, "train", train)


if __name__ == "__main__":
    sys.exit(main())
