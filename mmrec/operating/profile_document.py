"""All of one user's profile, for machines.

Axes: I items, H half-lives, B behaviors, L newest events.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.scoring.as_of import ProfileAsOf, profile_as_of
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.wire.instants import rfc3339


def profile_document(user_key: str, profile: UserProfile, *, config: ScoringConfig, as_of_s: float) -> dict[str, Any]:
    """Everything a profile holds, with nothing left out: counts, events, totals, marks and remembered event ids."""
    names = [behavior_name(int(behavior_id), config) for behavior_id in profile.behavior_ids_B]
    affinity_I = profile_state(profile, config, as_of_s).affinity_I
    order = np.argsort(-affinity_I, kind="stable").tolist()
    return {
        "user_key": user_key,
        "as_of": rfc3339(as_of_s),
        "decay_per_day": list(config.decay_per_day),
        "weights": {b.name: b.weight for b in config.behaviors},
        "num_events": profile.num_events,
        "num_items": profile.num_items,
        "num_pruned_items": profile.num_pruned_items,
        "first_event_time": _instant(profile.first_event_time_s),
        "newest_event_time": _instant(profile.newest_event_time_s),
        "newest_ingest_time": _instant(profile.newest_ingest_time_s),
        "items": [
            {
                "item_id": profile.item_ids[row],
                "affinity": float(affinity_I[row]),
                "reference_time": _instant(float(profile.reference_times_I[row])),
                "counts": _by_half_life(profile.counts_IHB[row], names),
            }
            for row in order
        ],
        "newest_events": _newest_events(profile, config),
        "totals": _by_half_life(profile.totals_HB, names),
        "marks": [{**asdict(source), "offset": offset} for source, offset in sorted(profile.marks.items())],
        "event_ids_remembered": [
            {"hash": f"{value:016x}", "ingest_time": _instant(time_s)}
            for value, time_s in zip(profile.ring_ids_R.tolist(), profile.ring_ingest_times_R.tolist(), strict=True)
        ],
    }


def _newest_events(profile: UserProfile, config: ScoringConfig) -> list[dict[str, Any]]:
    return [
        {
            "item_id": item_id,
            "behavior": behavior_name(behavior_id, config),
            "event_time": _instant(event_time_s),
            "known_time": _instant(known_time_s),
        }
        for item_id, behavior_id, event_time_s, known_time_s in zip(
            profile.recent_item_ids,
            profile.recent_behavior_ids_L.tolist(),
            profile.recent_event_times_L.tolist(),
            profile.recent_known_times_L.tolist(),
            strict=True,
        )
    ]


def _by_half_life(counts_HB: npt.NDArray[np.float64], names: list[str]) -> list[dict[str, float]]:
    return [dict(zip(names, row, strict=True)) for row in counts_HB.tolist()]


def behavior_name(behavior_id: int, config: ScoringConfig) -> str:
    """A behavior's name; where it is configured no more, its number."""
    found = (behavior.name for behavior in config.behaviors if behavior.behavior_id == behavior_id)
    return next(found, f"behavior {behavior_id}")


def profile_state(profile: UserProfile, config: ScoringConfig, as_of_s: float) -> ProfileAsOf:
    """A profile as of an instant, by the first half-life."""
    return profile_as_of(profile, as_of_s=as_of_s, behaviors=config.behaviors, decay_per_day=config.decay_per_day[0])


def _instant(time_s: float) -> str | None:
    return rfc3339(time_s) if math.isfinite(time_s) else None
