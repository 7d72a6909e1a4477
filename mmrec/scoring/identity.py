"""Anonymous to known: at a login the anonymous profile is merged into the user's, once.

    read = profiles of keys_to_read(pairs), and of targets_to_read(those)
    changed = identify(read, pairs, config=...)

The sums are those of scoring.decay, so it does not matter when the login comes: the user's profile is the plain sum
over both keys' accepted events. What stays of the anonymous profile is a stub that names the user; *apply* counts later
events of the anonymous key for the user.

A pair takes effect once every event of the batches so far is applied. Offsets per source only go forward, so no source
holds an event of either key between the two marks, and the greater one stands for both.

Axes: I items, H half-lives, B behaviors, L newest events, R ring.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mmrec.scoring.decay import merge_counts
from mmrec.scoring.fold import Items, kept_items
from mmrec.scoring.marks import joined
from mmrec.scoring.names import Names
from mmrec.scoring.profile import NEVER_S, Source, UserProfile, align_columns, empty_profile
from mmrec.scoring.recent import latest, recent_of
from mmrec.scoring.ring import united
from mmrec.scoring.settings import ScoringConfig

Pair = tuple[str, str]
"""(user key, anonymous profile key)."""
MAX_MERGED_FROM = 256
"""Anonymous keys a profile names, the newest ones; the log's identify rows name all."""


def keys_to_read(pairs: Iterable[Pair]) -> list[str]:
    """Profile keys that identify() needs, each once."""
    return list(dict.fromkeys(key for pair in pairs for key in pair))


def targets_to_read(profiles: Mapping[str, UserProfile]) -> list[str]:
    """Keys that profiles at hand are merged into and that are not at hand themselves: *apply* needs those, too."""
    targets = dict.fromkeys(p.merged_into for p in profiles.values() if p.merged_into)
    return [key for key in targets if key not in profiles]


def identify(
    profiles: Mapping[str, UserProfile],
    pairs: Sequence[Pair],
    *,
    config: ScoringConfig,
    seen: Mapping[Source, int] | None = None,
) -> dict[str, UserProfile]:
    """Bring logins into profiles, in their order. A pair that was seen before changes nothing.

    An anonymous profile that belongs to another user already stays counted there; only its later events follow.

    Args:
        profiles: What is stored, by profile key: of keys_to_read(pairs), and of targets_to_read of those.
        pairs: (user key, anonymous profile key).
        seen: Where the log is applied again: the last offset per source so far. Profiles may be ahead of it.

    Returns:
        The profiles that changed, by key.
    """
    blank = empty_profile(behaviors=config.behaviors, num_half_lives=len(config.decay_per_day))
    changed: dict[str, UserProfile] = {}
    for user_key, anonymous_key in pairs:
        into = changed.get(user_key) or profiles.get(user_key, blank)
        anonymous = changed.get(anonymous_key) or profiles.get(anonymous_key, blank)
        if anonymous.merged_into == user_key:
            continue
        if anonymous.merged_into:
            # Its events so far are the other user's. Delivered again they must not count here, so the marks come along.
            other = changed.get(anonymous.merged_into) or profiles.get(anonymous.merged_into, blank)
            united_profile = replace(into, marks=joined(into.marks, _up_to(other.marks, seen)))
        elif anonymous_key in into.merged_from:
            # A crash came between the two writes, the user's profile being the first: only the stub is missing.
            united_profile = into
        else:
            united_profile = merged(into, anonymous, config=config)
        names = tuple(dict.fromkeys((*into.merged_from, anonymous_key)))[-MAX_MERGED_FROM:]
        changed[user_key] = replace(united_profile, merged_from=names)
        changed[anonymous_key] = stub(anonymous, user_key)
    return changed


def _up_to(marks: Mapping[Source, int], seen: Mapping[Source, int] | None) -> Mapping[Source, int]:
    if seen is None:
        return marks
    return {source: min(mark, seen[source]) for source, mark in marks.items() if source in seen}


