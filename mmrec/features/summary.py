"""What stands beside a packed profile in the clear, for other readers of the feature store; serving does not use it.

Axes: I items, B behaviors.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from mmrec.scoring.affinity import affinity
from mmrec.scoring.profile import UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig

NUM_TOP_ITEMS = 20


@dataclass(frozen=True, kw_only=True)
class ProfileSummary:
    """A profile's headline as of its newest event."""

    top_item_ids: list[str]
    """Items of highest affinity, best first."""
    top_affinities: list[float]
    totals_B: list[float]
    """Decayed counts over all items, in the order of the configured behaviors."""


def summarize(profile: UserProfile, *, config: ScoringConfig) -> ProfileSummary:
    """Top items and totals as of `newest_event_time_s`, by the first half-life and the configured weights."""
    if not profile.num_items:
        return ProfileSummary(top_item_ids=[], top_affinities=[], totals_B=[0.0] * len(config.behaviors))
    affinity_I = affinity(
        align_behaviors(profile.counts_IHB[:, 0, :], profile.behavior_ids_B, config.behaviors),
        profile.newest_event_time_s - profile.reference_times_I,
        config.behaviors.weights_B,
        decay_per_day=config.decay_per_day[0],
    )
    order = np.argsort(-affinity_I, kind="stable")[:NUM_TOP_ITEMS]
    return ProfileSummary(
        top_item_ids=[profile.item_ids[place] for place in order.tolist()],
        top_affinities=affinity_I[order].tolist(),
        totals_B=align_behaviors(profile.totals_HB[0], profile.behavior_ids_B, config.behaviors).tolist(),
    )


def weights_version(config: ScoringConfig) -> str:
    """Names the weights, the undo rules and the decay rate that affinities were made with."""
    facts = [[b.name, b.behavior_id, b.weight, *([b.undo_of, b.undo] if b.undo_of else [])] for b in config.behaviors]
    return hashlib.sha256(json.dumps([facts, config.decay_per_day[0]]).encode()).hexdigest()[:12]
