"""Events of a micro-batch by groups of profiles, so that memory is bounded however many profiles a batch has.

    for group in profile_groups(events, read):
        applied = apply_packed(group.packed, group.events, ...)      then pack what changed, before the next is read

All events of a profile are in one group, in the order they came; those of a merged anonymous profile are with its
user's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.packing import merged_into

MAX_PROFILES: Final = 10_000
"""Profiles of a group: at most some 500 MB where every one is full."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileGroup:
    """What one call of *apply* takes."""

    keys: Sequence[str]
    """Of the events, each once; a target without events of its own may be among them."""
    packed: Mapping[str, bytes]
    """What is stored of the events' profiles, and of those they are merged into."""
    events: EventBatch
    rows_N: npt.NDArray[np.int64]
    """Where these events stand among all."""


def profile_groups(
    events: EventBatch,
    read: Callable[[Iterable[str]], Mapping[str, bytes]],
    *,
    max_profiles: int = MAX_PROFILES,
) -> Iterator[ProfileGroup]:
    """Groups that together have every event once; at least one, without events where there are none.

    Args:
        read: Gives the packed profiles of some keys. Only anonymous ones are ever merged into another.
        max_profiles: Keys in a group, beside those of merged profiles.
    """
    places = {key: place for place, key in enumerate(dict.fromkeys(events.user_keys.tolist()))}
    if len(places) <= max_profiles:
        packed = packed_with_targets(read, places)
        yield ProfileGroup(keys=[*places], packed=packed, events=events, rows_N=np.arange(len(events)))
        return
    place_N = np.fromiter(map(places.__getitem__, events.user_keys.tolist()), dtype=np.int64, count=len(events))

    def group(keys: Sequence[str], packed: Mapping[str, bytes]) -> ProfileGroup:
        chosen_K = np.zeros(len(places), dtype=np.bool_)
        chosen_K[[places[key] for key in keys if key in places]] = True
        rows_N = np.flatnonzero(chosen_K[place_N])
        return ProfileGroup(keys=keys, packed=packed, events=events.take(rows_N), rows_N=rows_N)

    merged: dict[str, dict[str, bytes]] = {}
    for keys in _portions((key for key in places if key.startswith(ANONYMOUS_PREFIX)), max_profiles):
        packed = dict(read(keys))
        stubs = _stubs(packed)
        for key, target in stubs.items():
            merged.setdefault(target, {})[key] = packed[key]
        yield group([key for key in keys if key not in stubs], packed)
    users = dict.fromkeys(key for key in places if not key.startswith(ANONYMOUS_PREFIX))
    for keys in _portions([*users, *(key for key in merged if key not in users)], max_profiles):
        packed = dict(read(keys))
        mine = {key: stub for user in keys if user in merged for key, stub in merged[user].items()}
        yield group([*keys, *mine], {**packed, **mine})


def packed_with_targets(read: Callable[[Iterable[str]], Mapping[str, bytes]], keys: Iterable[str]) -> dict[str, bytes]:
    """Packed profiles, and those they are merged into."""
    packed = dict(read(keys))
    missing = [key for key in dict.fromkeys(_stubs(packed).values()) if key not in packed]
    return {**packed, **read(missing)} if missing else packed


def _stubs(packed: Mapping[str, bytes]) -> dict[str, str]:
    """Whom the merged profiles among these belong to."""
    return {key: target for key, data in packed.items() if (target := merged_into(data))}


def _portions(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(keys)
    while portion := list(islice(left, size)):
        yield portion
