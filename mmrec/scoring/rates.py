"""Smoothed rates of an item: the share of each behavior among its events, smoothed so that a few events move it little.

Axes: any leading axes, B behaviors.
"""

import numpy as np

from mmrec.scoring.profile import FloatArray

PSEUDO_EVENTS = 10.0
"""Weight of the prior: every item starts as if it had had this many events, spread evenly over the behaviors. Chosen by
judgment, not by a test."""


def smoothed_rates(counts_xB: FloatArray, *, pseudo_events: float = PSEUDO_EVENTS) -> FloatArray:
    """Share of each behavior among an item's decayed events.

        rate_b = (max(count_b, 0) + m / B) / (sum_b max(count_b, 0) + m)        a Dirichlet prior of m events

    Args:
        counts_xB: Decayed counts; as events decay away the rates go back to 1 / B.
        pseudo_events: m, > 0.

    Returns:
        Shares > 0 that sum to 1 over the last axis, shape of `counts_xB`.
    """
    counts = np.maximum(counts_xB, 0.0)
    prior = pseudo_events / counts.shape[-1]
    rates_xB: FloatArray = (counts + prior) / (counts.sum(axis=-1, keepdims=True) + pseudo_events)
    return rates_xB
