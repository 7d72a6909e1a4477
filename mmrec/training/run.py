"""One training run: towers; then on one machine a ranker, a refit and figures; then the same once more, one part later.

    part                      TOWERS    RANKER                   VALIDATION
    train only                towers    ranker                   judged         towers not fitted on the ranker's lists
    what ships, one part ago  towers    towers go on, ranker     judged         the figures, and what the gates see
    what ships                towers    towers go on, ranker     towers go on, ranker learns anew on both parts

Early stopping picks the towers' epoch by the retrieval labels of RANKER (METHODS M23), so to the ranker their scores
look a little better there than they will be. "Ranker" is all that is learned from lists: weights of the recall sources,
then a network and trees over what recall proposes by these weights; held-out lists say which of them rank.
Freshness is accuracy, so what ships has learned from the newest part, and nothing is left to measure it on. Its figures
are those of the same steps, ended one part earlier (a rolling origin).
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from mmrec.config import Settings
from mmrec.content.alignment import AlignmentModel
from mmrec.content.matrix import ContentMatrix
from mmrec.errors import ConfigurationError
from mmrec.evaluation.metrics import hit_rate
from mmrec.features.assemble import feature_names
from mmrec.features.item_columns import ContentColumns, ItemEntry, Vocabulary, content_columns
from mmrec.models.bundle import ModelBundle
from mmrec.models.ranker import Ranker
from mmrec.models.settings import RankerSettings, TowerSettings
from mmrec.recall.fusion import OWN_WEIGHTS, SourceWeights
from mmrec.recall.sources.registry import SOURCES
from mmrec.training.choose_ranker import FittedRanker, RankerKind, fit_rankers
from mmrec.training.example_config import Part
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.figures import RankingFigures
from mmrec.training.fit_ranker import ListTensors, RankerFitConfig, joined, list_tensors
from mmrec.training.fit_sources import FittedSources, SourceFitConfig, SourceList, fit_sources, source_lists
from mmrec.training.fit_towers import TEMPERATURE, TowerFit, TowerFitConfig, TwoTowers, labels_of_part
from mmrec.training.fit_trees import TreesFitConfig
from mmrec.training.ranking_rows import RankedList, TowerView, proposed_lists, ranked_lists
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
    fit_trees: TreesFitConfig = field(default_factory=TreesFitConfig)
    ranker_kind: RankerKind = "better"
    """Network, trees, or the better one of both."""
    fit_sources: SourceFitConfig = field(default_factory=SourceFitConfig)
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
    """Epochs until the last one or until nothing was gained for `patience` of them; then the best one's weights.

    Goes on where `fit` stands. Every worker of a fit calls it, and all end after the same epoch.

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
    while fit.epoch < config.fit_towers.max_epochs and not (
        len(development) and has_stalled([curve["ndcg"] for curve in fit.curves], config.fit_towers.patience)
    ):
        fit.run_epoch(labels)
        best = fit.judge(development)
        fit.curves[-1]["labels"] = float(len(labels))
        after_epoch(fit.curves[-1], best)
    fit.return_to_best()


def finish(
    fit: TowerFit, inputs: TrainInputs, *, settings: Settings, config: TrainConfig, progress: Progress
) -> Trained:
    """Ranker, refit and figures on top of fitted towers, and then what ships; single process, CPU."""
    bench = Workbench(inputs, settings=settings, config=config)
    proposed = bench.proposed(Part.RANKER, fit.model)
    sources = bench.fitted_sources(proposed)
    tensors = bench.tensors(bench.lists(Part.RANKER, bench.bundle(fit.model, sources=sources)))
    progress("ranker_lists", {"lists": len(tensors or ())})
    ranker = bench.fitted_ranker(tensors, progress)
    before = bench.judged(bench.bundle(fit.model, ranker, sources))
    train_only = {**before.figures, **tower_figures(fit, inputs, config, through=Part.TOWERS)}

    refit_towers(fit, inputs, config, progress, through=Part.RANKER)
    measured = bench.judged(bench.bundle(fit.model, ranker, sources))
    metrics: dict[str, Any] = {
        **measured.figures,
        **tower_figures(fit, inputs, config, through=Part.RANKER),
        **{f"{name}_train_only": value for name, value in train_only.items() if name.startswith(_OF_MODELS)},
        **ranker.figures,
        **sources.figures,
        "towers_best_epoch": float(fit.best.get("epoch", fit.epoch)),
        "ranker_lists": len(tensors or ()),
    }
    progress("validated", metrics)

    curves = {"towers": fit.curves, "ranker": ranker.curve}
    if measured.tensors is not None:
        sources = bench.fitted_sources([*proposed, *measured.proposed])
        ranker = bench.fitted_ranker(joined(tensors, measured.tensors), progress)
        curves["ranker_refit"] = ranker.curve
    refit_towers(fit, inputs, config, progress, through=Part.VALIDATION)
    metrics |= {f"{name}_refit": value for name, value in {**ranker.figures, **sources.figures}.items()}
    metrics |= {f"source_weight_{source.name}": sources.weights.get(source.name, source.weight) for source in SOURCES}
    metrics["ranker_lists_refit"] = len(tensors or ()) + len(measured.tensors or ())
    metrics[TEMPERATURE] = float(fit.model.temperature().detach())
    forms = ranker.kept_forms()
    metrics |= {f"ranker_ndcg_{name}": ndcg for name, ndcg in forms.items()}
    metrics["description"] = describe(settings, config)
    bundle = bench.bundle(fit.model, ranker, sources, metrics)
    return Trained(bundle=replace(bundle, kept_forms=tuple(forms) or bundle.kept_forms), curves=curves)


