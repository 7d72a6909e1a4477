"""Whether two models differ by more than chance, for many pairs at once (METHODS M33).

    p = paired_p(ndcg_of_one_N - ndcg_of_other_N, seed=1)
    holm({"one": 0.01, "other": 0.04})          {"one": 0.02, "other": 0.04}

A sign-flip randomization test: under the null hypothesis a target's difference might as well have had the other sign
(Fisher's test; for retrieval Smucker, Allan and Carterette, CIKM 2007). Of m tests the smallest p counts m times, the
next m - 1 times, and so on (Holm, Scandinavian Journal of Statistics 1979).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from mmrec.evaluation.interactions import FloatArray

NUM_FLIPS: Final = 10_000
_AT_A_TIME: Final = 250


def paired_p(differences_N: FloatArray, *, seed: int, num_flips: int = NUM_FLIPS) -> float:
    """Two-sided p of a mean difference of zero; 1 where all are equal.

    Args:
        differences_N: One number per user, of the same user by both.
    """
    moved = differences_N[differences_N != 0]
    if not len(moved):
        return 1.0
    generator, observed, extreme = np.random.default_rng(seed), abs(moved.sum()), 0
    for start in range(0, num_flips, _AT_A_TIME):
        flips = min(_AT_A_TIME, num_flips - start)
        bits = np.unpackbits(generator.integers(0, 256, (flips, len(moved) // 8 + 1), dtype=np.uint8), axis=1)
        sums = (2.0 * bits[:, : len(moved)].astype(np.float32) - 1.0) @ moved.astype(np.float32)
        extreme += int((np.abs(sums) >= observed * (1 - 1e-6)).sum())
    return (1 + extreme) / (1 + num_flips)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for their number, in the order given."""
    found: dict[str, float] = {}
    least = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for place, name in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - place) * p_values[name]))
        found[name] = least
    return {name: found[name] for name in p_values}
