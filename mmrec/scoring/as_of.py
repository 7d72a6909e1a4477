"""A profile as of an instant: net counts, ages and affinity of the user's own items, for everybody who reads profiles.

    state = profile_as_of(profile, as_of_s=now_s, behaviors=behaviors, decay_per_day=0.05)

Recall, features, reports and audits read S[u, i] here (METHODS M3). Pruning, and the JSON text stored beside a packed
profile, have counts in other forms and use stored_affinity().

Axes: I items, B behaviors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.scoring.affinity import affinity
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import NEVER_S, FloatArray, UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class ProfileAsOf:
    """What a profile says about the user's own items at one instant; axis I follows profile.item_ids."""

    read_s: float
    """The instant, see read_instant()."""
    counts_IB: FloatArray
    """Net counts at the first half-life, each item's as of its own reference time; axis B as configured."""
    ages_I: FloatArray
    """Seconds from each item's reference time to `read_s`, >= 0."""
    affinity_I: FloatArray
    """S[u, i]; below 0 where more was subtracted than added."""

    @property
    def positive_affinity_I(self) -> FloatArray:
        """Affinity as recall and features use it: a negative one is 0, as if the item had never been touched."""
        positive_I: FloatArray = np.maximum(self.affinity_I, 0.0)
        return positive_I


def read_instant(profile: UserProfile, as_of_s: float) -> float:
    """The instant at which a profile is read: the one asked for, or the time of its newest event if that is later.

    So no age is negative and no count is amplified, whatever the clocks of producers say.
    """
    return max(as_of_s, profile.newest_event_time_s, float(profile.reference_times_I.max(initial=NEVER_S)))


def profile_as_of(profile: UserProfile, *, as_of_s: float, behaviors: BehaviorSet, decay_per_day: float) -> ProfileAsOf:
    """A profile read at read_instant(profile, as_of_s).

    Args:
        behaviors: Weights, undo rules and the order of axis B; behaviors that are not in it are left out.
        decay_per_day: Rate of the profile's first half-life.
    """
    read_s = read_instant(profile, as_of_s)
    counts_IB = align_behaviors(profile.counts_IHB[:, 0, :], profile.behavior_ids_B, behaviors)
    ages_I = read_s - profile.reference_times_I
    return ProfileAsOf(
        read_s=read_s,
        counts_IB=counts_IB,
        ages_I=ages_I,
        affinity_I=affinity(counts_IB, ages_I, behaviors.weights_B, decay_per_day=decay_per_day),
    )


def stored_affinity(
    counts_IB: FloatArray, behavior_ids_B: npt.NDArray[np.uint8], ages_I: FloatArray, *, config: ScoringConfig
) -> FloatArray:
    """Affinity from counts as profiles store them, shape (I,), by the configured weights and the first half-life.

    Args:
        counts_IB: Counts at the first half-life on the axis of `behavior_ids_B`, not net; of one user or of many.
        ages_I: Seconds since each count's reference time, >= 0.
    """
    return affinity(
        align_behaviors(counts_IB, behavior_ids_B, config.behaviors),
        ages_I,
        config.behaviors.weights_B,
        decay_per_day=config.decay_per_day[0],
    )
