"""One training run on one machine: towers, then ranker on what the towers make of later data, then figures, then refit.

    TOWERS part -> towers     RANKER part -> ranker (towers have not seen it)     VALIDATION part -> figures only
After everything is measured the towers go on for a few epochs over all labels: freshness is accuracy. The ranker stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from mmrec.config import Settings
from mmrec.content.alignment import AlignmentModel
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.metrics import hit_rate
from mmrec.features.assemble import feature_names
from mmrec.features.item_columns import ItemEntry, Vocabulary, content_columns
from mmrec.models.bundle import ModelBundle
from mmrec.models.ranker import Ranker
from mmrec.models.settings import Fusion, RankerSettings, TowerSettings
from mmrec.training.example_config import Part
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.figures import RankingFigures
from mmrec.training.fit_ranker import RankerFitConfig, fit_ranker, list_tensors
from mmrec.training.fit_towers import TowerFit, TowerFitConfig, TwoTowers, labels_of_part
from mmrec.training.ranking_rows import TowerView, ranked_lists
from mmrec.training.stalling import has_stalled
from mmrec.wire.declared import AtLeastOne, check

Progress = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A complete run."""

    towers: TowerSettings = field(default_factory=TowerSettings)
    ranker: RankerSettings = field(default_factory=RankerSettings)
    fit_towers: TowerFitConfig = field(default_factory=TowerFitConfig)
    fit_ranker: RankerFitConfig = field(default_factory=RankerFitConfig)
    max_development_labels: AtLeastOne = 3_000
    """Labels that early stopping looks at."""

    def __post_init__(self) -> None:
        check(self, "train")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainInputs:
    """What a run reads."""

    retrieval: RetrievalExamples
    ranking: RankingExamples
    content: ContentMatrix
    """Rows of the retrieval examples' vocabulary, in its order; with what `alignment` makes of them, where there is
    one."""
    entries: Mapping[str, ItemEntry]
    """Serving fields by item id."""
    alignment: AlignmentModel | None = None
    """Where the item tower is to read aligned pictures and texts, too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What comes out."""

    bundle: ModelBundle
    curves: dict[str, Any]


def train_config(*, fusion: Fusion, max_epochs: int) -> TrainConfig:
    """The default configuration with another fusion and number of epochs."""
    config = TrainConfig()
    return replace(
        config,
        towers=replace(config.towers, fusion=fusion),
        fit_towers=replace(config.fit_towers, max_epochs=max_epochs),
    )


def use_threads(num_threads: int) -> None:
    """Let this process compute with so many threads."""
    torch.set_num_threads(num_threads)


def behavior_ids(settings: Settings) -> tuple[int, ...]:
    """Stable ids of the configured behaviors."""
    return tuple(int(b) for b in settings.behaviors.ids_B)


def start_towers(inputs: TrainInputs, settings: Settings, config: TrainConfig) -> TwoTowers:
    """Towers before the first step; the same in every worker."""
    if inputs.content.item_ids != inputs.retrieval.item_ids:
        raise ConfigurationError("content rows do not follow the examples' items; use content.select(item_ids)")
    torch.manual_seed(config.fit_towers.seed)
    return TwoTowers(config.towers, inputs.content, num_behaviors=len(settings.behaviors), config=config.fit_towers)


def run_tower_epochs(
    fit: TowerFit, inputs: TrainInputs, config: TrainConfig, *, after_epoch: Callable[[Mapping[str, float], bool], None]
) -> None:
    """Epochs until the last one or until nothing was gained for `patience` of them; goes on where `fit` stands.

    Args:
        after_epoch: Called with the epoch's figures and whether it is the best so far; the place for checkpoints.
    """
    length = config.towers.max_history
    labels = labels_of_part(inputs.retrieval, Part.TOWERS, max_history=length)
    development = labels_of_part(inputs.retrieval, Part.RANKER, max_history=length)
    if len(development) > config.max_development_labels:
        drawn = np.random.default_rng(config.fit_towers.seed).choice(
            development, config.max_development_labels, replace=False
        )
        development = np.sort(drawn)
    while fit.epoch < config.fit_towers.max_epochs and not has_stalled(
        [curve.get("recall_at_50", 0.0) for curve in fit.curves], config.fit_towers.patience
    ):
        before = max((c.get("recall_at_50", -1.0) for c in fit.curves), default=-1.0)
        figures = fit.run_epoch(labels)
        ranks = fit.ranks(development)
        figures["recall_at_50"], figures["hr_at_10"] = hit_rate(ranks, 50), hit_rate(ranks, 10)
        figures["labels"] = float(len(labels))
        after_epoch(figures, figures["recall_at_50"] >= before)


