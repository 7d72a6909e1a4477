"""Anonymous to known: at a login the anonymous profile is merged into the user's, once.

    read = profiles of keys_to_read(logins), and of targets_to_read(those)
    brought = identify(read, logins, config=...)

The sums are those of scoring.decay, so it does not matter when the login comes: the user's profile is the plain sum
over the accepted events of both keys. What stays of the anonymous profile is a stub that holds its logins; *apply*
uses it to find the user of each later event of the anonymous key (scoring/together.py).

Logins are applied before the events that are read with them. Offsets per source only go forward. So where two profiles
are read between two batches, no source has an event of either key between their marks, and the greater mark holds for
both. Profiles that were read at different times (a dump, a rebuild that broke off) may lie apart: if one of them holds
records that come with the login, both are counted anew from the log, see identify(starts=...).

A profile does not record by which key each of its events came. If a login is read after events with a later known
time, those may have been counted in another user's profile. `unclear` then names the anonymous keys, and their events
must be counted again from the log.

Axes: I items, H half-lives, B behaviors, L newest events, R ring.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.scoring.decay import merge_counts
from mmrec.scoring.fold import Items, kept_items
from mmrec.scoring.marks import joined
from mmrec.scoring.names import Names
from mmrec.scoring.profile import NEVER_S, UserProfile, align_columns, empty_profile
from mmrec.scoring.recent import latest, recent_of
from mmrec.scoring.ring import united
from mmrec.scoring.settings import ScoringConfig
from mmrec.scoring.source import Source
from mmrec.scoring.together import Link, Login, LoginHistory

NewLogins = Mapping[str, Sequence[Login]]
"""By anonymous profile key."""
NO_STARTS: Final[Mapping[Source, int]] = MappingProxyType({})
"""No profile holds records that another one lacks."""
MAX_MERGED_FROM: Final = 256
"""A profile names at most this many anonymous keys, the newest ones; the log's identify rows name all."""


class Reading(Enum):
    """How far the given profiles can be relied upon."""

    WHOLE = "whole"
    """All have seen the same records of each source: their writer read them between two batches."""
    BROKEN_OFF = "broken off"
    """A crash may have left some ahead of others: any login that concerns several users is unclear."""
    PASSING = "passing"
    """Read for a request while others write. Nothing is reported as unclear: the stream will correct it in a moment."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What logins changed."""

    profiles: dict[str, UserProfile]
    """Those that changed, by key."""
    unclear: tuple[str, ...]
    """Anonymous keys with logins that were not applied: their events must be counted anew from the log."""


def history_of(profile: UserProfile | None) -> LoginHistory | None:
    """The logins that a stub holds; None for all other profiles."""
    if profile is None or not profile.merged_into:
        return None
    if not len(profile.recent_names):  # written by a version that kept the newest one only
        return LoginHistory((profile.merged_into,), (NEVER_S,), (NEVER_S,))
    first_s, last_s = profile.recent_event_times_L.tolist(), profile.recent_known_times_L.tolist()
    return LoginHistory(profile.recent_names.all, tuple(first_s), tuple(last_s))


def links_of(profiles: Mapping[str, UserProfile]) -> Iterator[Link]:
    """Which keys belong together according to profiles: stubs name all their users, users the guests they know of."""
    for key, profile in profiles.items():
        history = history_of(profile)
        yield from ((user, key) for user in dict.fromkeys(history.users if history is not None else ()))
        yield from ((key, guest) for guest in profile.merged_from)


def keys_to_read(logins: NewLogins) -> list[str]:
    """Profile keys that identify() needs, each once."""
    return list(dict.fromkeys(key for guest, mine in logins.items() for key in (guest, *(user for _, user in mine))))


def targets_to_read(profiles: Mapping[str, UserProfile]) -> list[str]:
    """Users that the given stubs name and that are not given themselves: *apply* needs those, too."""
    histories = map(history_of, profiles.values())
    targets = dict.fromkeys(user for history in histories if history is not None for user in history.users)
    return [key for key in targets if key not in profiles]


