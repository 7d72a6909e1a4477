"""Shapes and variants of the model: what a saved bundle needs to be rebuilt."""

from dataclasses import dataclass

from mmrec.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TowerSettings:
    """Item tower and user tower."""

    embedding_dim: int = 64
    """D of item and user embeddings."""
    projected_dim: int = 96
    """Principal components kept of each modality before anything is learned."""
    hidden_dim: int = 128
    """Width of the towers' hidden layers."""
    fusion: str = "attention"
    """A name of mmrec.models.fusion."""
    user_tower: str = "pooling"
    """"pooling" or "transformer"."""
    use_ids: bool = True
    """Add a learned vector per known item (METHODS M24); new items do without."""
    id_dropout: float = 0.3
    """Share of items that train without their id vector, so that content alone works (METHODS M27)."""
    modality_dropout: float = 0.1
    """Share of modalities that are hidden in training."""
    dropout: float = 0.1
    max_history: int = 50
    """Newest events the user tower sees."""

    def __post_init__(self) -> None:
        if self.embedding_dim < 8 or self.embedding_dim % 8:
            raise ConfigurationError(f"embedding_dim is {self.embedding_dim}; give a multiple of 8")
        if self.user_tower not in {"pooling", "transformer"}:
            raise ConfigurationError(f"user tower {self.user_tower!r} does not exist; known: pooling, transformer")
        for name in ("id_dropout", "modality_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; give a share in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class RankerSettings:
    """The ranking network."""

    hidden_dims: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
