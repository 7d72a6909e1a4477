"""What control records do to profiles: a login merges two, a request to forget removes some.

Stream, recovery and rebuild share this; the rows are those of mmrec.events.control. Forgetting comes first: it names
an instant of known time, and events up to it are refused wherever they come from, in this batch or years later. Logins
come next, before the events, because known times decide which user an event belongs to (scoring/together.py).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.events.forgotten import ForgottenUsers
from mmrec.features.ports import ProfileStore
from mmrec.features.values import PackedProfile, StreamProgress
from mmrec.scoring.identity import (
    MAX_MERGED_FROM,
    NO_STARTS,
    Reading,
    history_of,
    identify,
    keys_to_read,
    links_of,
    targets_to_read,
)
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.together import Link, Login, logins_by_guest, one_person, user_by

ReadProfiles = Callable[[Iterable[str]], dict[str, UserProfile]]
GuestsInLog = Callable[[str], Iterable[str]]
"""Anonymous profile keys that ever logged in as a user."""
BoolArray = npt.NDArray[np.bool_]


FromLog = Callable[[Iterable[str], pa.Table], dict[str, UserProfile]]
"""(anonymous keys, identify rows that are not in the log) -> their profiles and those of all their users, counted from
the log."""
LOGIN_COLUMNS: Final = ("user_key", "item_id", "known_time_s")
"""Columns of an identify row that say who logged in: user, anonymous key, the instant it became known."""
LOGINS_AT_ONCE: Final = 10_000
"""Logins applied at a time where there are many; their profiles are in memory together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Logins:
    """What identify rows changed."""

    profiles: dict[str, UserProfile]
    """Those that changed."""
    known_N: BoolArray
    """Rows that count: neither side was forgotten since."""


def read_with_targets(read: ReadProfiles, keys: Iterable[str]) -> dict[str, UserProfile]:
    """Profiles, and the profiles they are merged into."""
    profiles = read(keys)
    targets = targets_to_read(profiles)
    return {**profiles, **read(targets)} if targets else profiles


def write_users_first(
    store: ProfileStore,
    profiles: Mapping[str, UserProfile | PackedProfile],
    *,
    write_time_s: float,
    progress: StreamProgress | None = None,
) -> None:
    """Write profiles, stubs of merged ones after all others, progress last.

    Redis writes in portions. A crash between a user's profile and the stub leaves a login that identify() repairs; in
    the other order, the anonymous events would be in neither profile.
    """
    # Packed profiles were changed by events, and events change no stub.
    stubs = {k: p for k, p in profiles.items() if isinstance(p, UserProfile) and p.merged_into}
    if stubs:
        others = {key: profile for key, profile in profiles.items() if key not in stubs}
        store.write_profiles(others, write_time_s=write_time_s)
    store.write_profiles(stubs or profiles, write_time_s=write_time_s, progress=progress)


def is_login(rows: pa.Table) -> BoolArray:
    """Mask of the identify rows among rows of EVENT_SCHEMA, shape (N,)."""
    mask_N: BoolArray = pc.equal(rows["behavior"], IDENTIFY).to_numpy()
    return mask_N


def gathered(rows: pa.Table) -> dict[str, list[Login]]:
    """Identify rows by anonymous key, see logins_by_guest()."""
    return logins_by_guest(zip(*(rows[name].to_pylist() for name in LOGIN_COLUMNS), strict=True))


def bring_logins(
    rows: pa.Table,
    read: ReadProfiles,
    *,
    from_log: FromLog,
    forgotten: ForgottenUsers,
    config: ScoringConfig,
    reading: Reading = Reading.WHOLE,
    starts: Mapping[Source, int] = NO_STARTS,
) -> Logins:
    """Merge the profiles that identify rows tie together; rows known before either side was forgotten change nothing.

    Call it before applying the events that were read with the rows.

    Args:
        rows: Identify rows of EVENT_SCHEMA, N of them, in any order.
        read: Profiles as they are stored.
        from_log: Called where stored profiles cannot tell which user their events belong to.
        starts: See identify().
    """
    known_N = login_counts(rows, forgotten)
    logins = gathered(rows.filter(pa.array(known_N)))
    profiles = read_with_targets(read, keys_to_read(logins)) if logins else {}
    brought = identify(profiles, logins, config=config, reading=reading, starts=starts)
    changed = brought.profiles
    if brought.unclear:
        changed = {**changed, **from_log(brought.unclear, rows.filter(pa.array(known_N)))}
    return Logins(profiles=changed, known_N=known_N)


