"""Updates the item views of the feature store from the event log: statistics, popular items, neighbors.

    views = ItemViews(log, store, behaviors=..., settings=...)
    views.refresh_statistics(now_s=...)       reads what is new in the log; cheap, every few seconds
    views.refresh_neighbors(now_s=...)        builds from all events in memory; when enough is new

State is rebuilt from the log at start, and views are written as absolute values. So starting again repairs a crash at
any point.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmrec.config import StatisticsSettings
from mmrec.events.log import EventLog
from mmrec.features.ports import ItemViewStore
from mmrec.features.values import Neighbors, PopularItems
from mmrec.recall.complements import build_complements, complement_key
from mmrec.recall.near import NearStatistics
from mmrec.recall.neighbors import EVENT_COLUMNS, NeighborSettings, build_neighbors
from mmrec.scoring.batch import NO_SOURCE, EventBatch
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.item_statistics import ItemStatistics, accumulate, popularity
from mmrec.scoring.profile import NEVER_S
from mmrec.wire.portions import portions

NUM_POPULAR: Final = 500
"""Popular items kept per domain."""
ALL_DOMAINS: Final = ""
WRITE_ROWS: Final = 500
"""Items per write, so that the store is never blocked for long."""
NEWS_SHARE: Final = 0.001
"""Neighbors are built again once this share of their events is new."""
WEIGHT_CHANGE: Final = 0.02
"""Neighbors are not written again if their order is the same and their weights changed by less than this share."""


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What one refresh did."""

    sequence: int
    """The log's sequence number up to which the views are complete."""
    num_events: int
    """Events that were new."""
    num_items: int
    """Items written."""


class ItemViews:
    """State of the builder; for one process."""

    def __init__(
        self,
        log: EventLog,
        store: ItemViewStore,
        *,
        behaviors: BehaviorSet,
        settings: StatisticsSettings,
        max_events: int = 3_000_000,
    ) -> None:
        """Start with nothing read.

        Args:
            max_events: Newest events kept for neighbors; some 40 bytes each.
        """
        self._log = log
        self._store = store
        self._behaviors = behaviors
        self._settings = settings
        self._max_events = max_events
        self._statistics: dict[str, ItemStatistics] = {}
        self._domains: dict[str, str] = {}
        self._events = pa.schema([(name, _column_type(name)) for name in EVENT_COLUMNS]).empty_table()
        self._neighbors: dict[str, Neighbors] = {}
        self._near = NearStatistics(settings.popular_by, half_lives_days=settings.half_lives_days)
        self._complements: dict[str, Neighbors] = {}
        """By complement_key()."""
        self._num_unbuilt = 0
        self._newest_event_time_s = NEVER_S
        self.sequence = 0
        """The log's sequence that was read last."""
        self.neighbors_sequence = 0
        """The log's sequence that neighbors were built at."""

    def weigh(self, behaviors: BehaviorSet, *, now_s: float) -> None:
        """Use other weights for the same behaviors: for popular items at once, for neighbors with their next build."""
        if behaviors == self._behaviors:
            return
        self._behaviors = behaviors
        self._num_unbuilt = max(self._num_unbuilt, self.num_events_held)
        if self._statistics:
            self._write_popular(now_s)

    @property
    def num_events_held(self) -> int:
        """Events that the next build of neighbors reads."""
        return int(self._events.num_rows)

    @property
    def neighbors_are_due(self) -> bool:
        """Whether enough is new for another build."""
        return self._num_unbuilt > NEWS_SHARE * self.num_events_held

    def refresh_statistics(self, *, now_s: float) -> Refreshed:
        """Count the log's new events; write the statistics that changed and the popular items."""
        sequence = self._log.sequence()
        if sequence <= self.sequence:
            return Refreshed(sequence=self.sequence, num_events=0, num_items=0)
        changed: dict[str, ItemStatistics] = {}
        kept = [self._events]
        num_events = 0
        columns = [*EVENT_COLUMNS, "domain", *(["context"] if self._settings.popular_by else [])]
        for piece in self._log.scan(after_sequence=self.sequence, up_to_sequence=sequence, columns=columns):
            changed |= self._count(piece)
            kept.append(_encoded(piece))
            num_events += piece.num_rows
        self.sequence = sequence
        held = pa.concat_tables(kept).unify_dictionaries()
        self._events = held.slice(max(0, held.num_rows - self._max_events)).combine_chunks()
        self._num_unbuilt += num_events
        for rows in portions(changed.items(), WRITE_ROWS):
            self._store.write_item_statistics(dict(rows), write_time_s=now_s)
        self._write_popular(now_s)
        return Refreshed(sequence=sequence, num_events=num_events, num_items=len(changed))

    def _count(self, piece: pa.Table) -> dict[str, ItemStatistics]:
        known = piece.filter(pc.is_in(piece["behavior"], value_set=pa.array(self._behaviors.names, pa.string())))
        if not known.num_rows:
            return {}
        self._newest_event_time_s = max(self._newest_event_time_s, pc.max(known["event_time_s"]).as_py())
        named = known.filter(pc.not_equal(known["domain"], ""))
        pairs = named.select(["item_id", "domain"]).group_by(["item_id", "domain"]).aggregate([])
        self._domains |= dict(zip(pairs["item_id"].to_pylist(), pairs["domain"].to_pylist(), strict=True))
        changed = accumulate(
            self._statistics,
            _batch(known, self._behaviors),
            half_lives_days=self._settings.half_lives_days,
            behavior_ids_B=self._behaviors.ids_B,
        )
        self._statistics |= changed
        if self._settings.popular_by:
            self._near.count(known, lambda part: _batch(part, self._behaviors), behaviors=self._behaviors)
        return changed

    def _write_popular(self, now_s: float) -> None:
        as_of_s = max(now_s, self._newest_event_time_s)
        item_ids, popularity_I = popularity(
            self._statistics,
            behaviors=self._behaviors,
            half_lives_days=self._settings.half_lives_days,
            as_of_s=as_of_s,
        )
        rows: dict[str, list[int]] = {ALL_DOMAINS: list(range(min(NUM_POPULAR, len(item_ids))))}
        for row, item_id in enumerate(item_ids):
            domain = self._domains.get(item_id, ALL_DOMAINS)
            if domain and len(of_domain := rows.setdefault(domain, [])) < NUM_POPULAR:
                of_domain.append(row)
        for domain, chosen in rows.items():
            popular = PopularItems(
                item_ids=tuple(item_ids[row] for row in chosen), popularity_K=popularity_I[chosen], as_of_s=as_of_s
            )
            self._store.write_popular(domain, popular, write_time_s=now_s)

    def refresh_neighbors(self, *, now_s: float) -> Refreshed:
        """Build neighbors from the events in memory; write those that changed."""
        neighbors = build_neighbors(
            self._events,
            behaviors=self._behaviors,
            as_of_s=max(now_s, self._newest_event_time_s),
            settings=NeighborSettings(num_neighbors=self._settings.num_neighbors),
        )
        changed = {
            item_id: near for item_id, near in neighbors.items() if not _alike(near, self._neighbors.get(item_id))
        }
        for rows in portions(changed.items(), WRITE_ROWS):
            self._store.write_neighbors(dict(rows), write_time_s=now_s)
        self._neighbors |= changed
        self._refresh_complements(now_s)
        as_of_s = max(now_s, self._newest_event_time_s)
        for key, popular in self._near.changed(behaviors=self._behaviors, as_of_s=as_of_s):
            self._store.write_popular(key, popular, write_time_s=now_s)
        refreshed = Refreshed(sequence=self.sequence, num_events=self._num_unbuilt, num_items=len(changed))
        self._num_unbuilt = 0
        self.neighbors_sequence = self.sequence
        return refreshed

    def _refresh_complements(self, now_s: float) -> None:
        complements = build_complements(
            self._events, behaviors=self._behaviors, as_of_s=max(now_s, self._newest_event_time_s)
        )
        keyed = {complement_key(item_id): near for item_id, near in complements.items()}
        changed = {key: near for key, near in keyed.items() if not _alike(near, self._complements.get(key))}
        for rows in portions(changed.items(), WRITE_ROWS):
            self._store.write_neighbors(dict(rows), write_time_s=now_s)
        self._complements |= changed

    def figures(self) -> Mapping[str, Any]:
        """What `mmrec status` shows."""
        return {
            "sequence": self.sequence,
            "neighbors_sequence": self.neighbors_sequence,
            "num_items": len(self._statistics),
            "num_items_with_complements": len(self._complements),
            "num_places": self._near.num_values,
            "num_events_held": self.num_events_held,
            "newest_event_time_s": None if self._newest_event_time_s == NEVER_S else self._newest_event_time_s,
        }


