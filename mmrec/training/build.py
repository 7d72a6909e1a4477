"""From the event log to all training examples, in one call.

built = build_examples(log.read(columns=EVENT_COLUMNS), entries, settings=settings, config=ExampleConfig())
built.save(Path("examples"))            examples/retrieval, examples/ranking
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmrec.config import Settings
from mmrec.features.item_columns import ItemEntry, Vocabulary, content_columns
from mmrec.recall.catalogue import NeighborTable, neighbor_table
from mmrec.recall.neighbors import NeighborSettings, build_neighbors
from mmrec.scoring.item_statistics import decay_rates
from mmrec.training.event_columns import EventColumns, event_columns
from mmrec.training.example_config import ExampleConfig, Part
from mmrec.training.examples import RankingExamples, RetrievalExamples
from mmrec.training.item_history import item_history
from mmrec.training.known_before import known_before
from mmrec.training.labels import Labels, labels_of
from mmrec.training.list_world import list_catalogue
from mmrec.training.ranking_lists import NeighborsInTime, ranking_examples
from mmrec.training.retrieval_labels import retrieval_examples

RETRIEVAL, RANKING = "retrieval", "ranking"
"""Folders below the one that BuiltExamples.save() is given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltExamples:
    """Examples of one log."""

    retrieval: RetrievalExamples
    ranking: RankingExamples
    report: dict[str, Any]
    """Counts: events, labels and lists by part, what was dropped by reason."""

    def save(self, folder: Path) -> None:
        """Write both kinds below `folder`."""
        self.retrieval.save(folder / RETRIEVAL, report=self.report)
        self.ranking.save(folder / RANKING, report=self.report)


def build_examples(
    events: pa.Table, entries: Mapping[str, ItemEntry], *, settings: Settings, config: ExampleConfig
) -> BuiltExamples:
    """All examples of a log.

    Args:
        events: event_columns.EVENT_COLUMNS of the log, each event once, any order.
        entries: Serving fields by item id: publish times say what could be shown when, and items without events
            become candidates too. May be empty.
        settings: Behaviors, those that hide items among them, bounds of profiles, and statistics.
        config: Which events become labels.
    """
    columns = event_columns(events, behaviors=settings.behaviors, item_ids=entries)
    labels = labels_of(columns, config=config)
    retrieval, retrieval_dropped = retrieval_examples(
        columns, labels, config=config, max_history=settings.scoring.max_recent
    )
    rates_H = decay_rates(settings.statistics.half_lives_days)
    history = item_history(
        item_rows_E=columns.items_E,
        behavior_index_E=columns.behaviors_E,
        event_times_E=columns.event_times_E,
        known_times_E=columns.known_times_E,
        num_behaviors=len(settings.behaviors),
        decay_per_day_H=rates_H,
    )
    content = content_columns([entries.get(item_id) for item_id in columns.item_ids], vocabulary=Vocabulary())
    ranking, ranking_dropped = ranking_examples(
        columns,
        labels,
        catalogue=list_catalogue(
            columns.item_ids, content=content, behaviors=settings.behaviors, decay_per_day_H=rates_H
        ),
        neighbors=_neighbors_in_time(columns, labels, config, settings),
        item_history=history,
        config=config,
        scoring=settings.scoring,
    )
    report: dict[str, Any] = {
        "config": asdict(config),
        "hide_behaviors": [behavior.name for behavior in settings.behaviors if behavior.hides],
        "num_events": len(columns),
        "num_unknown_behavior": columns.num_unknown_behavior,
        "num_users": len(columns.user_keys),
        "num_items": len(columns.item_ids),
        "ranker_begins_s": _finite(labels.ranker_begins_s),
        "validation_begins_s": _finite(labels.validation_begins_s),
        "retrieval_labels": _by_part(retrieval.parts_N),
        "retrieval_labels_hidden": int(retrieval.hidden_N.sum()),
        "retrieval_dropped": retrieval_dropped,
        "ranking_lists": _by_part(ranking.parts_N),
        "ranking_labels_dropped": ranking_dropped,
        "ranking_labels": len(ranking.label_rows_M),
        "ranking_labels_later": int((~ranking.label_next_M).sum()),
        "neighbor_builds": len(ranking.neighbors),
    }
    return BuiltExamples(retrieval=retrieval, ranking=ranking, report=report)


def _neighbors_in_time(
    columns: EventColumns, labels: Labels, config: ExampleConfig, settings: Settings
) -> NeighborsInTime:
    """Neighbors at the beginning of each part with lists, and at the beginning of each further piece of its events."""
    begins: set[float] = set()
    for part in (Part.RANKER, Part.VALIDATION):
        times = np.sort(columns.event_times_E[labels.parts_E == part])
        if len(times):
            pieces = np.arange(1, config.neighbor_builds) * len(times) // config.neighbor_builds
            begins |= {labels.begins_s(part), *times[pieces].tolist()}
    times_T = np.array(sorted(begins), dtype=np.float64)
    tables = tuple(neighbors_before(columns, begin_s, settings) for begin_s in times_T.tolist())
    return NeighborsInTime(tables=tables, times_T=times_T)


def neighbors_before(columns: EventColumns, begins_s: float, settings: Settings) -> NeighborTable:
    """Neighbors from the events known before `begins_s`, as rows of the vocabulary."""
    known = np.flatnonzero(known_before(columns.known_times_E, begins_s))
    table = pa.table(
        {
            "user_key": pa.DictionaryArray.from_arrays(
                columns.users_E[known], pa.array(columns.user_keys, pa.string())
            ).cast(pa.string()),
            "item_id": pa.DictionaryArray.from_arrays(
                columns.items_E[known], pa.array(columns.item_ids, pa.string())
            ).cast(pa.string()),
            "behavior": pa.DictionaryArray.from_arrays(
                columns.behaviors_E[known], pa.array(columns.behaviors.names)
            ).cast(pa.string()),
            "event_time_s": columns.event_times_E[known],
        }
    )
    newest_s = float(columns.event_times_E[known].max(initial=0.0))
    neighbors = build_neighbors(
        table,
        behaviors=columns.behaviors,
        as_of_s=max(newest_s, begins_s) if np.isfinite(begins_s) else newest_s,
        settings=NeighborSettings(num_neighbors=settings.statistics.num_neighbors),
    )
    return neighbor_table(columns.item_ids, {i: (n.item_ids, n.weights_K.tolist()) for i, n in neighbors.items()})


def _by_part(parts_N: np.ndarray) -> dict[str, int]:
    return {part.name.lower(): int((parts_N == part).sum()) for part in Part}


def _finite(time_s: float) -> float | None:
    return time_s if np.isfinite(time_s) else None
