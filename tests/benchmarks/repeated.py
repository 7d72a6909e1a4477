"""How long a piece of work takes: the median of a few rounds, after one to warm up."""

import statistics
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 3


def median_seconds(work: Callable[[], Any]) -> float:
    """Median of ROUNDS, one more before them."""
    taken = []
    for _ in range(ROUNDS + 1):
        began_s = time.monotonic()
        work()
        taken.append(time.monotonic() - began_s)
    return statistics.median(taken[1:])
