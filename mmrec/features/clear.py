"""The JSON text that is stored beside a packed profile, for other readers of the feature store.

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
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.scoring.as_of import stored_affinity
from mmrec.scoring.names import Names
from mmrec.scoring.packed_columns import ProfileColumns
from mmrec.scoring.profile import FloatArray, UserProfile, align_behaviors
from mmrec.scoring.settings import ScoringConfig

NUM_TOP_ITEMS = 20
_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
_PAIRS: Final = [",".join(['"%s":%.9g'] * number) for number in range(NUM_TOP_ITEMS + 1)]
"""Templates by number of items; ids hold no control characters, so only quotes and backslashes need escaping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """The data for the texts of U profiles with the same axes."""

    behavior_ids_B: npt.NDArray[np.uint8]
    names: list[Names]
    num_events: list[int]
    newest_U: FloatArray
    totals_UB: FloatArray
    reference_times_I: FloatArray
    counts_IB: FloatArray


def clear_texts(profiles: Sequence[UserProfile], *, config: ScoringConfig) -> list[str]:
    """The text of each profile, with the first half-life and the configured weights; made for thousands at once."""
    texts: list[str] = []
    for _, group in groupby(profiles, key=lambda profile: profile.behavior_ids_B.tobytes()):
        alike = list(group)
        shown = _Shown(
            behavior_ids_B=alike[0].behavior_ids_B,
            names=[profile.names for profile in alike],
            num_events=[profile.num_events for profile in alike],
            newest_U=np.array([profile.newest_event_time_s for profile in alike]),
            totals_UB=np.array([profile.totals_HB[0] for profile in alike]),
            reference_times_I=np.concatenate([profile.reference_times_I for profile in alike]),
            counts_IB=np.concatenate([profile.counts_IHB[:, 0, :] for profile in alike]),
        )
        texts += _texts(shown, config)
    return texts


def clear_texts_of(columns: ProfileColumns, *, config: ScoringConfig) -> list[str]:
    """Like clear_texts(), for profiles held as columns."""
    sizes = columns.sizes("num_items").tolist()
    shown = _Shown(
        behavior_ids_B=columns.axes.behavior_ids_B,
        names=[Names.stored(text, size) for text, size in zip(columns.names, sizes, strict=True)],
        num_events=columns.header_U["num_events"].tolist(),
        newest_U=columns.header_U["newest_event_time_s"],
        totals_UB=columns.totals_UHB[:, 0, :],
        reference_times_I=columns.reference_times_X,
        counts_IB=columns.counts_XHB[:, 0, :],
    )
    return _texts(shown, config)


def _texts(shown: _Shown, config: ScoringConfig) -> list[str]:
    ids_B = shown.behavior_ids_B
    sizes_U = np.array([len(names) for names in shown.names], dtype=np.int64)
    user_I = np.repeat(np.arange(len(sizes_U)), sizes_U)
    ages_I = shown.newest_U[user_I] - shown.reference_times_I
    affinity_I = stored_affinity(shown.counts_IB, ids_B, ages_I, config=config)
    first_U = np.cumsum(sizes_U) - sizes_U
    order_I = np.lexsort((-affinity_I, user_I))
    place_I = order_I - first_U[user_I]
    top_I = np.arange(len(order_I)) - first_U[user_I] < NUM_TOP_ITEMS
    values, places = affinity_I[order_I[top_I]].tolist(), place_I[top_I].tolist()
    ends = np.cumsum(np.minimum(sizes_U, NUM_TOP_ITEMS)).tolist()
    totals_UB = align_behaviors(shown.totals_UB, ids_B, config.behaviors)
    totals_text = ",".join(_quoted(name).replace("%", "%%") + ":%.9g" for name in config.behaviors.names)
    version = json.dumps(weights_version(config))
    texts = []
    for names, start, end, totals, num_events, newest_s in zip(
        shown.names, [0, *ends[:-1]], ends, totals_UB.tolist(), shown.num_events, shown.newest_U.tolist(), strict=True
    ):
        text = names.text
        ids = text.decode().split("\x1f")
        shown_ids = [ids[place + 1] for place in places[start:end]]
        if b'"' in text or b"\\" in text:
            shown_ids = [_quoted(item_id)[1:-1] for item_id in shown_ids]
        items = _PAIRS[end - start] % tuple(chain.from_iterable(zip(shown_ids, values[start:end], strict=True)))
        newest = repr(newest_s) if math.isfinite(newest_s) else "null"
        texts.append(
            f'{{"top_items":{{{items}}},"totals":{{{totals_text % tuple(totals)}}},"num_events":{num_events},'
            f'"newest_event_time_s":{newest},"weights_version":{version}}}'
        )
    return texts


def weights_version(config: ScoringConfig) -> str:
    """Version of the weights, undo rules and decay rate that affinities were computed with."""
    facts = [[b.name, b.behavior_id, b.weight, *([b.undo_of, b.undo] if b.undo_of else [])] for b in config.behaviors]
    return hashlib.sha256(json.dumps([facts, config.decay_per_day[0]]).encode()).hexdigest()[:12]
