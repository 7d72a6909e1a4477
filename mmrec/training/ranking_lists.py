"""Lists to learn ranking from: a user's state just before a label, and what the user did next.

The profile is replayed with *apply* from the user's events in known order, up to the label. Candidates are not chosen
here: recall proposes them once towers are fit (mmrec/training/ranking_rows.py).

Axes: E events, N lists, M labels, I items.
"""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.recall.catalogue import Catalogue, NeighborTable
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.drawn_lists import DrawnList, Positives, draw_lists, positives_of
from mmrec.training.event_columns import EventColumns, IntArray
from mmrec.training.example_config import ExampleConfig
from mmrec.training.examples import RankingExamples
from mmrec.training.item_history import ItemHistory
from mmrec.training.labels import Labels
from mmrec.training.list_world import ListWorld
from mmrec.training.profiles_as_of import profiles_after
from mmrec.training.retrieval_labels import num_known_events


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighborsInTime:
    """Tables of neighbors, each of one instant."""

    tables: tuple[NeighborTable, ...]
    times_T: npt.NDArray[np.float64]
    """Ascending: events known strictly before count."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kept:
    """One list with its labels."""

    drawn: DrawnList
    profile: UserProfile
    positives: Positives
    next_M: npt.NDArray[np.bool_]


def ranking_examples(
    events: EventColumns,
    labels: Labels,
    *,
    catalogue: Catalogue,
    neighbors: NeighborsInTime,
    item_history: ItemHistory,
    config: ExampleConfig,
    scoring: ScoringConfig,
) -> tuple[RankingExamples, dict[str, int]]:
    """(lists in the order of label time, counts: what was dropped, by reason).

    Args:
        catalogue: From list_catalogue().
        neighbors: Each built from events known before its instant.
    """
    lists, dropped = draw_lists(events, labels, config=config)
    world = ListWorld(catalogue=catalogue, item_history=item_history, scoring=scoring)
    profiles = profiles_before(events, np.array([drawn.events[0] for drawn in lists], dtype=np.int64), scoring=scoring)
    kept: list[_Kept] = []
    for drawn, profile in zip(lists, profiles, strict=True):
        allowed_I = world.allowed(profile, drawn.label_time_s)
        showable = drawn.events[allowed_I[events.items_E[drawn.events]]]
        dropped["not_showable"] += len(drawn.events) - len(showable)
        if len(showable):
            later = drawn.later[allowed_I[events.items_E[drawn.later]]]
            positives = positives_of(events, np.concatenate([showable, later]))
            next_M = np.isin(positives.rows, events.items_E[showable])
            kept.append(_Kept(drawn=drawn, profile=profile, positives=positives, next_M=next_M))
    packed = [pack(one.profile) for one in kept]
    found = [one.positives for one in kept]
    return RankingExamples(
        item_ids=events.item_ids,
        user_keys=tuple([events.user_keys[one.drawn.user] for one in kept]),
        label_times_N=np.array([one.drawn.label_time_s for one in kept], dtype=np.float64),
        parts_N=np.array([one.drawn.part for one in kept], dtype=np.uint8),
        profile_offsets=_offsets(packed),
        profile_bytes=np.frombuffer(b"".join(packed), dtype=np.uint8),
        label_offsets=_offsets([each.rows for each in found]),
        label_rows_M=_together([each.rows for each in found], np.int32),
        label_behaviors_M=_together([each.behaviors for each in found], np.int16),
        label_next_M=_together([one.next_M for one in kept], np.bool_),
        neighbors=neighbors.tables,
        neighbor_times_T=neighbors.times_T,
        item_history=item_history,
    ), dict(dropped)


def profiles_before(events: EventColumns, label_events: IntArray, *, scoring: ScoringConfig) -> list[UserProfile]:
    """The profile of each label's user from events known strictly before the label, aligned with `label_events`."""
    return profiles_after(events, events.users_E[label_events], num_known_events(events, label_events), scoring=scoring)


def _offsets(pieces: Sequence[Sized]) -> IntArray:
    """Where each piece begins among all of them, and where the last one ends."""
    return np.append(0, np.cumsum([len(piece) for piece in pieces])).astype(np.int64)


def _together(pieces: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *pieces]).astype(dtype)
