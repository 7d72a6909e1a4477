"""Exponential time decay: the only place where it is written.

    decay(age) = exp(-rate * age)          METHODS M2; rate 0.05 per day gives a half-life of 13.9 days

Counts are kept as of a reference time and moved with this function (Cormode et al., Forward Decay, ICDE 2009), so
merging is commutative and associative. decay() uses only `+ - * / **`: floats, arrays and Spark columns all work.
"""

from typing import Any

import numpy as np

SECONDS_PER_DAY = 86_400.0
EULER = 2.718281828459045


def decay(age_s: Any, *, decay_per_day: Any) -> Any:
    """Share of a count that is left after `age_s` seconds.

    Args:
        age_s: Seconds since the reference time, float64, any shape. Negative ages amplify: nothing is clamped.
        decay_per_day: lambda per day, >= 0; broadcasts against `age_s`.

    Returns:
        exp(-decay_per_day * age_s / 86 400), of the broadcast shape.
    """
    return EULER ** (-decay_per_day * (age_s / SECONDS_PER_DAY))


def half_life_days(decay_per_day: float) -> float:
    """Days after which half of a count is left; inf where nothing decays."""
    return 0.6931471805599453 / decay_per_day if decay_per_day > 0 else float("inf")


def merge_counts(
    counts: Any, reference_time_s: Any, other_counts: Any, other_reference_time_s: Any, *, decay_per_day: Any
) -> tuple[Any, Any]:
    """Sum of two decayed counts of the same thing, as of the later of their reference times.

    Args:
        counts: Decayed counts as of `reference_time_s`.
        other_counts: The same as of `other_reference_time_s`; shapes broadcast.

    Returns:
        (counts, reference_time_s) of the sum.
    """
    later = np.maximum(reference_time_s, other_reference_time_s)
    return (
        counts * decay(later - reference_time_s, decay_per_day=decay_per_day)
        + other_counts * decay(later - other_reference_time_s, decay_per_day=decay_per_day),
        later,
    )
