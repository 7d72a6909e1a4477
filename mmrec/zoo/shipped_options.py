"""What of the training and of serving a compared model may differ in from what ships; the defaults ship."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from mmrec.config import ServingSettings, Settings
from mmrec.evaluation.interactions import Interactions
from mmrec.models.settings import EmbeddingDim, Fusion, UserTowerKind
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.choose_ranker import RankerKind
from mmrec.training.example_config import ExampleConfig
from mmrec.training.run import TrainConfig
from mmrec.wire.declared import AtLeastOne, Count, NotNegative, Positive, check
from mmrec.zoo.shipped_world import usual_behaviors

TRAIN, EXAMPLES, SCORING = TrainConfig(), ExampleConfig(), ScoringConfig(behaviors=usual_behaviors(()))


@dataclass(frozen=True, kw_only=True)
class ShippedOptions:
    """What of the training and of serving may differ from what ships."""

    epochs: AtLeastOne = TRAIN.fit_towers.max_epochs
    refit_epochs: Count = TRAIN.fit_towers.refit_epochs
    batch_size: AtLeastOne = TRAIN.fit_towers.batch_size
    learning_rate: Positive = TRAIN.fit_towers.learning_rate
    labels_per_epoch: Count = TRAIN.fit_towers.max_labels_per_epoch
    fusion: Fusion = TRAIN.towers.fusion
    user_tower: UserTowerKind = TRAIN.towers.user_tower
    embedding_dim: EmbeddingDim = TRAIN.towers.embedding_dim
    id_shrinkage: NotNegative = TRAIN.towers.id_shrinkage
    order_decay: Annotated[float, Meta(gt=0, le=1)] = SCORING.neighbor_order_decay
    decay_per_day: NotNegative = SCORING.neighbor_decay_per_day
    ranker: RankerKind = TRAIN.ranker_kind
    source_weights: Literal["better", "own"] = TRAIN.fit_sources.weights
    ranker_lists: Count = EXAMPLES.max_ranker_lists
    validation_lists: Count = EXAMPLES.max_validation_lists
    num_candidates: AtLeastOne = ServingSettings().num_candidates

    def __post_init__(self) -> None:
        check(self, "shipped")

    def settings(self, data: Interactions) -> Settings:
        """Of a deployment with the behaviors of some data."""
        scoring = ScoringConfig(
            behaviors=usual_behaviors(data.behavior_names),
            neighbor_order_decay=self.order_decay,
            neighbor_decay_per_day=self.decay_per_day,
        )
        return Settings(scoring=scoring, serving=ServingSettings(num_candidates=self.num_candidates))

    def example_config(self, *, with_lists: bool, seed: int) -> ExampleConfig:
        """Which events become labels; without lists nothing is learned of ranking and of recall sources."""
        return replace(
            EXAMPLES,
            max_ranker_lists=self.ranker_lists if with_lists else 0,
            max_validation_lists=self.validation_lists if with_lists else 0,
            seed=seed,
        )

    def train_config(self, *, seed: int) -> TrainConfig:
        """A whole run."""
        fit_towers = replace(
            TRAIN.fit_towers,
            max_epochs=self.epochs,
            refit_epochs=self.refit_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            max_labels_per_epoch=self.labels_per_epoch,
            seed=seed,
        )
        return replace(
            TRAIN,
            towers=replace(
                TRAIN.towers,
                fusion=self.fusion,
                user_tower=self.user_tower,
                embedding_dim=self.embedding_dim,
                id_shrinkage=self.id_shrinkage,
            ),
            fit_towers=fit_towers,
            fit_ranker=replace(TRAIN.fit_ranker, seed=seed),
            fit_trees=replace(TRAIN.fit_trees, seed=1 + seed),
            ranker_kind=self.ranker,
            fit_sources=replace(TRAIN.fit_sources, weights=self.source_weights),
        )
