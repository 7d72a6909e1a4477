"""What the stream keeps about one user.

A profile is one row of the scoring matrix (METHODS M4) in a form that can be read at any instant: decayed counts per
item, half-life and behavior, each item with its own reference time; never finished scores. It also holds the newest
events (for sequence models), totals, and what makes the stream exact: marks and the ring of event ids.

Axes: I items, H half-lives, B behaviors, L newest events, R ring.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.scoring.affinity import net_counts
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.names import Names
from mmrec.scoring.source import Source

FloatArray = npt.NDArray[np.float64]
NEVER_S = -np.inf
"""The instant of what has not happened."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UserProfile:
    """One user's state. Arrays are never changed in place."""

    behavior_ids_B: npt.NDArray[np.uint8]
    """Stable ids of the behaviors on axis B of this profile's own arrays, ascending."""
    names: Names
    """Ids of the items the user has touched, at most the configured number, in no promised order; see `item_ids`."""
    reference_times_I: FloatArray
    """Event time of the newest event of each item, epoch seconds: its counts are as of this instant."""
    counts_IHB: FloatArray
    """Decayed counts of events; undo behaviors are counted as events of their own."""
    recent_names: Names
    """Ids of the items of the newest events, oldest first, by event time; see `recent_item_ids`."""
    recent_behavior_ids_L: npt.NDArray[np.uint8]
    recent_event_times_L: FloatArray
    recent_known_times_L: FloatArray
    totals_HB: FloatArray
    """Decayed counts over all items, pruned ones included, as of `newest_event_time_s`."""
    num_events: int
    """Accepted events ever."""
    num_pruned_items: int
    """Items dropped so far to stay within the bounds."""
    first_event_time_s: float
    newest_event_time_s: float
    newest_ingest_time_s: float
    marks: dict[Source, int]
    """Highest offset seen per source, whatever the verdict."""
    ring_ids_R: npt.NDArray[np.uint64]
    """Hashes of recent event ids, oldest first."""
    ring_ingest_times_R: FloatArray
    window_start_s: float = NEVER_S
    """Ingest time at which the current rate window began (scoring/caps.py)."""
    window_events: int = 0
    """Events accepted in that window."""
    full_windows: int = 0
    """Full windows in a row, including the current one once it is full."""
    bot_until_s: float = NEVER_S
    """Ingest time until which the user counts as a bot."""
    merged_into: str = ""
    """Profile key that this anonymous profile's events count for; "" where it was not merged, see identity.py."""
    merged_from: tuple[str, ...] = ()
    """Anonymous profile keys that were merged into this one, in the order of their login."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of the items kept; axis I follows them."""
        return self.names.all

    @property
    def recent_item_ids(self) -> tuple[str, ...]:
        """Ids of the items of the newest events; axis L follows them."""
        return self.recent_names.all

    @property
    def num_items(self) -> int:
        """Items kept."""
        return len(self.names)

    def counts(self, behaviors: BehaviorSet) -> FloatArray:
        """Net counts with axis B in the order of `behaviors`, shape (I, H, B), see align_behaviors."""
        return align_behaviors(self.counts_IHB, self.behavior_ids_B, behaviors)


def align_behaviors(counts_xB: FloatArray, behavior_ids_B: npt.NDArray[np.uint8], behaviors: BehaviorSet) -> FloatArray:
    """Counts as readers use them: on the axis of `behaviors`, net of what undo behaviors cancelled.

    Absent behaviors are 0, those not configured are left out.
    """
    return net_counts(align_columns(counts_xB, behavior_ids_B, behaviors.ids_B), behaviors.cancels)


def align_columns(
    counts_xB: FloatArray, behavior_ids_B: npt.NDArray[np.uint8], onto_ids_B: npt.NDArray[np.uint8]
) -> FloatArray:
    """Counts moved to an axis of other behavior ids; the last axis is B, absent behaviors are 0."""
    if behavior_ids_B.tobytes() == onto_ids_B.tobytes():  # called often in a request, and np.array_equal is slower
        return counts_xB
    aligned = np.zeros((*counts_xB.shape[:-1], len(onto_ids_B)), dtype=np.float64)
    _, theirs, ours = np.intersect1d(behavior_ids_B, onto_ids_B, return_indices=True)
    aligned[..., ours] = counts_xB[..., theirs]
    return aligned


def empty_profile(*, behaviors: BehaviorSet, num_half_lives: int) -> UserProfile:
    """The profile of a user about whom nothing is known."""
    num_behaviors = len(behaviors)
    return UserProfile(
        behavior_ids_B=behaviors.ids_B,
        names=Names(),
        reference_times_I=np.zeros(0),
        counts_IHB=np.zeros((0, num_half_lives, num_behaviors)),
        recent_names=Names(),
        recent_behavior_ids_L=np.zeros(0, dtype=np.uint8),
        recent_event_times_L=np.zeros(0),
        recent_known_times_L=np.zeros(0),
        totals_HB=np.zeros((num_half_lives, num_behaviors)),
        num_events=0,
        num_pruned_items=0,
        first_event_time_s=NEVER_S,
        newest_event_time_s=NEVER_S,
        newest_ingest_time_s=NEVER_S,
        marks={},
        ring_ids_R=np.zeros(0, dtype=np.uint64),
        ring_ingest_times_R=np.zeros(0),
    )
