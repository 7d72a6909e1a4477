"""Events of a micro-batch by groups of profiles, so that memory is bounded however many profiles a batch has.

    for group in profile_groups(events, read):
        applied = apply(group.profiles, group.events, ...)      then pack what changed, before the next group is read

Applied profiles take several times their packed size, and their arrays are views of those of a whole group. All events
of a profile are in one group, in the order they came; those of a merged anonymous profile are with its user's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.identity import targets_to_read
from mmrec.scoring.profile import UserProfile

MAX_PROFILES: Final = 10_000
"""Profiles of a group: at most some 1 GB where every one is full."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileGroup:
    """What one call of *apply* takes."""

    keys: Sequence[str]
    """Of the events, each once; a target without events of its own may be among them."""
    profiles: Mapping[str, UserProfile]
    """What is stored of the events' profiles, and of those they are merged into."""
    events: EventBatch
    rows_N: npt.NDArray[np.int64]
    """Where these events stand among all."""


def profile_groups(
    events: EventBatch,
    read: Callable[[Iterable[str]], Mapping[str, UserProfile]],
    *,
    max_profiles: int = MAX_PROFILES,
) -> Iterator[ProfileGroup]:
    """Groups that together have every event once; at least one, without events where there are none.

    Args:
        read: Gives the stored profiles of some keys. Only anonymous ones are ever merged into another.
        max_profiles: Keys in a group, beside those of merged profiles.
    """
    places = {key: place for place, key in enumerate(dict.fromkeys(events.user_keys.tolist()))}
    if len(places) <= max_profiles:
        profiles = dict(read(places))
        targets = targets_to_read(profiles)
        if targets:
            profiles |= read(targets)
        yield ProfileGroup(keys=[*places], profiles=profiles, events=events, rows_N=np.arange(len(events)))
        return
    place_N = np.fromiter(map(places.__getitem__, events.user_keys.tolist()), dtype=np.int64, count=len(events))

    def group(keys: Sequence[str], profiles: Mapping[str, UserProfile]) -> ProfileGroup:
        chosen_K = np.zeros(len(places), dtype=np.bool_)
        chosen_K[[places[key] for key in keys if key in places]] = True
        rows_N = np.flatnonzero(chosen_K[place_N])
        return ProfileGroup(keys=keys, profiles=profiles, events=events.take(rows_N), rows_N=rows_N)

    merged: dict[str, dict[str, UserProfile]] = {}
    for keys in _portions((key for key in places if key.startswith(ANONYMOUS_PREFIX)), max_profiles):
        profiles = dict(read(keys))
        stubs = {key: profile for key, profile in profiles.items() if profile.merged_into}
        for key, stub in stubs.items():
            merged.setdefault(stub.merged_into, {})[key] = stub
        yield group([key for key in keys if key not in stubs], profiles)
    users = dict.fromkeys(key for key in places if not key.startswith(ANONYMOUS_PREFIX))
    for keys in _portions([*users, *(key for key in merged if key not in users)], max_profiles):
        profiles = dict(read(keys))
        stubs = {key: stub for user in keys if user in merged for key, stub in merged[user].items()}
        yield group([*keys, *stubs], {**profiles, **stubs})


def _portions(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(keys)
    while portion := list(islice(left, size)):
        yield portion