def identify(
    profiles: Mapping[str, UserProfile],
    logins: NewLogins,
    *,
    config: ScoringConfig,
    reading: Reading = Reading.WHOLE,
    starts: Mapping[Source, int] = NO_STARTS,
) -> Brought:
    """Apply logins to profiles. A login that was applied before changes nothing.

    An anonymous profile that was merged into another user before stays counted there; only its later events count for
    the new user.

    Args:
        profiles: What is stored, by profile key: of keys_to_read(logins), and of targets_to_read of those.
        starts: Of a reading that was broken off: where the records begin, per source, that some profiles may hold
            already. Of a profile that does, a mark does not stand for another one's events.
    """
    blank = empty_profile(behaviors=config.behaviors, num_half_lives=len(config.decay_per_day))
    changed: dict[str, UserProfile] = {}
    unclear: list[str] = []

    def at_hand(key: str) -> UserProfile:
        return changed.get(key) or profiles.get(key, blank)

    in_order: dict[str, list[Login]] = {}
    for login, guest in sorted((login, guest) for guest, mine in logins.items() for login in mine):
        in_order.setdefault(guest, []).append(login)
    for guest, mine in in_order.items():
        anonymous = at_hand(guest)
        before = history_of(anonymous)
        after = _after(before, mine)
        if after == before or (after is None and reading is Reading.PASSING):
            continue
        named = at_hand(after.users[0]).merged_from if before is None and after is not None else ()
        half_written = guest in named or (reading is Reading.BROKEN_OFF and len(named) >= MAX_MERGED_FROM)
        if before is None and after is not None:
            half_written |= _is_ahead(anonymous, starts) or _is_ahead(at_hand(after.users[0]), starts)
        if after is None or not _is_clear(
            before,
            after,
            mine,
            anonymous=anonymous,
            so_far=profiles.get(before.owner) if before is not None else None,
            reading=reading,
            half_written=half_written,
        ):
            unclear.append(guest)
            continue
        if before is None and not (half_written and reading is Reading.PASSING):
            changed[after.users[0]] = merged(at_hand(after.users[0]), anonymous, config=config)
        for user in after.users:
            into = at_hand(user)
            if guest not in into.merged_from:
                changed[user] = replace(into, merged_from=(*into.merged_from, guest)[-MAX_MERGED_FROM:])
        changed[guest] = stub(anonymous, after)
    return Brought(profiles=changed, unclear=tuple(unclear))


def _after(before: LoginHistory | None, logins: Sequence[Login]) -> LoginHistory | None:
    """The history with logins added, which are ascending; None where one of them belongs between older ones."""
    if before is None:
        return LoginHistory.of(logins)
    after = before
    for login in logins:
        if after.holds(login):
            continue
        if login < after.newest:
            return None
        after = after.with_newest(login)
    return after


def _is_clear(
    before: LoginHistory | None,
    after: LoginHistory,
    logins: Sequence[Login],
    *,
    anonymous: UserProfile,
    so_far: UserProfile | None,
    reading: Reading,
    half_written: bool,
) -> bool:
    """Whether no stored event changes its owner, except all events of an anonymous profile together.

    Args:
        logins: The new ones, ascending.
        so_far: Profile of the user that the events counted for until now; None where that user has no profile, or where
            `before` is None.
        half_written: Whether the user names the guest although the guest has no stub, or cannot name all guests; or
            whether one of the two profiles holds records that the other may lack.
    """
    if reading is Reading.PASSING:
        return True
    if before is None:
        # Everything so far goes to the first user, unless something was known after the login of a second one.
        if reading is Reading.BROKEN_OFF:
            return len(after.users) == 1 and not half_written
        return len(after.users) == 1 or anonymous.newest_ingest_time_s < after.first_s[1]
    begins = [known_s for known_s, user in logins if (known_s, user) > before.newest and user != before.owner]
    if not begins:
        return True
    if before.first_s[0] == NEVER_S:  # written by a version that did not record the instant
        return False
    # The previous user must have no event that was known after another user's login.
    newest_s = so_far.newest_ingest_time_s if so_far is not None else NEVER_S
    return reading is Reading.WHOLE and newest_s < begins[0]


def _is_ahead(profile: UserProfile, starts: Mapping[Source, int]) -> bool:
    """Whether a profile has seen a record at or behind these places."""
    return any(profile.marks.get(source, -1) >= first for source, first in starts.items())


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


def stub(anonymous: UserProfile, history: LoginHistory) -> UserProfile:
    """What stays of an anonymous profile: which users it belongs to. Its newest events are its logins.

    Item ids are the users, event times the first and known times the last login of each run.
    """
    return UserProfile(
        behavior_ids_B=anonymous.behavior_ids_B,
        names=Names(),
        reference_times_I=np.zeros(0),
        counts_IHB=np.zeros((0, *anonymous.totals_HB.shape)),
        recent_names=Names(history.users),
        recent_behavior_ids_L=np.zeros(len(history.users), dtype=np.uint8),
        recent_event_times_L=np.array(history.first_s),
        recent_known_times_L=np.array(history.last_s),
        totals_HB=np.zeros(anonymous.totals_HB.shape),
        num_events=0,
        num_pruned_items=0,
        first_event_time_s=NEVER_S,
        newest_event_time_s=NEVER_S,
        newest_ingest_time_s=NEVER_S,
        marks={},
        ring_ids_R=np.zeros(0, dtype=np.uint64),
        ring_ingest_times_R=np.zeros(0),
        merged_into=history.owner,
    )
