"""The recipe "towers": towers and ranker on what build_examples wrote (mmrec.training.run).

    python -m jobs.train --config mmrec.toml --examples examples --out model --size small
    python -m jobs.train --config mmrec.toml --examples examples --out model --size gpu --gpu --num-workers 4
    python -m jobs.tune --config mmrec.toml --examples examples --out tuned --num-trials 16

What grows with a catalogue of I items beside its projected content (4 * M * P bytes an item, resident on the device) is
a count and two chances per item, and without `id_buckets` the table of ids with what Adam keeps of it (16 * D bytes an
item). Above `max_items_full` a step holds what it draws and reads, whatever I is. Users have no table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from mmrec.content.alignment import AlignmentModel, with_aligned
from mmrec.errors import ConfigurationError
from mmrec.evaluation.search_space import Between, Choice
from mmrec.models.settings import Dropped, EmbeddingDim, Fusion, UserTowerKind
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
)
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check

DEFAULTS = TrainConfig()
TOWER, FIT = DEFAULTS.towers, DEFAULTS.fit_towers


@dataclass(frozen=True, kw_only=True)
class TowerOptions:
    """What can be asked for."""

    examples: FileOrFolder = "examples"
    """Folder of build_examples."""
    size: Literal["smoke", "small", "base", "gpu"] = "base"
    """What the options below begin from (SIZES): from a minute on a laptop to a large catalogue on a GPU."""
    epochs: AtLeastOne = FIT.max_epochs
    """Most epochs of the towers."""
    patience: AtLeastOne = FIT.patience
    """Epochs without gain in NDCG on the development labels before the towers' fit ends."""
    batch_size: AtLeastOne = FIT.batch_size
    """Labels per step and worker."""
    learning_rate: Positive = FIT.learning_rate
    precision: Literal["float32", "bf16"] = FIT.precision
    """Numbers of the towers' matrix products while they are fitted; bf16 is fast where the device has it."""
    max_labels_per_epoch: Count = FIT.max_labels_per_epoch
    """Labels drawn per epoch over all workers; 0 takes all."""
    max_items_full: Count = FIT.max_items_full
    """Catalogues up to this size have all items as negatives; larger ones those that a step draws."""
    num_uniform: AtLeastOne = FIT.num_uniform
    """Negatives of a step that are drawn evenly."""
    num_labelled: Count = FIT.num_labelled
    """Negatives of a step that are drawn as labels are."""
    user_tower: UserTowerKind = TOWER.user_tower
    """What reads a user's history: one label at a time, or all labels of a user in one pass."""
    user_blocks: AtLeastOne = TOWER.user_blocks
    """Rounds of attention of the causal tower."""
    embedding_dim: EmbeddingDim = TOWER.embedding_dim
    """D of item and user embeddings."""
    projected_dim: AtLeastOne = TOWER.projected_dim
    """Principal components kept of each modality."""
    hidden_dim: AtLeastOne = TOWER.hidden_dim
    """Width of the towers' hidden layers."""
    dropout: Dropped = TOWER.dropout
    fusion: Fusion = TOWER.fusion
    """How modalities become one vector."""
    id_shrinkage: NotNegative = TOWER.id_shrinkage
    """k: the learned vector of an item with n labels counts n / (n + k)."""
    id_dropout: Dropped = TOWER.id_dropout
    """Share of items that train without their learned vector."""
    id_buckets: Count = TOWER.id_buckets
    """Rows of the table that all items share by hash; 0 gives each item a row of its own."""
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
        """The whole run: the defaults, with every option in the place of its name."""
        asked = {f.name: getattr(self, f.name) for f in fields(self)}
        towers = {f.name: asked[f.name] for f in fields(TOWER) if f.name in asked}
        fit = {f.name: asked[f.name] for f in fields(FIT) if f.name in asked}
        return replace(
            DEFAULTS,
            towers=replace(TOWER, **towers),
            fit_towers=replace(FIT, max_epochs=self.epochs, **fit),
            ranker_kind=self.ranker,
            fit_sources=replace(DEFAULTS.fit_sources, weights=self.source_weights),
        )


SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    "smoke": {
        "epochs": 1,
        "max_labels_per_epoch": 2_000,
        "embedding_dim": 16,
        "projected_dim": 16,
        "hidden_dim": 32,
        "num_uniform": 256,
        "num_labelled": 64,
    },
    "small": {
        "epochs": 4,
        "max_labels_per_epoch": 20_000,
        "embedding_dim": 32,
        "projected_dim": 48,
        "hidden_dim": 64,
        "num_uniform": 1_024,
        "num_labelled": 256,
    },
    "base": {},
    "gpu": {
        "epochs": 20,
        "max_labels_per_epoch": 0,
        "batch_size": 8_192,
        "precision": "bf16",
        "user_tower": "causal",
        "user_blocks": 2,
        "embedding_dim": 128,
        "projected_dim": 256,
        "hidden_dim": 512,
        "num_uniform": 16_384,
        "num_labelled": 4_096,
        "id_buckets": 1_000_000,
    },
}
"""Options by size."""


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
    if desk.is_first and not desk.is_trial:
        trained = finish(fit.alone(), inputs, settings=data.settings, config=config, progress=desk.tell)
        write_trained(trained, desk.out)


TOWERS = Recipe(
    name="towers",
    options=TowerOptions,
    prepare=prepare,
    train=train,
    sizes=SIZES,
    space={
        "user_tower": Choice(("pooling", "causal")),
        "learning_rate": Between(0.001, 0.01, is_log=True),
        "dropout": Choice((0.0, 0.1, 0.2, 0.3)),
        "id_shrinkage": Choice((0.0, 1.0, 3.0, 10.0)),
        "id_dropout": Choice((0.0, 0.1, 0.3, 0.5)),
        "hidden_dim": Choice((64, 128, 256)),
    },
    judged_by="ndcg",
)