def finish(
    fit: TowerFit, inputs: TrainInputs, *, settings: Settings, config: TrainConfig, progress: Progress
) -> Trained:
    """Ranker, figures and refit on top of fitted towers; single process, CPU."""
    names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
    weights = tuple(float(w) for w in settings.behaviors.weights_B)
    ranker = Ranker(config.ranker, num_features=len(names), behavior_weights=weights)
    bundle_with = partial(_bundle, fit.model, ranker, inputs, settings=settings, config=config)
    bundle = bundle_with({})
    towers = TowerView(
        model=bundle,
        vectors_ID=bundle.item_embeddings(inputs.content),
    )
    columns = content_columns([inputs.entries.get(i) for i in inputs.ranking.item_ids], vocabulary=Vocabulary())

    def lists_of(part: Part) -> Any:
        return ranked_lists(
            inputs.ranking,
            inputs.ranking.of_part(part),
            content=columns,
            towers=towers,
            scoring=settings.scoring,
            num_candidates=settings.serving.num_candidates,
        )

    tensors = list_tensors(lists_of(Part.RANKER), weights_B=settings.behaviors.weights_B, config=config.fit_ranker)
    curve: list[dict[str, float]] = []
    if tensors is not None:
        progress("ranker_lists", {"lists": len(tensors), "features": len(names)})
        curve = fit_ranker(ranker, tensors, config=config.fit_ranker)
        progress("ranker_fitted", curve[-1])
    # A fresh bundle: NumPy copies of the ranker's weights are made at first use.
    figures = RankingFigures(seed=config.fit_ranker.seed)
    judged = bundle_with({})
    for one in lists_of(Part.VALIDATION):
        figures.add(one, judged.rank(one.features_NF))
    metrics: dict[str, Any] = {
        **figures.summary(),
        **tower_figures(fit, inputs, config),
        "ranker_lists": len(tensors or ()),
    }
    progress("validated", metrics)
    refit_towers(fit, inputs, config, progress)
    metrics["description"] = describe(settings, config)
    return Trained(bundle=bundle_with(metrics), curves={"towers": fit.curves, "ranker": curve})


def _bundle(
    model: TwoTowers,
    ranker: Ranker,
    inputs: TrainInputs,
    metrics: Mapping[str, Any],
    *,
    settings: Settings,
    config: TrainConfig,
) -> ModelBundle:
    """Towers and ranker as they stand, with what serving must know of how they were made."""
    return ModelBundle(
        tower_settings=config.towers,
        ranker_settings=config.ranker,
        item_tower=model.item_tower,
        user_tower=model.user_tower,
        ranker=ranker,
        known_item_ids=inputs.content.item_ids,
        feature_names=feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days)),
        behavior_ids=behavior_ids(settings),
        behavior_weights=tuple(float(w) for w in settings.behaviors.weights_B),
        content_dims={name: inputs.content.values[name].shape[1] for name in inputs.content.modalities},
        encoders=dict(inputs.content.encoders),
        fingerprints=dict(inputs.content.fingerprints),
        metrics=metrics,
        alignment=inputs.alignment,
    )


def tower_figures(fit: TowerFit, inputs: TrainInputs, config: TrainConfig) -> dict[str, float]:
    """Full ranking of validation labels that are new to their user, before the refit."""
    labels = labels_of_part(inputs.retrieval, Part.VALIDATION, max_history=config.towers.max_history)
    ranks = fit.ranks(labels)
    popular_ranks = fit.ranks(labels, scores_I=inputs.retrieval.label_counts_I.astype(np.float32))
    return {
        "towers_labels": float(len(labels)),
        **{f"towers_recall_at_{k}": hit_rate(ranks, k) for k in (10, 50, 100)},
        **{f"towers_recall_at_{k}_popularity": hit_rate(popular_ranks, k) for k in (10, 50, 100)},
    }


def refit_towers(fit: TowerFit, inputs: TrainInputs, config: TrainConfig, progress: Progress) -> None:
    """A few epochs at a low rate over all labels, the newest included."""
    parts = [labels_of_part(inputs.retrieval, part, max_history=config.towers.max_history) for part in Part]
    labels = np.concatenate(parts)
    for _ in range(config.fit_towers.refit_epochs):
        figures = fit.run_epoch(labels, learning_rate=config.fit_towers.learning_rate / 5)
        progress("towers_refitted", figures)


def describe(settings: Settings, config: TrainConfig) -> dict[str, Any]:
    """What the figures are about, and the configuration."""
    return {
        "split": "global time: towers on the first part, ranker on the second, figures on the last; no refit before",
        "labels": "what a user did at the instant of a list; items hidden in serving are left out for everybody: "
        + ", ".join(behavior.name for behavior in settings.behaviors if behavior.hides),
        "hr_at_10": "ranker over proposed candidates; a label nobody proposed is a miss",
        "hr_at_10_popularity": "decayed popularity at the middle half-life, the same labels and candidates",
        "config": asdict(config),
    }
