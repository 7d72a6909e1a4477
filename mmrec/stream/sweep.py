"""Removes what forgotten users have left in a store that did not see their requests, such as a restored one."""

from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from mmrec.events.forgotten import ForgottenUsers
from mmrec.features.ports import ProfileStore
from mmrec.scoring.identity import links_of
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.together import all_linked
from mmrec.wire.portions import portions

SWEEP_CHUNK: Final = 10_000
"""User keys looked up at a time."""


def sweep(
    store: ProfileStore,
    forgotten: ForgottenUsers,
    from_log: Callable[[Collection[str]], dict[str, UserProfile]],
    *,
    write_time_s: float,
) -> int:
    """Remove what the store holds of forgotten users; returns how many profiles were removed.

    If a user came back, events known later than the request stay. Where a profile cannot separate them, it is counted
    anew from the log.

    Args:
        from_log: Counts the profiles of some keys from the log, up to the store's progress.
    """
    stale: list[str] = []
    for chunk in portions(store.user_keys(), SWEEP_CHUNK):
        instants = forgotten.forgotten_s(chunk)
        stored = store.read_profiles(instants)
        stale += [key for key, profile in stored.items() if not _all_later(profile, instants[key])]
    # Users who share a device with them have its events, too.
    anew = all_linked(stale, lambda keys: links_of(store.read_profiles(keys)))
    regrown = from_log(anew)
    store.write_profiles(regrown, write_time_s=write_time_s)
    store.delete_profiles([key for key in anew if key not in regrown])
    return len(stale)


def _all_later(profile: UserProfile, known_time_s: float) -> bool:
    """Whether all events of a profile were surely known after an instant."""
    if profile.merged_into or len(profile.recent_item_ids) < profile.num_events:
        return False
    return bool(np.all(profile.recent_known_times_L > known_time_s))
