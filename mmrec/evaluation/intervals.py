"""Intervals around measured means: paired differences, clustered by user.

Events of one user are not independent, so the bootstrap draws users, not events (bootstrap by
clusters, Field and Welsh, JRSS B 2007; METHODS M33).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    num_values: int
    num_clusters: int


def clustered_interval(values: FloatArray, clusters: Sequence[str], *, seed: int, num_draws: int = 2_000) -> Interval:
    """Mean of `values` with a percentile bootstrap over clusters.

    Args:
        values: One number per event, such as paired differences of hits.
        clusters: The user of each event, aligned with `values`.
        seed: Of the draws; the same seed gives the same interval.
        num_draws: Bootstrap samples.

    Raises:
        ValueError: nothing was measured, or the arguments are of different lengths.
    """
    if len(values) == 0 or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values of {len(clusters)} events; give one user per value, at least one")
    names, index = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    sums = np.bincount(index, weights=values, minlength=len(names))
    sizes = np.bincount(index, minlength=len(names)).astype(np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty(num_draws)
    for draw in range(num_draws):
        picked = generator.integers(0, len(names), len(names))
        means[draw] = sums[picked].sum() / sizes[picked].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(
        mean=float(values.mean()),
        low=float(low),
        high=float(high),
        num_values=len(values),
        num_clusters=len(names),
    )
