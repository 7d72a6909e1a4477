"""What the models of papers S1 and S2 have in common: shape of the towers, what is compared, how long is learned."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta

from mmrec.evaluation.search_space import Between, Choice, SearchSpace
from mmrec.models.settings import Dropped, Fusion, TowerSettings
from mmrec.wire.declared import AtLeastOne, Name, NotNegative, Positive, Share
from mmrec.zoo.history_matrix import BehaviorWeights

LEAST_TEMPERATURE: Final = 0.02
Width = Annotated[int, Meta(ge=8, multiple_of=8, description="a multiple of 8")]
Warmth = Annotated[float, Meta(ge=LEAST_TEMPERATURE, le=1)]
"""A temperature."""


@dataclass(frozen=True, kw_only=True)
class ContrastOptions:
    """Users and items in one space, by content."""

    embedding_dim: Width = 64
    hidden_dim: Width = 64
    projected_dim: AtLeastOne = 64
    """Principal components kept of each modality."""
    fusion: Fusion = "attention"
    """How modalities become one vector; see mmrec.models.fusion."""
    modalities: tuple[Name, ...] = ()
    """Those that are read, `labels` for attributes; empty reads all there are."""
    id_shrinkage: NotNegative = 1.0
    """k: where ids are used, that of an item that n events learned from are on counts n / (n + k)."""
    temperature: Warmth = 0.1
    """Where a learned one begins."""
    temperature_kind: Literal["learned", "fixed"] = "learned"
    num_negatives: AtLeastOne = 512
    """Items drawn evenly for each batch among those with events; all its events share them."""
    dropout: Dropped = 0.1
    modality_dropout: Dropped = 0.0
    """Share of modalities that are hidden in training."""
    l1: NotNegative = 0.0
    """Weight of the mean size of a weight."""
    l2: NotNegative = 0.01
    """Weight decay."""
    learning_rate: Positive = 0.003
    batch_size: AtLeastOne = 512
    max_epochs: AtLeastOne = 20
    patience: AtLeastOne = 5
    """Epochs without a lower loss of the held events before learning ends; the best epoch is what stays."""
    max_labels: AtLeastOne = 50
    """Newest events of each user that are learned from. With 10 of about 150, as on MovieLens, networks were still
    learning when all epochs were over."""
    order_decay: Share = 0.8
    decay_per_day: NotNegative = 0.01
    weights: BehaviorWeights = "equal"

    def towers(self, *, use_ids: bool) -> TowerSettings:
        """The item tower's settings."""
        return TowerSettings(
            embedding_dim=self.embedding_dim,
            hidden_dim=self.hidden_dim,
            projected_dim=self.projected_dim,
            fusion=self.fusion,
            use_ids=use_ids,
            id_shrinkage=self.id_shrinkage,
            modality_dropout=self.modality_dropout,
            dropout=self.dropout,
        )


CONTRAST_SPACE: Final[SearchSpace] = {
    "fusion": Choice(("concat", "weighted-sum", "attention", "self-attention")),
    "temperature": Choice((0.05, 0.1, 0.2)),
    "learning_rate": Between(0.001, 0.01, is_log=True),
    "dropout": Choice((0.0, 0.1, 0.3)),
    "max_labels": Choice((10, 50)),
    "order_decay": Choice((0.6, 0.8, 0.9, 1.0)),
}
