"""Figures that the papers print, in one place: they stand beside our own, and are not compared as equals (METHODS M37).

S3 is Lu et al., CMC 2026, S2 a paper of cross-domain contrastive learning ("CMC" is its model), as METHODS.md cites
them. S3's data are private, and neither says among how many candidates an item was ranked: the same ItemKNN has HR@5
.72 among ten candidates and .06 among twelve thousand (M35).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table of a paper."""

    source: str
    what: str
    """What it shows, and what the paper leaves open."""
    metrics: tuple[str, ...]
    """Names as mmrec.evaluation.measure has them."""
    rows: Mapping[str, tuple[float, ...]]
    """Name as printed -> figures in the order of `metrics`."""

    def __post_init__(self) -> None:
        for name, figures in self.rows.items():
            if len(figures) != len(self.metrics):
                raise ValueError(f"{self.source}, {name}: {len(figures)} figures of {len(self.metrics)} metrics")


S3_OWN: Final = "S3's own"
S3_MAIN: Final = Published(
    source="S3",
    what="test part of 80/20 by user, private data of a shop; candidates are not stated",
    metrics=("hr_at_5", "ndcg_at_5"),
    rows={
        "ItemCF": (0.617, 0.432),
        "NCF": (0.642, 0.448),
        "VBPR": (0.658, 0.461),
        "LightGCN": (0.672, 0.472),
        "LATTICE": (0.681, 0.478),
        "MARIO": (0.689, 0.482),
        "MCCL": (0.694, 0.485),
        S3_OWN: (0.703, 0.491),
    },
)
S3_ABLATIONS: Final = Published(
    source="S3",
    what="its model without one part each (METHODS M38); data and candidates as in its main table",
    metrics=("hr_at_5", "ndcg_at_5"),
    rows={
        "whole": (0.703, 0.491),
        "without decay": (0.671, 0.472),
        "without weights": (0.658, 0.463),
        "without text": (0.635, 0.452),
        "without image": (0.622, 0.442),
    },
)
S2_MAIN: Final = Published(
    source="S2",
    what="Amazon Beauty and Fashion; split and candidates are not stated",
    metrics=("ndcg_at_10", "auc"),
    rows={
        "MF": (0.612, 0.733),
        "NCF": (0.648, 0.759),
        "GNN": (0.673, 0.783),
        "GCE": (0.694, 0.802),
        "CMC (S2's own)": (0.725, 0.826),
    },
)
"""S2 prints "NDCG" without a cut; it stands beside ours at ten."""
S2_ABLATIONS: Final = Published(
    source="S2",
    what="its model without one part each (METHODS M38)",
    metrics=("ndcg_at_10", "auc"),
    rows={
        "whole": (0.725, 0.826),
        "without contrastive learning": (0.691, 0.805),
        "without cross-domain": (0.673, 0.783),
        "without image": (0.702, 0.810),
        "without fusion": (0.658, 0.764),
    },
)