_OF_MODELS = ("hr_at_10", "ndcg_at_10", "recall_of_candidates", "towers_recall")
"""Beginnings of the figures that depend on what was fitted on what."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What came of judging a model on the lists of VALIDATION."""

    figures: dict[str, float]
    tensors: ListTensors | None
    """The same lists, to learn ranking from; None where there are none."""
    proposed: list[SourceList]
    """The same, to learn weights of recall sources from."""


class Workbench:
    """What the steps of finish() share: lists of a part as a model proposes them, rankers, and models of both."""

    def __init__(self, inputs: TrainInputs, *, settings: Settings, config: TrainConfig) -> None:
        self._inputs, self._settings, self._config = inputs, settings, config
        self._names = feature_names(settings.behaviors, num_half_lives=len(settings.statistics.half_lives_days))
        self._weights = tuple(float(w) for w in settings.behaviors.weights_B)
        self._columns: ContentColumns = content_columns(
            [inputs.entries.get(i) for i in inputs.ranking.item_ids], vocabulary=Vocabulary()
        )

    def fresh_ranker(self) -> Ranker:
        """A network before its first step, the same one every time."""
        torch.manual_seed(self._config.fit_ranker.seed)
        return Ranker(self._config.ranker, num_features=len(self._names), behavior_weights=self._weights)

    def fitted_ranker(self, tensors: ListTensors | None, progress: Progress) -> FittedRanker:
        """What ranks best, fitted on lists; an unfitted network where there are none."""
        config = self._config
        fitted = fit_rankers(
            self.fresh_ranker(),
            tensors,
            kind=config.ranker_kind,
            feature_names=self._names,
            network=config.fit_ranker,
            trees=config.fit_trees,
        )
        if tensors is not None:
            last = fitted.curve[-1] if fitted.curve else {}
            progress("ranker_fitted", {**last, **fitted.figures, "lists": len(tensors)})
        return fitted

    def fitted_sources(self, lists: Sequence[SourceList], *, before: SourceWeights = OWN_WEIGHTS) -> FittedSources:
        """Weights of the recall sources, learned where that is better than those of before."""
        return fit_sources(
            lists,
            SOURCES,
            num_candidates=self._settings.serving.num_candidates,
            config=self._config.fit_sources,
            before=before,
        )

    def bundle(
        self,
        model: TwoTowers,
        ranker: FittedRanker | None = None,
        sources: FittedSources | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> ModelBundle:
        """Copies of the towers as they stand now and a ranker, with what serving must know of how they were made."""
        inputs = self._inputs
        return ModelBundle(
            tower_settings=self._config.towers,
            ranker_settings=self._config.ranker,
            item_tower=model.item_tower.settled_ids(),
            user_tower=copy.deepcopy(model.user_tower),
            ranker=ranker.network if ranker is not None else self.fresh_ranker(),
            known_item_ids=inputs.content.item_ids,
            feature_names=self._names,
            behavior_ids=behavior_ids(self._settings),
            behavior_weights=self._weights,
            content_dims={name: inputs.content.values[name].shape[1] for name in inputs.content.modalities},
            encoders=dict(inputs.content.encoders),
            fingerprints=dict(inputs.content.fingerprints),
            metrics=dict(metrics or {}),
            alignment=inputs.alignment,
            trees=ranker.trees if ranker is not None else None,
            source_weights=dict(sources.weights) if sources is not None else {},
        )

    def lists(self, part: Part, bundle: ModelBundle) -> Iterator[RankedList]:
        """Lists of a part, with what the bundle's towers add to them, as its weights of sources choose candidates."""
        return ranked_lists(
            self._inputs.ranking,
            self._inputs.ranking.of_part(part),
            content=self._columns,
            towers=self._view(bundle),
            scoring=self._settings.scoring,
            num_candidates=self._settings.serving.num_candidates,
            weights=bundle.source_weights,
        )

    def proposed(self, part: Part, model: TwoTowers) -> list[SourceList]:
        """What sources propose for the latest lists of a part, with these towers."""
        if self._config.fit_sources.weights == "own":
            return []
        numbers = self._inputs.ranking.of_part(part)[-self._config.fit_sources.max_lists :]
        asked = proposed_lists(
            self._inputs.ranking,
            numbers,
            content=self._columns,
            towers=self._view(self.bundle(model)),
            scoring=self._settings.scoring,
            num_candidates=self._settings.serving.num_candidates,
        )
        return source_lists(asked)

    def _view(self, bundle: ModelBundle) -> TowerView:
        return TowerView(model=bundle, vectors_ID=bundle.item_embeddings(self._inputs.content))

    def tensors(self, lists: Iterator[RankedList]) -> ListTensors | None:
        """Lists as the ranker learns from them."""
        return list_tensors(lists, weights_B=self._settings.behaviors.weights_B, config=self._config.fit_ranker)

    def judged(self, bundle: ModelBundle) -> Judged:
        """Figures of a model on the lists of VALIDATION, and these lists to learn from."""
        figures = RankingFigures(seed=self._config.fit_ranker.seed, weights_B=self._settings.behaviors.weights_B)
        proposed: list[SourceList] = []

        def each() -> Iterator[RankedList]:
            for one in self.lists(Part.VALIDATION, bundle):
                figures.add(one, bundle.rank(one.features_NF))
                proposed.extend(source_lists([(one.found, one.rows_N[one.next_N])]))
                yield one

        tensors = self.tensors(each())
        return Judged(figures=figures.summary(), tensors=tensors, proposed=proposed)


def tower_figures(fit: TowerFit, inputs: TrainInputs, config: TrainConfig, *, through: Part) -> dict[str, float]:
    """Full ranking of validation labels that are new to their user; popularity counts labels `through` that part."""
    examples = inputs.retrieval
    labels = labels_of_part(examples, Part.VALIDATION, max_history=config.towers.max_history)
    counted = examples.label_rows_N[examples.parts_N <= through]
    counts_I = np.bincount(counted, minlength=len(examples.item_ids))
    ranks, popular_ranks = fit.ranks(labels), fit.ranks(labels, scores_I=counts_I.astype(np.float32))
    return {
        "towers_labels": float(len(labels)),
        **{f"towers_recall_at_{k}": hit_rate(ranks, k) for k in (10, 50, 100)},
        **{f"towers_recall_at_{k}_popularity": hit_rate(popular_ranks, k) for k in (10, 50, 100)},
    }


def refit_towers(fit: TowerFit, inputs: TrainInputs, config: TrainConfig, progress: Progress, *, through: Part) -> None:
    """A few epochs at a low rate over all labels `through` that part; none where it brings no label."""
    length = config.towers.max_history
    parts = [labels_of_part(inputs.retrieval, part, max_history=length) for part in Part if part <= through]
    labels = np.concatenate(parts)
    for _ in range(config.fit_towers.refit_epochs if len(parts[-1]) else 0):
        figures = fit.run_epoch(labels, learning_rate=config.fit_towers.learning_rate / 5)
        figures["labels"] = float(len(labels))
        progress("towers_refitted", {**figures, "through": through.name.lower()})


def describe(settings: Settings, config: TrainConfig) -> dict[str, Any]:
    """What the figures are about, and the configuration."""
    return {
        "split": "global time: towers, ranker, validation; all figures are on validation",
        "measured": "towers fitted on towers, refitted through ranker; ranker fitted on ranker, with towers of before",
        "train_only": "figures *_train_only: the same before the towers were refitted",
        "shipped": "the same one part later: towers refitted through validation, ranker on ranker and validation",
        "ranker": "network or trees, as the latest lists say (ranker_ndcg_*); weights of recall sources likewise",
        "labels": "what a user did at the instant of a list; items hidden in serving are left out for everybody: "
        + ", ".join(behavior.name for behavior in settings.behaviors if behavior.hides),
        "hr_at_10": "ranker over proposed candidates; a label nobody proposed is a miss",
        "hr_at_10_popularity": "decayed popularity at the middle half-life, the same labels and candidates",
        "config": asdict(config),
    }
