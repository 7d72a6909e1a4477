"""Which labels get a ranking list.

Axes: E events, G groups of label events.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.labels import Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnList:
    """One user at one instant."""

    label_time_s: float
    user: int
    part: Part
    events: IntArray
    """What the user did at that instant, as positions on axis E."""
    later: IntArray
    """What the user did within the window after it and within its part, as positions on axis E."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Positives:
    """Labels of one list."""

    rows: IntArray
    """Items, ascending, each once."""
    behaviors: npt.NDArray[np.int64]
    """Position on axis B of the weightiest behavior on each."""


def draw_lists(events: EventColumns, labels: Labels, *, config: ExampleConfig) -> tuple[list[DrawnList], Counter[str]]:
    """(lists in the order of label time, label events that got none, by reason).

    Where there are more than wanted, every user's first list comes before anybody's second: the most active users are
    the ones that are thinned out.
    """
    dropped: Counter[str] = Counter()
    lists: list[DrawnList] = []
    for part, max_lists in ((Part.RANKER, config.max_ranker_lists), (Part.VALIDATION, config.max_validation_lists)):
        of_part = labels.parts_E == part
        dropped["known_after_its_part"] += int((of_part & ~labels.in_time_E).sum())
        dropped["hidden"] += int((of_part & labels.in_time_E & labels.hidden_E).sum())
        rows = np.flatnonzero(of_part & labels.in_time_E & ~labels.hidden_E)
        rows = rows[np.lexsort((events.event_times_E[rows], events.users_E[rows]))]
        apart = (np.diff(events.users_E[rows]) != 0) | (np.diff(events.event_times_E[rows]) != 0)
        groups = np.split(rows, np.flatnonzero(apart) + 1) if len(rows) else []
        users_G = np.array([events.users_E[group[0]] for group in groups], dtype=np.int64)
        turn_G = _turns(users_G, np.random.default_rng([config.seed, 3, int(part)]))
        enough_G = turn_G.of_user >= config.max_lists_per_user
        order = np.lexsort((turn_G.drawn, turn_G.of_user))
        kept = order[~enough_G[order]][:max_lists]
        sizes_G = np.array([len(group) for group in groups], dtype=np.int64)
        dropped["user_has_enough_lists"] += int(sizes_G[enough_G].sum())
        dropped["not_drawn"] += int(sizes_G[~enough_G].sum() - sizes_G[kept].sum())
        ends = _window_ends(groups, events, config.label_window_s)
        lists += [
            DrawnList(
                label_time_s=float(events.event_times_E[groups[place][0]]),
                user=int(users_G[place]),
                part=part,
                events=groups[place],
                later=np.concatenate([rows[:0], *groups[place + 1 : ends[place]]]),
            )
            for place in kept.tolist()
        ]
    return sorted(lists, key=lambda drawn: (drawn.label_time_s, drawn.user)), dropped


def _window_ends(groups: list[IntArray], events: EventColumns, window_s: float) -> list[int]:
    """For each group, the number of the first one after it that is another user's or lies beyond the window.

    Groups are ordered by user and instant, and hold no label that was known after their part or that was hidden.
    """
    first = np.array([group[0] for group in groups], dtype=np.int64)
    users_G, times_G = events.users_E[first], events.event_times_E[first]
    ends, end = [], 0
    for place in range(len(groups)):
        end = max(end, place + 1)
        while end < len(groups) and users_G[end] == users_G[place] and times_G[end] <= times_G[place] + window_s:
            end += 1
        ends.append(end)
    return ends


@dataclass(frozen=True, kw_only=True, eq=False)
class _Turns:
    drawn: IntArray
    """Place of each group in a random order."""
    of_user: IntArray
    """How many of the same user come before it there."""


def _turns(users_G: IntArray, rng: np.random.Generator) -> _Turns:
    drawn = rng.permutation(len(users_G))
    order = np.lexsort((drawn, users_G))
    of_user = np.empty(len(users_G), dtype=np.int64)
    of_user[order] = np.arange(len(users_G)) - np.searchsorted(users_G[order], users_G[order], side="left")
    return _Turns(drawn=drawn, of_user=of_user)


def positives_of(events: EventColumns, label_events: IntArray) -> Positives:
    """Items of some label events, each with its weightiest behavior."""
    items, behaviors = events.items_E[label_events], events.behaviors_E[label_events]
    order = np.lexsort((behaviors, events.behaviors.weights_B[behaviors], items))
    last = np.append(items[order][1:] != items[order][:-1], True) if len(order) else np.zeros(0, dtype=np.bool_)
    chosen = order[last]
    return Positives(rows=items[chosen], behaviors=behaviors[chosen])
