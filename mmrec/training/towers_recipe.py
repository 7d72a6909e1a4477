"""The recipe "towers": towers and ranker on what build_examples wrote (mmrec.training.run)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mmrec.content.alignment import AlignmentModel, with_aligned
from mmrec.errors import ConfigurationError
from mmrec.models.settings import Fusion
from mmrec.training.build import RANKING, RETRIEVAL
from mmrec.training.checkpoint import restore_state, save_state, write_trained
from mmrec.training.choose_ranker import RankerKind
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.fit_towers import TowerFit
from mmrec.training.recipe import DeploymentData, Desk, FileOrFolder, Recipe
from mmrec.training.run import (
    TrainConfig,
    TrainInputs,
    behavior_ids,
    finish,
    run_tower_epochs,
    start_towers,
    train_config,
)
from mmrec.wire.declared import AtLeastOne, NotNegative, check

DEFAULTS = TrainConfig()


@dataclass(frozen=True, kw_only=True)
class TowerOptions:
    """What can be asked for."""

    examples: FileOrFolder = "examples"
    """Folder of build_examples."""
    epochs: AtLeastOne = DEFAULTS.fit_towers.max_epochs
    """Most epochs of the towers."""
    patience: AtLeastOne = DEFAULTS.fit_towers.patience
    """Epochs without gain in NDCG on the development labels before the towers' fit ends."""
    fusion: Fusion = DEFAULTS.towers.fusion
    """How modalities become one vector."""
    id_shrinkage: NotNegative = DEFAULTS.towers.id_shrinkage
    """k: the learned vector of an item with n labels counts n / (n + k)."""
    ranker: RankerKind = DEFAULTS.ranker_kind
    """What ranks: a network, boosted trees, or the better one on the latest lists."""
    source_weights: Literal["better", "own"] = DEFAULTS.fit_sources.weights
    """What recall sources count: learned from the lists where that is better on the latest, or as they say."""
    alignment: FileOrFolder = ""
    """Folder of a trained alignment: the item tower reads its vectors as one more modality; empty leaves it out."""

    def __post_init__(self) -> None:
        check(self, "training.towers")

    @property
    def config(self) -> TrainConfig:
        """The whole run."""
        config = train_config(
            fusion=self.fusion, max_epochs=self.epochs, patience=self.patience, id_shrinkage=self.id_shrinkage
        )
        fit_sources = replace(config.fit_sources, weights=self.source_weights)
        return replace(config, ranker_kind=self.ranker, fit_sources=fit_sources)


def prepare(options: TowerOptions, data: DeploymentData) -> str:
    """What the run works on: examples as they were written, and the configuration."""
    del data
    folder = Path(options.examples)
    manifests = [folder / kind / "manifest.json" for kind in (RETRIEVAL, RANKING)]
    if not all(manifest.exists() for manifest in manifests):
        raise ConfigurationError(f"no examples in {folder}; run `python -m jobs.build_examples --out ...` first")
    aligned = AlignmentModel.load(Path(options.alignment)).fingerprint if options.alignment else ""
    return f"{[manifest.stat().st_mtime_ns for manifest in manifests]} {options.config} {aligned}"


def train(desk: Desk) -> None:
    """Epochs of the towers in every worker; the first one also fits the ranker and writes the model."""
    options, data = desk.options, desk.data
    config, examples = options.config, Path(options.examples)
    retrieval = RetrievalExamples.load(examples / RETRIEVAL)
    content = data.content().select(retrieval.item_ids)
    alignment = AlignmentModel.load(Path(options.alignment)) if options.alignment else None
    inputs = TrainInputs(
        retrieval=retrieval,
        ranking=RankingExamples.load(examples / RANKING),
        content=content if alignment is None else with_aligned(content, alignment),
        entries=data.entries(retrieval.item_ids),
        alignment=alignment,
    )
    model = start_towers(inputs, data.settings, config)
    fit = TowerFit(
        model,
        retrieval,
        behavior_ids=behavior_ids(data.settings),
        config=config.fit_towers,
        max_history=config.towers.max_history,
        device=desk.device,
        worker=(desk.number, desk.num_workers),
        wrapped=desk.wrap(model),
    )
    if desk.checkpoint is not None:
        restore_state(fit, desk.checkpoint)
        desk.tell("resumed", {"epoch": fit.epoch})

    def after_epoch(figures: Mapping[str, float], best: bool) -> None:
        if desk.is_first:
            desk.tell("towers_epoch", {**figures, "best": best})
        desk.save(figures, lambda folder: save_state(fit, folder))

    run_tower_epochs(fit, inputs, config, after_epoch=after_epoch)
    if desk.is_first:
        trained = finish(fit.alone(), inputs, settings=data.settings, config=config, progress=desk.tell)
        write_trained(trained, desk.out)


TOWERS = Recipe(name="towers", options=TowerOptions, prepare=prepare, train=train)
