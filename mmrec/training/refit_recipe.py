"""The recipe "refit": the model that serves goes on with what was done since (mmrec.training.warm_refit).

    python -m jobs.refit --config mmrec.toml              the whole way, from the log to a release that passes its gates
    python -m jobs.train --config mmrec.toml --task refit --examples examples --model RELEASES/ID/model --out model

[training.refit] says when the stack does so, and what it learns from; [training.towers] says how towers learn.
"""

import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmrec.content.alignment import with_aligned
from mmrec.errors import ConfigurationError, DeadlineError
from mmrec.models.bundle import ModelBundle
from mmrec.training.build import RANKING, RETRIEVAL
from mmrec.training.checkpoint import write_trained
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.recipe import DeploymentData, Desk, FileOrFolder, Recipe, chosen_options
from mmrec.training.run import TrainConfig, TrainInputs
from mmrec.training.towers_recipe import TOWERS
from mmrec.training.warm_refit import refitted
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check


@dataclass(frozen=True, kw_only=True)
class RefitOptions:
    """When, from what, and for how long."""

    every_minutes: NotNegative = 0.0
    """From one refit's beginning to the next one's, in the stack; 0 leaves refits to full trainings."""
    max_minutes: Positive = 15.0
    """A refit that takes longer is given up at its next step: by then what it would bring is old."""
    window_days: Positive = 2.0
    """Newest days that are learned from; a third each for towers alone, for the ranker and to judge by."""
    least_lists: AtLeastOne = 50
    """Lists of the newest part to judge by; with fewer nothing is refitted."""
    max_lists: AtLeastOne = 1_000
    """Lists of the ranker's part and of the newest one, each."""
    epochs: AtLeastOne = 2
    """Of the towers, over the labels of the newest days."""
    max_labels_per_epoch: Count = 20_000
    """Labels drawn per epoch; 0 takes all."""
    examples: FileOrFolder = "examples"
    """Folder of build_examples, of the newest days."""
    model: FileOrFolder = ""
    """Folder of the model that serves."""
    warm_from: str = ""
    """Id of its release."""

    def __post_init__(self) -> None:
        check(self, "training.refit")

    @property
    def example_config(self) -> ExampleConfig:
        """Which events become labels."""
        return ExampleConfig(
            window_days=self.window_days,
            towers_fraction=0.34,
            ranker_fraction=0.33,
            max_ranker_lists=self.max_lists,
            max_validation_lists=self.max_lists,
            neighbor_builds=1,
        )

    def train_config(self, full: TrainConfig) -> TrainConfig:
        """How towers and ranker learn.

        Args:
            full: Of trainings from the start.
        """
        fit_towers = replace(full.fit_towers, refit_epochs=self.epochs, max_labels_per_epoch=self.max_labels_per_epoch)
        return replace(full, fit_towers=fit_towers)


def prepare(options: RefitOptions, data: DeploymentData) -> str:
    """What the refit works on: examples and model as they were written."""
    del data
    if not options.model or not (Path(options.model) / "model.json").exists():
        raise ConfigurationError(f"no model in {options.model or 'nowhere'}; give --model, the folder of a release's")
    manifests = [Path(options.examples) / kind / "manifest.json" for kind in (RETRIEVAL, RANKING)]
    if not all(manifest.exists() for manifest in manifests):
        raise ConfigurationError(f"no examples in {options.examples}; run `python -m jobs.build_examples` first")
    return f"{[manifest.stat().st_mtime_ns for manifest in manifests]} {options}"


def train(desk: Desk) -> None:
    """Refit, within the minutes that there are."""
    options, data = desk.options, desk.data
    served = ModelBundle.load(Path(options.model))
    retrieval = RetrievalExamples.load(Path(options.examples) / RETRIEVAL)
    content = data.content().select(retrieval.item_ids)
    inputs = TrainInputs(
        retrieval=retrieval,
        ranking=RankingExamples.load(Path(options.examples) / RANKING),
        content=content if served.alignment is None else with_aligned(content, served.alignment),
        entries=data.entries(retrieval.item_ids),
        alignment=served.alignment,
    )
    until_s = time.monotonic() + 60.0 * options.max_minutes

    def progress(event: str, figures: Mapping[str, Any]) -> None:
        desk.tell(event, figures)
        if time.monotonic() > until_s:
            raise DeadlineError(
                f"the refit took more than {options.max_minutes:g} minutes, after {event}; give training.refit more "
                "minutes, or fewer lists and labels"
            )

    trained = refitted(
        inputs,
        served,
        warm_from=options.warm_from,
        least_lists=options.least_lists,
        settings=data.settings,
        config=options.train_config(chosen_options(TOWERS, data.settings, Namespace()).config),
        progress=progress,
    )
    write_trained(trained, desk.out)


REFIT = Recipe(name="refit", options=RefitOptions, prepare=prepare, train=train, in_one_worker=True)
