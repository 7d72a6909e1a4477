"""The event log as numbers, in the order in which it became known.

Axes: E events by (known time, event time, user, item, behavior), I items.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.behaviors import BehaviorSet

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EVENT_COLUMNS = ("user_key", "item_id", "behavior", "event_time_s", "known_time_s", "ingest_time_s")
"""Columns of the event log that examples are built from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EventColumns:
    """All events of configured behaviors; the order does not depend on the order of the log."""

    item_ids: tuple[str, ...]
    """Vocabulary, ascending, so that row order is id order: items of the log and of the catalogue."""
    user_keys: tuple[str, ...]
    """Users, ascending."""
    items_E: IntArray
    users_E: IntArray
    behaviors_E: IntArray
    """Positions on axis B of the configured set."""
    event_times_E: FloatArray
    known_times_E: FloatArray
    """Ascending."""
    ingest_times_E: FloatArray
    behaviors: BehaviorSet
    num_unknown_behavior: int
    """Events left out because their behavior is not configured."""

    def __len__(self) -> int:
        return len(self.items_E)

    @cached_property
    def rank_by_event_time_E(self) -> IntArray:
        """Place of each event by (event time, known time, behavior, item): the order of a profile's newest events."""
        order = np.lexsort((self.items_E, self.behaviors_E, self.known_times_E, self.event_times_E))
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank

    @cached_property
    def user_ends(self) -> IntArray:
        """Ends of each user's events in `by_user_E`, shape (users + 1,), starting with 0."""
        return np.append(0, np.cumsum(np.bincount(self.users_E, minlength=len(self.user_keys))))

    @cached_property
    def by_user_E(self) -> IntArray:
        """Events brought together by user, each user's in known order."""
        return np.argsort(self.users_E, kind="stable")

    def of_user(self, user: int) -> IntArray:
        """Events of one user in known order."""
        return self.by_user_E[self.user_ends[user] : self.user_ends[user + 1]]

    @cached_property
    def batch(self) -> EventBatch:
        """What *apply* reads.

        Without sources: marks follow offsets, and imported history may be known in another order than it was sent.
        Hashes are all different: the log holds accepted events, each once.
        """
        return EventBatch(
            user_keys=np.array(self.user_keys, dtype=object)[self.users_E],
            item_ids=np.array(self.item_ids, dtype=object)[self.items_E],
            behavior_ids_N=self.behaviors.ids_B[self.behaviors_E],
            event_times_N=self.event_times_E,
            known_times_N=self.known_times_E,
            ingest_times_N=self.ingest_times_E,
            event_hashes_N=np.arange(len(self), dtype=np.uint64),
            sources=(),
            source_index_N=np.full(len(self), NO_SOURCE, dtype=np.int32),
            offsets_N=np.arange(len(self), dtype=np.int64),
        )


def event_columns(events: pa.Table, *, behaviors: BehaviorSet, item_ids: Iterable[str] = ()) -> EventColumns:
    """Numbers of a log.

    Args:
        events: EVENT_COLUMNS, each event once, any order.
        behaviors: The configured set; events of others are left out and counted.
        item_ids: Items of the catalogue; they are in the vocabulary with or without events.
    """
    place_E = pc.index_in(events["behavior"], value_set=pa.array(behaviors.names))
    known = pc.is_valid(place_E)
    num_unknown = place_E.null_count
    if num_unknown:
        events, place_E = events.filter(known), place_E.filter(known)
    vocabulary, items_E = _numbers(events["item_id"], item_ids)
    user_keys, users_E = _numbers(events["user_key"], ())
    behaviors_E = place_E.to_numpy().astype(np.int64)
    event_times_E, known_times_E = events["event_time_s"].to_numpy(), events["known_time_s"].to_numpy()
    order = np.lexsort((behaviors_E, items_E, users_E, event_times_E, known_times_E))
    return EventColumns(
        item_ids=vocabulary,
        user_keys=user_keys,
        items_E=items_E[order],
        users_E=users_E[order],
        behaviors_E=behaviors_E[order],
        event_times_E=event_times_E[order],
        known_times_E=known_times_E[order],
        ingest_times_E=events["ingest_time_s"].to_numpy()[order],
        behaviors=behaviors,
        num_unknown_behavior=num_unknown,
    )


def _numbers(column: pa.ChunkedArray, more: Iterable[str]) -> tuple[tuple[str, ...], IntArray]:
    encoded = column.combine_chunks().dictionary_encode()
    values: list[str] = encoded.dictionary.to_pylist()
    names = tuple(sorted({*values, *more}))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.array([number_of[value] for value in values], dtype=np.int64)
    return names, numbers[encoded.indices.to_numpy()] if values else np.zeros(0, dtype=np.int64)
