"""What the feature store keeps beside profiles and item statistics.

Axis: K neighbors or popular items, best first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmrec.features.record_counts import RecordCounts
from mmrec.scoring.source import Source

FloatArray = npt.NDArray[np.float64]
ALL_DOMAINS = ""
"""The domain value that stands for all domains."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbors:
    """Items that users touch together with one item."""

    item_ids: tuple[str, ...]
    """Strongest first."""
    weights_K: npt.NDArray[np.float32]
    """Strength of each, > 0."""
    built_time_s: float
    """When they were built."""

    def __post_init__(self) -> None:
        if len(self.item_ids) != len(self.weights_K):
            raise ValueError(f"{len(self.item_ids)} neighbors with {len(self.weights_K)} weights; give one each")


@dataclass(frozen=True, kw_only=True, eq=False)
class PopularItems:
    """The items a domain likes most."""

    item_ids: tuple[str, ...]
    """Most popular first."""
    popularity_K: FloatArray
    """Decayed, weighted events as of `as_of_s`."""
    as_of_s: float

    def __post_init__(self) -> None:
        if len(self.item_ids) != len(self.popularity_K):
            raise ValueError(f"{len(self.item_ids)} items with {len(self.popularity_K)} popularities; give one each")


class PackedProfile(NamedTuple):
    """A profile as it will be stored, at a fraction of the memory of a UserProfile from *apply*."""

    packed: bytes
    """mmrec.scoring.packing.pack()."""
    clear: str
    """mmrec.features.clear; empty where the store keeps none."""


@dataclass(frozen=True, kw_only=True)
class StreamProgress:
    """How far the one writer of profiles has come; written with the profiles, so that the two agree."""

    marks: Mapping[Source, int] = field(default_factory=dict)
    """By source, the offset up to which all its records are in the store."""
    counts: RecordCounts = field(default_factory=RecordCounts)
    """Counts of the records so far."""
    newest_ingest_time_s: float = 0.0
    """Ingest time of the newest record among them; 0 before the first."""
    log_sequence: int = 0
    """Sequence number up to which all events of the log are in the profiles and the counts."""
    num_forgotten: int = 0
    """Entries of the registry of forgotten users that the store has seen; a store that is behind must be swept."""
