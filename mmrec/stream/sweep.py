"""What forgotten users have left in a store that did not see their requests, such as one restored from a backup."""

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Final

import numpy as np

from mmrec.events.forgotten import ForgottenUsers
from mmrec.features.stores import FeatureStore
from mmrec.scoring.profile import UserProfile

SWEEP_CHUNK: Final = 10_000
"""User keys looked up at a time."""


def sweep(
    store: FeatureStore,
    forgotten: ForgottenUsers,
    from_log: Callable[[Collection[str]], dict[str, UserProfile]],
    *,
    write_time_s: float,
) -> int:
    """Remove what the store holds of forgotten users; how many profiles had to go.

    Of users who came back, the events known later than the request stay; where a profile cannot tell them apart, it is
    made anew from the log.

    Args:
        from_log: Profiles of these keys as the log gives them, up to where the store stands.
    """
    stale: list[str] = []
    keys = iter(store.user_keys())
    while chunk := list(islice(keys, SWEEP_CHUNK)):
        instants = forgotten.forgotten_s(chunk)
        stored = store.read_profiles(instants)
        stale += [key for key, profile in stored.items() if not _all_later(profile, instants[key])]
    regrown = from_log(_merged_with(store, stale))
    store.write_profiles(regrown, write_time_s=write_time_s)
    store.delete_profiles([key for key in stale if key not in regrown])
    return len(stale)


def _merged_with(store: FeatureStore, keys: Iterable[str]) -> set[str]:
    """The keys, and all whose events stand in the same profiles."""
    together: set[str] = set()
    fresh = set(keys)
    while fresh:
        together |= fresh
        profiles = store.read_profiles(fresh).values()
        fresh = {name for p in profiles for name in (p.merged_into, *p.merged_from) if name} - together
    return together


def _all_later(profile: UserProfile, known_time_s: float) -> bool:
    """Whether all events of a profile were surely known after an instant."""
    if profile.merged_into or len(profile.recent_item_ids) < profile.num_events:
        return False
    return bool(np.all(profile.recent_known_times_L > known_time_s))
