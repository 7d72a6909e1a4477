"""What control records do to profiles: a login merges two, a request to forget removes some.

Stream, recovery and rebuild share this; the rows are those of mmrec.events.control. Forgetting comes first: it is an
instant of known time, so events up to it are refused wherever they come from, in this batch or years later. Logins take
effect after the events of their table.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.control import FORGET, IDENTIFY
from mmrec.events.forgotten import ForgottenUsers
from mmrec.features.stores import FeatureStore
from mmrec.features.values import PackedProfile, StreamProgress
from mmrec.scoring.identity import MAX_MERGED_FROM, identify, keys_to_read, targets_to_read
from mmrec.scoring.profile import Source, UserProfile
from mmrec.scoring.settings import ScoringConfig

ReadProfiles = Callable[[Iterable[str]], dict[str, UserProfile]]
GuestsInLog = Callable[[str], Iterable[str]]
"""Anonymous profile keys that ever logged in as a user."""
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Logins:
    """What identify rows changed."""

    profiles: dict[str, UserProfile]
    """Those that changed."""
    new_N: BoolArray
    """Rows that changed something."""


def read_with_targets(read: ReadProfiles, keys: Iterable[str]) -> dict[str, UserProfile]:
    """Profiles, and those they are merged into."""
    profiles = read(keys)
    targets = targets_to_read(profiles)
    return {**profiles, **read(targets)} if targets else profiles


def write_users_first(
    store: FeatureStore,
    profiles: Mapping[str, UserProfile | PackedProfile],
    *,
    write_time_s: float,
    progress: StreamProgress | None = None,
) -> None:
    """Write profiles, stubs of merged ones after all others, progress last.

    Redis writes in portions. A crash between a user's profile and the stub leaves a login that identify() mends; the
    other way round the anonymous events would be in neither.
    """
    # Packed are those that events changed, and events change no stub.
    stubs = {k: p for k, p in profiles.items() if isinstance(p, UserProfile) and p.merged_into}
    if stubs:
        others = {key: profile for key, profile in profiles.items() if key not in stubs}
        store.write_profiles(others, write_time_s=write_time_s)
    store.write_profiles(stubs or profiles, write_time_s=write_time_s, progress=progress)


def is_login(rows: pa.Table) -> BoolArray:
    """Mask of the identify rows among rows of EVENT_SCHEMA, shape (N,)."""
    mask_N: BoolArray = pc.equal(rows["behavior"], IDENTIFY).to_numpy()
    return mask_N


def bring_logins(
    rows: pa.Table,
    profiles: Mapping[str, UserProfile],
    read: ReadProfiles,
    *,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    seen: Mapping[Source, int] | None = None,
) -> Logins:
    """Merge what identify rows say belongs together; rows known before either side was forgotten change nothing.

    Args:
        rows: Identify rows of EVENT_SCHEMA, N of them, in the order of their offsets.
        profiles: As the events of the same table left them; others are read.
        seen: See identify().
    """
    pairs = list(zip(rows["user_key"].to_pylist(), rows["item_id"].to_pylist(), strict=True))
    keys = keys_to_read(pairs)
    instants = forgotten.forgotten_s(keys)
    known = rows["known_time_s"].to_pylist()
    at_hand = {key: profiles[key] for key in keys if key in profiles}
    at_hand = {**read([key for key in keys if key not in at_hand]), **at_hand}
    targets = targets_to_read(at_hand)
    at_hand |= {
        **read([key for key in targets if key not in profiles]),
        **{k: profiles[k] for k in targets if k in profiles},
    }
    owners = {key: profile.merged_into for key, profile in at_hand.items()}
    new_N = np.zeros(len(pairs), dtype=np.bool_)
    for row, ((user, anonymous), known_s) in enumerate(zip(pairs, known, strict=True)):
        until_s = max(instants.get(user, -np.inf), instants.get(anonymous, -np.inf))
        if known_s > until_s and owners.get(anonymous) != user:
            new_N[row], owners[anonymous] = True, user
    new = [pair for pair, is_new in zip(pairs, new_N.tolist(), strict=True) if is_new]
    return Logins(profiles=identify(at_hand, new, config=config, seen=seen), new_N=new_N)


def asked_to_forget(
    control: pa.Table, read: ReadProfiles, *, forgotten: ForgottenUsers, guests_in_log: GuestsInLog
) -> dict[str, float]:
    """Profile keys that are to go, and the instant up to which, in the order in which the registry is to learn of them.

    Whoever is found through another profile comes before it, so that a crash halfway loses nobody.

    A user's anonymous profiles go with them, those of a login in the same table included; so does the user where an
    anonymous profile that was merged is to go: their events stand in one profile and cannot be told apart in it.

    A request that the registry has is left out: it was read before a crash, the start swept the store, and who has
    logged in since is not meant by it.

    Args:
        guests_in_log: Asked where a profile names as many anonymous keys as it can.
    """
    names = ["user_key", "item_id", "known_time_s"]
    logins = control.filter(pa.array(is_login(control))).select(names).to_pylist()
    gone: dict[str, float] = {}
    requests = control.filter(pc.equal(control["behavior"], FORGET)).select(names).sort_by("known_time_s").to_pylist()
    sides = ("user_key", "item_id")
    instants = forgotten.forgotten_s([row[side] for row in (*requests, *logins) for side in sides])
    logins = [row for row in logins if row["known_time_s"] > max(instants.get(row[side], -np.inf) for side in sides)]
    for row in requests:
        if instants.get(row["user_key"], -np.inf) >= row["known_time_s"]:
            continue
        for key in _together(row["user_key"], row["known_time_s"], logins, gone, read, guests_in_log=guests_in_log):
            gone.pop(key, None)  # it comes behind whom this request found, too
            gone[key] = row["known_time_s"]
    return gone


def _together(
    key: str,
    until_s: float,
    logins: list[dict[str, Any]],
    gone: Mapping[str, float],
    read: ReadProfiles,
    *,
    guests_in_log: GuestsInLog,
) -> list[str]:
    """Keys of one person, as of an instant; what was forgotten before binds nobody any more."""

    def known(keys: Iterable[str]) -> dict[str, UserProfile]:
        return read([name for name in keys if name not in gone])

    bound = [
        (login["user_key"], login["item_id"])
        for login in logins
        if max(gone.get(login[name], -np.inf) for name in ("user_key", "item_id")) < login["known_time_s"] <= until_s
    ]
    users = {key, *(profile.merged_into for profile in known([key]).values() if profile.merged_into)}
    users |= {user for user, guest in bound if guest in users}
    guests = [
        name
        for user, profile in known(users).items()
        for name in (profile.merged_from if len(profile.merged_from) < MAX_MERGED_FROM else guests_in_log(user))
    ]
    guests += [guest for user, guest in bound if user in users]
    others = [name for name in dict.fromkeys((*guests, *users)) if name != key]
    return [*others, key]
