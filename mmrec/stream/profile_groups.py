"""Events of a micro-batch by groups of profiles, so that memory is bounded however many profiles a batch has.

    for group, applied in applied_groups(events, read, ...):
        ...                                                  pack what changed, before the next is read

All events of a profile are in one group, in the order they came. Each event of a merged anonymous profile is in the
group of the user it belongs to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.forgotten import ForgottenUsers
from mmrec.scoring.apply import NOBODY
from mmrec.scoring.apply_packed import AppliedPacked, apply_packed, owners_of
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.identity import history_of
from mmrec.scoring.packing import stub_of
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import LoginHistory
from mmrec.wire.portions import portions

ReadPacked = Callable[[Iterable[str]], Mapping[str, bytes]]
"""Packed profiles of the keys that have one."""
MAX_PROFILES: Final = 10_000
"""Profiles in a group: about 500 MB if every one is full."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileGroup:
    """What one call of *apply* takes."""

    keys: Sequence[str]
    """Profile keys of the events, each once; also users that an anonymous key was merged into, without own events."""
    packed: Mapping[str, bytes]
    """The stored profiles of the events, and those they are merged into."""
    events: EventBatch
    rows_N: npt.NDArray[np.int64]
    """Positions of these events among all events."""


def applied_groups(
    events: EventBatch,
    read: ReadPacked,
    *,
    forgotten: ForgottenUsers | None,
    config: ScoringConfig,
    max_profiles: int = MAX_PROFILES,
) -> Iterator[tuple[ProfileGroup, AppliedPacked]]:
    """Each group of profile_groups() with its events applied; writes nothing.

    Args:
        forgotten: None where nobody was forgotten.
    """
    for group in profile_groups(events, read, max_profiles=max_profiles):
        forgotten_s = forgotten.forgotten_s(group.keys) if forgotten is not None else NOBODY
        yield group, apply_packed(group.packed, group.events, config=config, forgotten=forgotten_s)


def profile_groups(
    events: EventBatch,
    read: ReadPacked,
    *,
    max_profiles: int = MAX_PROFILES,
) -> Iterator[ProfileGroup]:
    """Groups that together have every event once. There is at least one group; without events, it is empty.

    Args:
        read: Gives the packed profiles of some keys. Only anonymous ones are ever merged into another.
        max_profiles: Keys in a group, beside those of merged profiles.
    """
    keys = dict.fromkeys(events.user_keys.tolist())
    if len(keys) <= max_profiles:
        packed = packed_with_targets(read, keys)
        yield ProfileGroup(keys=[*keys], packed=packed, events=events, rows_N=np.arange(len(events)))
        return
    keys_N = events.user_keys
    place_of = {key: place for place, key in enumerate(keys)}
    place_N = np.fromiter(map(place_of.__getitem__, keys_N.tolist()), dtype=np.int64, count=len(events))
    stubs: dict[str, bytes] = {}
    histories: dict[str, LoginHistory] = {}
    for portion in portions((key for key in keys if key.startswith(ANONYMOUS_PREFIX)), max_profiles):
        packed = dict(read(portion))
        found = histories_in(packed)
        histories |= found
        stubs |= {key: packed[key] for key in found}
        own = [place_of[key] for key in portion if key not in found]
        rows_N = np.flatnonzero(np.isin(place_N, own))
        own_keys = [key for key in portion if key not in found]
        yield ProfileGroup(keys=own_keys, packed=packed, events=events.take(rows_N), rows_N=rows_N)
    rows_M = np.flatnonzero(np.isin(place_N, [place_of[key] for key in histories]))
    owners_M = owners_of(events.take(rows_M), histories)
    users = list(dict.fromkeys([*(key for key in keys if not key.startswith(ANONYMOUS_PREFIX)), *owners_M]))
    code_of = {key: code for code, key in enumerate(users)}
    code_P = np.array([code_of.get(key, -1) for key in keys], dtype=np.int64)
    code_N = code_P[place_N]
    code_N[rows_M] = [code_of[owner] for owner in owners_M]
    for start in range(0, len(users), max_profiles):
        portion = users[start : start + max_profiles]
        rows_N = np.flatnonzero((code_N >= start) & (code_N < start + len(portion)))
        guests = list(dict.fromkeys(key for key in keys_N[rows_N].tolist() if key in stubs))
        packed = {**read(portion), **{guest: stubs[guest] for guest in guests}}
        yield ProfileGroup(keys=[*portion, *guests], packed=packed, events=events.take(rows_N), rows_N=rows_N)


def packed_with_targets(read: ReadPacked, keys: Iterable[str]) -> dict[str, bytes]:
    """Packed profiles, and those they are merged into."""
    packed = dict(read(keys))
    targets = dict.fromkeys(user for history in histories_in(packed).values() for user in history.users)
    missing = [key for key in targets if key not in packed]
    return {**packed, **read(missing)} if missing else packed


def histories_in(packed: Mapping[str, bytes]) -> dict[str, LoginHistory]:
    """Logins of the merged profiles among these."""
    return {key: history for key, data in packed.items() if (history := history_of(stub_of(data))) is not None}
