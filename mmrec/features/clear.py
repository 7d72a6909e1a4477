"""What stands beside a packed profile in the clear, as one JSON text: for other readers of the feature store.

    {"top_items": {"i2": 2.9, "i1": 1.0}, "totals": {"browse": 3.0, "cart": 0.4}, "num_events": 4,
     "newest_event_time_s": 1760000002.0, "weights_version": "5f2c..."}

Best item first; affinities and totals as of `newest_event_time_s`, null where there was no event. One text instead of
an array per name: an online store keeps every name of every user as a row of its own.

Axes: U profiles, I items of all of them, H half-lives, B behaviors.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from itertools import groupby
from json.encoder import encode_basestring

import numpy as np

from mmrec.scoring.affinity import affinity
from mmrec.scoring.profile import UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig

NUM_TOP_ITEMS = 20


def clear_texts(profiles: Sequence[UserProfile], *, config: ScoringConfig) -> list[str]:
    """The text of each profile, by the first half-life and the configured weights; made for thousands at once."""
    texts: list[str] = []
    for _, alike in groupby(profiles, key=lambda profile: profile.behavior_ids_B.tobytes()):
        texts += _texts(list(alike), config)
    return texts


def _texts(profiles: list[UserProfile], config: ScoringConfig) -> list[str]:
    ids_B = profiles[0].behavior_ids_B
    sizes_U = np.array([profile.num_items for profile in profiles])
    user_I = np.repeat(np.arange(len(profiles)), sizes_U)
    newest_U = np.array([profile.newest_event_time_s for profile in profiles])
    affinity_I = affinity(
        align_behaviors(np.concatenate([profile.counts_IHB[:, 0, :] for profile in profiles]), ids_B, config.behaviors),
        newest_U[user_I] - np.concatenate([profile.reference_times_I for profile in profiles]),
        config.behaviors.weights_B,
        decay_per_day=config.decay_per_day[0],
    )
    order_I = np.lexsort((-affinity_I, user_I))
    first_U = np.cumsum(sizes_U) - sizes_U
    place_I = order_I - first_U[user_I]
    totals_UB = align_behaviors(np.array([profile.totals_HB[0] for profile in profiles]), ids_B, config.behaviors)
    values, places = affinity_I[order_I].tolist(), place_I.tolist()
    totals_text = ",".join(f"{encode_basestring(name)}:%.9g" for name in config.behaviors.names)
    version = json.dumps(weights_version(config))
    texts = []
    for profile, first, totals, newest_s in zip(
        profiles, first_U.tolist(), totals_UB.tolist(), newest_U.tolist(), strict=True
    ):
        shown = range(first, first + min(profile.num_items, NUM_TOP_ITEMS))
        items = ",".join([f"{encode_basestring(profile.item_ids[places[at]])}:{values[at]:.9g}" for at in shown])
        newest = repr(newest_s) if math.isfinite(newest_s) else "null"
        texts.append(
            f'{{"top_items":{{{items}}},"totals":{{{totals_text % tuple(totals)}}},"num_events":{profile.num_events},'
            f'"newest_event_time_s":{newest},"weights_version":{version}}}'
        )
    return texts


def weights_version(config: ScoringConfig) -> str:
    """Names the weights, the undo rules and the decay rate that affinities were made with."""
    facts = [[b.name, b.behavior_id, b.weight, *([b.undo_of, b.undo] if b.undo_of else [])] for b in config.behaviors]
    return hashlib.sha256(json.dumps([facts, config.decay_per_day[0]]).encode()).hexdigest()[:12]
