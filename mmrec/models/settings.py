"""Shapes and variants of the model: what a saved bundle needs to be rebuilt."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from mmrec.wire.declared import AtLeastOne, Count, NotNegative, check

Fusion = Literal["concat", "weighted-sum", "multiplicative", "attention", "self-attention", "self-attention-as-printed"]
UserTowerKind = Literal["pooling", "causal"]
EmbeddingDim = Annotated[int, Meta(ge=8, multiple_of=8, description="a multiple of 8")]
Dropped = Annotated[float, Meta(ge=0, lt=1)]
"""A share that training leaves out."""


@dataclass(frozen=True, kw_only=True)
class TowerSettings:
    """Item tower and user tower."""

    embedding_dim: EmbeddingDim = 64
    """D of item and user embeddings."""
    projected_dim: AtLeastOne = 96
    """Principal components kept of each modality before anything is learned."""
    hidden_dim: AtLeastOne = 128
    """Width of the towers' hidden layers."""
    lifts: Literal["linear", "printed"] = "linear"
    """What brings a modality's components to hidden_dim: a linear layer, or for image and text the layers that paper
    S3 prints, whose hidden_dim is 300 (mmrec.models.printed_heads)."""
    fusion: Fusion = "attention"
    """How modalities become one vector; see mmrec.models.fusion."""
    user_tower: UserTowerKind = "pooling"
    """What reads a user's history: attention over all of it for each label anew, or one pass that learns from all
    labels of a user (METHODS M21)."""
    user_blocks: AtLeastOne = 1
    """Rounds of attention of the causal tower."""
    use_ids: bool = True
    """Add a learned vector per known item (METHODS M24); new items do without."""
    id_buckets: Count = 0
    """Rows of the table that all items share by hash, so that it does not grow with the catalogue; 0 gives each item a
    row of its own (METHODS M24)."""
    id_shrinkage: NotNegative = 1.0
    """k: the vector of an item with n labels counts n / (n + k) (METHODS M24); without labels it never counts."""
    id_dropout: Dropped = 0.3
    """Share of items that train without their id vector, so that content alone works (METHODS M27)."""
    modality_dropout: Dropped = 0.1
    """Share of modalities that are hidden in training."""
    dropout: Dropped = 0.1
    max_history: AtLeastOne = 50
    """Newest events the user tower sees."""

    def __post_init__(self) -> None:
        check(self, "towers")


@dataclass(frozen=True, kw_only=True)
class RankerSettings:
    """The ranking network."""

    hidden_dims: tuple[AtLeastOne, ...] = (64, 32)
    dropout: Dropped = 0.1

    def __post_init__(self) -> None:
        check(self, "ranker")
