"""How far the lists a ranker learns from are from those it is handed in serving, at the same instants.

    overlap     mean over lists of  |trained and served| / |trained or served|        (Jaccard) of what recall proposed
    by_feature  mean absolute difference on the candidates of both, in deviations of that feature among those served

0 differences and an overlap of 1 are what one code path promises; what is left comes from state that training has only
now and then, such as neighbors. Axes: N candidates, F features.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.training.ranking_rows import RankedList


@dataclass(frozen=True, kw_only=True)
class Skew:
    """Of some pairs of lists."""

    num_lists: int
    overlap: float
    by_feature: Mapping[str, float]
    """By name of the feature; one that is the same everywhere is 0."""

    @property
    def worst(self) -> tuple[str, float]:
        """The feature that differs most."""
        return max(self.by_feature.items(), key=lambda pair: pair[1])


def skew(pairs: Iterable[tuple[RankedList, RankedList]], names: Sequence[str]) -> Skew:
    """Skew of (trained, served) lists of the same user and instant.

    Args:
        names: Of axis F, see features.assemble.feature_names().

    Raises:
        ValueError: there is no list, or none with a candidate of both.
    """
    overlaps, differences, served_rows = [], [], []
    for trained, served in pairs:
        ours, theirs = trained.rows_N[trained.proposed_N], served.rows_N[served.proposed_N]
        both = np.intersect1d(ours, theirs)
        overlaps.append(len(both) / max(len(np.union1d(ours, theirs)), 1))
        mine = trained.features_NF[np.searchsorted(trained.rows_N, both)].astype(np.float64)
        other = served.features_NF[np.searchsorted(served.rows_N, both)].astype(np.float64)
        differences.append(np.abs(mine - other))
        served_rows.append(other)
    if not sum(len(rows) for rows in served_rows):
        raise ValueError("no list has a candidate of both training and serving; give pairs of lists of one instant")
    deviation_F = np.concatenate(served_rows).std(axis=0)
    mean_F = np.concatenate(differences).mean(axis=0)
    by_feature = np.divide(mean_F, deviation_F, out=np.where(mean_F > 0, np.inf, 0.0), where=deviation_F > 1e-9)
    return Skew(
        num_lists=len(overlaps),
        overlap=float(np.mean(overlaps)),
        by_feature=dict(zip(names, by_feature.tolist(), strict=True)),
    )
