"""One user's profile as of the last acknowledged event: overlay first, then the store, then *apply* beyond the marks.

    found = read_fresh_profile("ann", overlay=overlay, read_profiles=store.read_profiles, config=scoring)

The counts are those that the stream will store. Keys that belong together are read together: an anonymous profile, and
the user that it was merged into or will be merged into by a login that the stream has not seen yet. Where a request to
forget waits in the overlay, nothing counts that was known before it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mmrec.collecting.overlay import Overlay, OverlayEntry, overlay_batch
from mmrec.errors import StoreError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.events.control import FORGET, IDENTIFY
from mmrec.scoring.apply import apply
from mmrec.scoring.identity import Reading, history_of, identify, links_of
from mmrec.scoring.profile import NEVER_S, UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.together import logins_by_guest, one_person, user_by
from mmrec.scoring.verdicts import Verdict
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
ReadProfiles = Callable[[Iterable[str]], dict[str, UserProfile]]
Pending = Mapping[str, list[OverlayEntry]]
MAX_ROUNDS: Final = 4
"""Rounds of reading: the key, the user it was merged into, the keys merged into that user, and a login in between."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FreshProfile:
    """What a request sees of a user."""

    profile: UserProfile | None
    """None where nothing is known."""
    num_overlay_events: int = 0
    """Events that the stored profile did not have."""
    overlay_available: bool = True
    """False where the overlay could not be read: the profile is as fresh as the stream."""


def read_fresh_profile(
    user_key: str, *, overlay: Overlay | None, read_profiles: ReadProfiles, config: ScoringConfig
) -> FreshProfile:
    """The profile with every acknowledged event counted once.

    Args:
        overlay: None where there is none; the stored profile is then all there is.
        read_profiles: One read of the online store; absent keys are left out.

    Raises:
        StoreError: the online store failed.
    """
    keys, available = {user_key}, True
    pending: dict[str, list[OverlayEntry]] = {}
    profiles: dict[str, UserProfile] = {}
    for _ in range(MAX_ROUNDS):
        # Overlay before profile, again in every round: what is pruned in between is then in the profile.
        if overlay is not None and available:
            try:
                pending = overlay.read(sorted(keys))
            except StoreError as error:
                log.warning("overlay_unavailable", error=str(error))
                pending, available = {}, False
        profiles = read_profiles(sorted(keys))
        linked = _linked(pending, profiles)
        if linked <= keys:
            break
        keys |= linked
    num_events = 0
    if pending:
        profiles, num_events = _with_pending(pending, profiles, config)
    profile = profiles.get(user_key)
    if profile is not None and profile.merged_into:
        profile = profiles.get(profile.merged_into)
    return FreshProfile(profile=profile, num_overlay_events=num_events, overlay_available=available)


def read_fresh_profiles(
    user_keys: Iterable[str], *, overlay: Overlay | None, read_profiles: ReadProfiles, config: ScoringConfig
) -> dict[str, FreshProfile]:
    """read_fresh_profile() of many users with one read of each store; one more for those with events that wait.

    Raises:
        StoreError: the online store failed.
    """
    keys, pending, available = sorted(set(user_keys)), {}, True
    if overlay is not None:
        try:
            pending = overlay.read(keys)
        except StoreError as error:
            log.warning("overlay_unavailable", error=str(error))
            available = False
    profiles = read_profiles(keys)
    found = {}
    for key in keys:
        profile = profiles.get(key)
        if pending.get(key) or (profile is not None and (profile.merged_into or profile.merged_from)):
            one = read_fresh_profile(key, overlay=overlay, read_profiles=read_profiles, config=config)
            found[key] = replace(one, overlay_available=one.overlay_available and available)
        else:
            found[key] = FreshProfile(profile=profile, overlay_available=available)
    return found


def _linked(pending: Pending, profiles: Mapping[str, UserProfile]) -> set[str]:
    """Keys with events that count for the same person, as of now.

    Other users of a shared device are left out: a request would read thousands of profiles that it does not need.
    """
    linked = {entry.item_id for entries in pending.values() for entry in entries if entry.behavior == IDENTIFY}
    for profile in profiles.values():
        linked.update(profile.merged_from)
        if profile.merged_into:
            linked.add(profile.merged_into)
    return linked


def _with_pending(
    pending: Pending, profiles: dict[str, UserProfile], config: ScoringConfig
) -> tuple[dict[str, UserProfile], int]:
    """Profiles with the overlay's entries applied, and how many events these were."""
    entries = [entry for found in pending.values() for entry in found]
    logins = {(e.source, e.offset): e for e in entries if e.behavior == IDENTIFY}
    in_order = sorted(logins.values(), key=lambda entry: (entry.known_time_s, entry.offset))
    forgotten: dict[str, float] = {}
    for entry in entries:
        if entry.behavior == FORGET:
            kept = _forget(entry, in_order, profiles, forgotten)
            profiles = {key: profile for key, profile in profiles.items() if key in kept}
    logged_in = logins_by_guest(
        (*_pair(login), login.known_time_s)
        for login in in_order
        if login.known_time_s > max(forgotten.get(key, NEVER_S) for key in _pair(login))
    )
    brought = identify(profiles, logged_in, config=config, reading=Reading.PASSING)
    profiles = {**profiles, **brought.profiles}
    applied = apply(profiles, overlay_batch(entries, config.behaviors), config=config, forgotten=forgotten)
    return {**profiles, **applied.profiles}, int((applied.verdicts_N == Verdict.ACCEPTED).sum())


def _pair(login: OverlayEntry) -> tuple[str, str]:
    """(user key, anonymous key) of an identify entry, which is stored under both."""
    if login.user_key.startswith(ANONYMOUS_PREFIX):
        return login.item_id, login.user_key
    return login.user_key, login.item_id


def _forget(
    request: OverlayEntry,
    logins: Iterable[OverlayEntry],
    profiles: Mapping[str, UserProfile],
    forgotten: dict[str, float],
) -> set[str]:
    """Keys of profiles that stay; for those that are forgotten, the instants are added to `forgotten`.

    The user's own profile stays if its mark has passed the request: it was started again since. Profiles that the store
    shows as merged with the user are forgotten, too, since the stream removes such links when it forgets.
    """
    key = request.user_key
    own = profiles.get(key)
    if own is not None and own.marks.get(request.source, -1) >= request.offset:
        forgotten[key] = max(request.known_time_s, forgotten.get(key, request.known_time_s))
        return set(profiles)
    before = [(login, _pair(login)) for login in logins if login.known_time_s <= request.known_time_s]
    bound = [pair for _, pair in before]
    mine = [(login.known_time_s, user) for login, (user, guest) in before if guest == key]
    gone = one_person(
        key,
        lambda keys: (*links_of({name: profiles[name] for name in keys if name in profiles}), *bound),
        owner=user_by(history_of(profiles.get(key)), mine, until_s=request.known_time_s),
    )
    for name in gone:
        forgotten[name] = max(request.known_time_s, forgotten.get(name, request.known_time_s))
    return set(profiles).difference(gone)
