"""Profiles as they stood at past instants, replayed from the log with *apply*, from events known strictly before.

Axes: E events, G asked states.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmrec.scoring.apply_packed import apply_packed
from mmrec.scoring.packing import unpack
from mmrec.scoring.profile import FloatArray, UserProfile, empty_profile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.known_before import num_known_before

UNKNOWN_USER = -1


def profiles_as_of(
    events: EventColumns, user_keys: Sequence[str], times_s: FloatArray, *, scoring: ScoringConfig
) -> list[UserProfile]:
    """The profile of each user from events with known_time_s < its instant; empty where nothing was known.

    Args:
        user_keys: One per asked state, axis G; any user, any order, any number of times.
        times_s: Instants, shape (G,).
    """
    number_of = {key: number for number, key in enumerate(events.user_keys)}
    users_G = np.array([number_of.get(key, UNKNOWN_USER) for key in user_keys], dtype=np.int64)
    num_known_G = np.zeros(len(users_G), dtype=np.int64)
    order = np.argsort(users_G, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(users_G[order])) + 1) if len(order) else []:
        user = int(users_G[rows[0]])
        if user != UNKNOWN_USER:
            num_known_G[rows] = num_known_before(events.known_times_E[events.of_user(user)], times_s[rows])
    return profiles_after(events, users_G, num_known_G, scoring=scoring)


def profiles_after(
    events: EventColumns, users_G: IntArray, num_known_G: IntArray, *, scoring: ScoringConfig
) -> list[UserProfile]:
    """The profile of each user after the first so many of their events in known order, aligned with `users_G`.

    A user's events are applied in pieces between one asked state and the next, all users' first pieces together, then
    all second ones: as the stream would, in other micro-batches.
    """
    # The log holds accepted events, each once: nothing is left for the ring to find, so it is kept as small as can be.
    replay = replace(scoring, ring_size=1)
    order = np.lexsort((num_known_G, users_G))
    round_G = np.empty(len(order), dtype=np.int64)
    starts = np.searchsorted(users_G[order], users_G[order], side="left")
    round_G[order] = np.arange(len(order)) - starts
    blank = empty_profile(behaviors=scoring.behaviors, num_half_lives=len(scoring.decay_per_day))
    found = [blank] * len(users_G)
    state: dict[str, bytes] = {}
    entered: dict[int, int] = {}
    for number in range(int(round_G.max(initial=-1)) + 1):
        members = np.flatnonzero((round_G == number) & (users_G != UNKNOWN_USER))
        if not len(members):
            continue
        pieces = []
        for member in members.tolist():
            user, end = int(users_G[member]), int(num_known_G[member])
            pieces.append(events.of_user(user)[entered.get(user, 0) : end])
            entered[user] = end
        batch = events.batch.take(np.sort(np.concatenate(pieces)))
        state.update(apply_packed(state, batch, config=replay, with_caps=False).packed())
        for member in members.tolist():
            packed = state.get(events.user_keys[users_G[member]])
            found[member] = unpack(packed) if packed is not None else blank
    return found