def merged(into: UserProfile, anonymous: UserProfile, *, config: ScoringConfig) -> UserProfile:
    """Both profiles' events in one profile.

        count = count_into * decay(newest - reference_into) + count_anonymous * decay(newest - reference_anonymous)

    An event id that both hold was counted in both, and stays so. Rate windows are those of `into`.
    """
    ids_B = np.union1d(np.union1d(into.behavior_ids_B, anonymous.behavior_ids_B), config.behaviors.ids_B).astype(
        np.uint8
    )
    totals_1HB, newest_1 = merge_counts(
        align_columns(into.totals_HB, into.behavior_ids_B, ids_B)[None],
        np.array([into.newest_event_time_s]),
        align_columns(anonymous.totals_HB, anonymous.behavior_ids_B, ids_B)[None],
        np.array([anonymous.newest_event_time_s]),
        decay_per_day_H=config.decay_per_day,
    )
    newest_s = float(newest_1[0])
    items = _merged_items(into, anonymous, ids_B, config)
    kept = kept_items(items, ids_B, newest_s, config)
    recent = latest(recent_of(into), recent_of(anonymous), max_recent=config.max_recent)
    newest_ingest_s = max(into.newest_ingest_time_s, anonymous.newest_ingest_time_s)
    ring_ids_R, ring_times_R = united(
        (into.ring_ids_R, into.ring_ingest_times_R),
        (anonymous.ring_ids_R, anonymous.ring_ingest_times_R),
        newest_s=newest_ingest_s,
        size=config.ring_size,
        window_s=config.ring_window_s,
    )
    firsts_s = [p.first_event_time_s for p in (into, anonymous) if p.num_events]
    return replace(
        into,
        behavior_ids_B=ids_B,
        names=kept.names,
        reference_times_I=kept.reference_times_I,
        counts_IHB=kept.counts_IHB,
        recent_names=recent.names,
        recent_behavior_ids_L=recent.behavior_ids_L,
        recent_event_times_L=recent.event_times_L,
        recent_known_times_L=recent.known_times_L,
        totals_HB=totals_1HB[0],
        num_events=into.num_events + anonymous.num_events,
        num_pruned_items=into.num_pruned_items + anonymous.num_pruned_items + len(items.names) - len(kept.names),
        first_event_time_s=min(firsts_s, default=NEVER_S),
        newest_event_time_s=newest_s,
        newest_ingest_time_s=newest_ingest_s,
        marks=joined(anonymous.marks, into.marks),
        ring_ids_R=ring_ids_R,
        ring_ingest_times_R=ring_times_R,
        bot_until_s=max(into.bot_until_s, anonymous.bot_until_s),
    )


def _merged_items(
    into: UserProfile, anonymous: UserProfile, ids_B: npt.NDArray[np.uint8], config: ScoringConfig
) -> Items:
    """The items of both, those of `into` first."""
    item_ids = tuple(dict.fromkeys((*into.item_ids, *anonymous.item_ids)))
    place_of = dict(zip(item_ids, range(len(item_ids)), strict=True))
    sides = []
    for profile in (into, anonymous):
        places = [place_of[item_id] for item_id in profile.item_ids]
        counts_IHB = np.zeros((len(item_ids), len(config.decay_per_day), len(ids_B)))
        reference_I = np.full(len(item_ids), NEVER_S)
        counts_IHB[places] = align_columns(profile.counts_IHB, profile.behavior_ids_B, ids_B)
        reference_I[places] = profile.reference_times_I
        sides.append((counts_IHB, reference_I))
    counts_IHB, reference_I = merge_counts(*sides[0], *sides[1], decay_per_day_H=config.decay_per_day)
    return Items(names=Names(item_ids), reference_times_I=reference_I, counts_IHB=counts_IHB)


def stub(anonymous: UserProfile, user_key: str) -> UserProfile:
    """What stays of an anonymous profile: nothing but whom it belongs to."""
    return UserProfile(
        behavior_ids_B=anonymous.behavior_ids_B,
        names=Names(),
        reference_times_I=np.zeros(0),
        counts_IHB=np.zeros((0, *anonymous.totals_HB.shape)),
        recent_names=Names(),
        recent_behavior_ids_L=np.zeros(0, dtype=np.uint8),
        recent_event_times_L=np.zeros(0),
        recent_known_times_L=np.zeros(0),
        totals_HB=np.zeros(anonymous.totals_HB.shape),
        num_events=0,
        num_pruned_items=0,
        first_event_time_s=NEVER_S,
        newest_event_time_s=NEVER_S,
        newest_ingest_time_s=NEVER_S,
        marks={},
        ring_ids_R=np.zeros(0, dtype=np.uint64),
        ring_ingest_times_R=np.zeros(0),
        merged_into=user_key,
    )