def login_counts(rows: pa.Table, forgotten: ForgottenUsers) -> BoolArray:
    """Mask of the identify rows with neither side forgotten since, shape (N,)."""
    sides = [rows[name].to_pylist() for name in ("user_key", "item_id")]
    instants = forgotten.forgotten_s(dict.fromkeys([*sides[0], *sides[1]])) if rows.num_rows else {}
    if not instants:
        return np.ones(rows.num_rows, dtype=np.bool_)
    until_N = [max(instants.get(key, -np.inf) for key in keys) for keys in zip(*sides, strict=True)]
    counts_N: BoolArray = rows["known_time_s"].to_numpy() > np.array(until_N)
    return counts_N


def asked_to_forget(
    control: pa.Table, read: ReadProfiles, *, forgotten: ForgottenUsers, guests_in_log: GuestsInLog
) -> dict[str, float]:
    """Profile keys to forget, each with the instant up to which, in the order in which they must enter the registry.

    Whoever is found through another profile comes before it. The registry takes them all in one write: after a crash
    in between, a login of whom it knows would bind nobody any more, and the user before would seem to be meant.

    A user's anonymous profiles go with them, those of a login in the same table included. With an anonymous profile
    goes the user of its newest login as of the request: their events stand in one profile. Its earlier users asked for
    nothing, and lose its events only, see sharing().

    A request that is in the registry already is left out: it was read before a crash, and the start has swept the
    store. It does not concern users who logged in since.

    Args:
        guests_in_log: Called where a profile names as many anonymous keys as it can hold.
    """
    names = list(LOGIN_COLUMNS)
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
            gone.pop(key, None)  # so that it comes after the keys that this request found, too
            gone[key] = row["known_time_s"]
    return gone


def sharing(gone: Mapping[str, float], read: ReadProfiles) -> set[str]:
    """Users who are not forgotten but have used a device that is: some of its events are in their profiles."""
    guests = [key for key in gone if key.startswith(ANONYMOUS_PREFIX)]
    if not guests:
        return set()
    return {user for user, guest in links_of(read(guests)) if guest in gone and user not in gone}


def _together(
    key: str,
    until_s: float,
    logins: list[dict[str, Any]],
    gone: Mapping[str, float],
    read: ReadProfiles,
    *,
    guests_in_log: GuestsInLog,
) -> list[str]:
    """Keys of one person, as of an instant; a login that was forgotten before no longer ties keys together."""
    guests_of = cache(guests_in_log)

    def known(keys: Iterable[str]) -> dict[str, UserProfile]:
        return read([name for name in keys if name not in gone])

    bound = [
        (login, (login["user_key"], login["item_id"]))
        for login in logins
        if max(gone.get(login[name], -np.inf) for name in ("user_key", "item_id")) < login["known_time_s"] <= until_s
    ]

    def linked(keys: Collection[str]) -> Iterator[Link]:
        profiles = known(keys)
        yield from links_of(profiles)
        for user, profile in profiles.items():
            if len(profile.merged_from) >= MAX_MERGED_FROM:
                yield from ((user, guest) for guest in guests_of(user))
        yield from (link for _, link in bound)

    logins_of_key = [(login["known_time_s"], user) for login, (user, guest) in bound if guest == key]
    owner = user_by(history_of(known([key]).get(key)), logins_of_key, until_s=until_s)
    return one_person(key, linked, owner=owner)
