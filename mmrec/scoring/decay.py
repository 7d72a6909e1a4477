"""Exponential time decay: the only place where it is written.

    decay(age) = exp(-rate * age)          METHODS M2; rate 0.05 per day gives a half-life of 13.9 days

Counts are kept as of a reference time and moved with this function (Cormode et al., Forward Decay, ICDE 2009), so
merging is commutative and associative. decay() uses only `+ - * / **`: floats, arrays and Spark columns all work.
count_events() is the one place where events enter counts, merge_counts() where two counts become one.

Axes: A events, S counted things (items of users, users, items), H decay rates, B behaviors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SECONDS_PER_DAY = 86_400.0
EULER = 2.718281828459045
LN_2 = 0.6931471805599453
"""A rate of LN_2 / d per day halves a count in d days."""


def decay(age_s: Any, *, decay_per_day: Any) -> Any:
    """Share of a count that is left after `age_s` seconds.

    Args:
        age_s: Seconds since the reference time, float64, any shape. Negative ages amplify: nothing is clamped.
        decay_per_day: lambda per day, >= 0; broadcasts against `age_s`.

    Returns:
        exp(-decay_per_day * age_s / 86 400), of the broadcast shape.
    """
    return EULER ** (-decay_per_day * (age_s / SECONDS_PER_DAY))


def count_events(
    counts_SHB: FloatArray,
    reference_times_S: FloatArray,
    *,
    slot_A: npt.NDArray[np.int64],
    column_A: npt.NDArray[np.int64],
    times_A: FloatArray,
    decay_per_day_H: Sequence[float] | FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Add events to decayed counts, whichever order they come in.

        reference' = max(reference, event times)
        count'     = count * decay(reference' - reference) + sum over events of decay(reference' - event time)

    Args:
        counts_SHB: Counts of S things over H decay rates and B behaviors; not changed.
        reference_times_S: Instant each thing's counts are as of; -inf where nothing was counted yet.
        slot_A: Position on axis S of each of A events.
        column_A: Position on axis B of each event.
        times_A: Event times, epoch seconds.

    Returns:
        Counts and reference times with the events, of the shapes that came in.
    """
    num_slots, _, num_columns = counts_SHB.shape
    newest_S = reference_times_S.copy()
    np.maximum.at(newest_S, slot_A, times_A)
    old_S = np.flatnonzero(np.isfinite(reference_times_S))
    ages_old = newest_S[old_S] - reference_times_S[old_S]
    ages_A = newest_S[slot_A] - times_A
    cell_A = slot_A * num_columns + column_A
    counted_SHB = counts_SHB.copy()
    for h, rate in enumerate(decay_per_day_H):
        if old_S.size:
            counted_SHB[old_S, h] *= decay(ages_old, decay_per_day=rate)[:, None]
        added = np.bincount(cell_A, decay(ages_A, decay_per_day=rate), minlength=num_slots * num_columns)
        counted_SHB[:, h] += added.reshape(num_slots, num_columns)
    return counted_SHB, newest_S


def merge_counts(
    counts_SHB: FloatArray,
    reference_times_S: FloatArray,
    other_SHB: FloatArray,
    other_times_S: FloatArray,
    *,
    decay_per_day_H: Sequence[float] | FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Add decayed counts of the same S things to each other.

        reference' = max(reference, other)
        count'     = count * decay(reference' - reference) + other * decay(reference' - other reference)

    Args:
        reference_times_S: Instants the counts are as of; -inf where nothing was counted yet (counts 0).

    Returns:
        Counts and reference times, of the shapes that came in.
    """
    newest_S = np.maximum(reference_times_S, other_times_S)
    rates_H = np.asarray(decay_per_day_H, dtype=np.float64)
    merged_SHB = np.zeros(counts_SHB.shape)
    for part_SHB, times_S in ((counts_SHB, reference_times_S), (other_SHB, other_times_S)):
        counted = np.isfinite(times_S)
        ages = (newest_S[counted] - times_S[counted])[:, None]
        merged_SHB[counted] += part_SHB[counted] * decay(ages, decay_per_day=rates_H)[:, :, None]
    return merged_SHB, newest_S