def _column_type(name: str) -> pa.DataType:
    return pa.float64() if name == "event_time_s" else pa.dictionary(pa.int32(), pa.string())


def _encoded(piece: pa.Table) -> pa.Table:
    """The columns that neighbors need, with strings as numbers, since they repeat and millions of rows are kept."""
    return pa.table(
        {
            name: piece[name] if name == "event_time_s" else piece[name].combine_chunks().dictionary_encode()
            for name in EVENT_COLUMNS
        }
    )


def _alike(near: Neighbors, before: Neighbors | None) -> bool:
    return (
        before is not None
        and near.item_ids == before.item_ids
        and np.allclose(near.weights_K, before.weights_K, rtol=WEIGHT_CHANGE, atol=0.0)
    )


def _batch(piece: pa.Table, behaviors: BehaviorSet) -> EventBatch:
    """The columns that counting reads. The log gives each record once, so ids and places are left empty."""
    num_events = piece.num_rows
    place_N = pc.index_in(piece["behavior"], value_set=pa.array(behaviors.names, pa.string()))
    times_N = piece["event_time_s"].to_numpy()
    return EventBatch(
        user_keys=np.full(num_events, "", dtype=object),
        item_ids=np.array(piece["item_id"].to_pylist(), dtype=object),
        behavior_ids_N=behaviors.ids_B[place_N.to_numpy()],
        event_times_N=times_N,
        known_times_N=times_N,
        ingest_times_N=times_N,
        event_hashes_N=np.zeros(num_events, dtype=np.uint64),
        sources=(),
        source_index_N=np.full(num_events, NO_SOURCE, dtype=np.int32),
        offsets_N=np.full(num_events, -1, dtype=np.int64),
    )
