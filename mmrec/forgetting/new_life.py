"""Who was forgotten and is known again: what became known after the request is not left over, and stays.

    profiles_left(store, gone)                             keys whose stored profile is from before
    used_since(gone, store=..., log=..., overlay=...)      keys of which something newer is known

A forgotten device may be somebody else's by now, and a forgotten user may come back. `gone` says up to which instant a
key is forgotten, as the registry has it.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from mmrec.collecting.overlay import Overlay
from mmrec.events.log import EventLog
from mmrec.features.ports import ProfileReader
from mmrec.scoring.identity import history_of
from mmrec.scoring.profile import UserProfile
from mmrec.stream.control_rows import is_login


def profiles_left(store: ProfileReader, gone: Mapping[str, float]) -> list[str]:
    """Those of the keys whose profile holds what was known at or before the key's instant.

    Raises:
        StoreError: the store failed.
    """
    profiles = store.read_profiles(gone)
    guests = store.read_profiles({guest for profile in profiles.values() for guest in profile.merged_from})
    return [key for key, profile in profiles.items() if _is_left(key, profile, guests, until_s=gone[key])]


def used_since(gone: Mapping[str, float], *, store: ProfileReader, log: EventLog, overlay: Overlay) -> set[str]:
    """Those of the keys of which something is known after their instant: their ids may stand in files.

    Raises:
        StoreError: an engine failed.
    """
    found = store.read_profiles(gone).keys() - profiles_left(store, gone)
    for key, entries in overlay.read(gone).items():
        if any(entry.known_time_s > gone[key] for entry in entries):
            found.add(key)
    # The log hides what a request covers.
    for table in log.scan(columns=["user_key", "item_id", "behavior"]):
        found.update(_named(table["user_key"], gone), _named(table.filter(pa.array(is_login(table)))["item_id"], gone))
    for table in log.scan_served():
        found.update(_named(table["user_key"], gone))
    return found


def _is_left(key: str, profile: UserProfile, guests: Mapping[str, UserProfile], *, until_s: float) -> bool:
    if (logins := history_of(profile)) is not None:  # a stub holds no events
        return logins.first_s[0] <= until_s
    # A user may have logged in and done nothing else; the logins are in the stubs.
    histories = (history_of(guests.get(guest)) for guest in profile.merged_from)
    logins_s = (
        time_s
        for history in histories
        if history is not None
        for user, time_s in zip(history.users, history.last_s, strict=True)
        if user == key
    )
    return max((profile.newest_ingest_time_s, *logins_s)) <= until_s


def _named(column: pa.ChunkedArray, keys: Mapping[str, float]) -> list[str]:
    wanted = pa.array(sorted(keys), pa.string())
    return pc.unique(column.filter(pc.is_in(column, value_set=wanted))).to_pylist()  # type: ignore[no-any-return]
