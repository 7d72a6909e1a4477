"""Events and items of an evaluation as a deployment would hold them: its log, catalogue, content, profiles.

Item and user ids are row numbers of equal length, so that the order of ids is the order of rows and rows mean the same
on both sides. Where times are positions, everybody's newest event lies one day before the present, the one before it
two days, and so on: parts of the log by time then hold the newest events of all.

Axes: E events, N targets, H events of all histories, I items, B behaviors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmrec.catalog.item import CatalogEntry
from mmrec.content.matrix import ContentMatrix
from mmrec.evaluation.interactions import FloatArray, Histories, IntArray, Interactions, ItemFeatures
from mmrec.scoring.behaviors import Behavior, BehaviorSet, media_behaviors, shop_behaviors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.training.event_columns import EventColumns
from mmrec.training.profiles_as_of import profiles_after

DAY_S = 86_400.0
PRESENT_S = 20_000 * DAY_S
"""The present where times are positions: any instant that no history reaches back from to 0."""
NO_CONTENT = "none"
"""Modality that no item has, where no content was given: towers then go by ids alone."""


def ids(count: int) -> tuple[str, ...]:
    """Row numbers as ids."""
    return tuple(f"{row:09d}" for row in range(count))


def usual_behaviors(names: Sequence[str]) -> BehaviorSet:
    """The behaviors of a data set, in its order, with the weights they usually have, else 1.

    None hides items: whether what a user touched counts again is for the task to say.
    """
    usual = {each.name: each.weight for each in (*shop_behaviors(), *media_behaviors())}
    made = [
        Behavior(name=f"{row} {name}".lower().strip(), behavior_id=row, weight=usual.get(name, 1.0))
        for row, name in enumerate(names)
    ]
    return BehaviorSet(tuple(made) or (Behavior(name="any", behavior_id=0, weight=1.0),))


def event_times(data: Interactions) -> FloatArray:
    """Instant of each event in seconds, shape (E,)."""
    if data.clock == "seconds":
        return data.times_E
    newest_U = np.full(data.num_users, -np.inf)
    np.maximum.at(newest_U, data.users_E, data.times_E)
    times_E: FloatArray = PRESENT_S + (data.times_E - newest_U[data.users_E] - 1.0) * DAY_S
    return times_E


def event_log(data: Interactions, behaviors: BehaviorSet) -> pa.Table:
    """Events as the log holds them, each known when it happened."""
    times_E = pa.array(event_times(data))
    return pa.table(
        {
            "user_key": pa.array(ids(data.num_users), pa.string()).take(pa.array(data.users_E)),
            "item_id": pa.array(ids(data.num_items), pa.string()).take(pa.array(data.items_E)),
            "behavior": pa.array(behaviors.names, pa.string()).take(pa.array(data.behaviors_E)),
            **dict.fromkeys(("event_time_s", "known_time_s", "ingest_time_s"), times_E),
        }
    )


def content_of(items: ItemFeatures) -> ContentMatrix:
    """Vectors of all items; of one modality that no item has where there are none."""
    nothing = {NO_CONTENT: np.zeros((items.num_items, 1), dtype=np.float32)}
    values = {name: np.asarray(vectors, dtype=np.float32) for name, vectors in items.vectors.items()} or nothing
    missing = np.zeros(items.num_items, dtype=np.bool_)
    return ContentMatrix(
        item_ids=ids(items.num_items),
        values=values,
        present={name: items.present.get(name, missing) for name in values},
        encoders=dict.fromkeys(values, "given"),
    )


def entries_of(items: ItemFeatures) -> dict[str, CatalogEntry]:
    """Serving fields of all items: attributes from labels of the form NAME=VALUE, where there are labels."""
    labels, item_ids = items.labels, ids(items.num_items)
    if labels is None:
        return {item_id: CatalogEntry(item_id=item_id) for item_id in item_ids}
    pairs = [name.partition("=") if "=" in name else ("label", "=", name) for name in labels.names]
    entries = {}
    for row, item_id in enumerate(item_ids):
        values: dict[str, list[str]] = {}
        for code in labels.codes_A[labels.offsets[row] : labels.offsets[row + 1]].tolist():
            values.setdefault(pairs[code][0], []).append(pairs[code][2])
        attributes = {name: "|".join(of_name) for name, of_name in values.items()}
        entries[item_id] = CatalogEntry(item_id=item_id, attributes=attributes)
    return entries


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """N targets as requests of a deployment."""

    profiles: Sequence[UserProfile]
    as_of_N: FloatArray
    """Instant of each request, seconds."""


def asked(histories: Histories, *, positions: bool, num_items: int, scoring: ScoringConfig) -> Asked:
    """Profiles as the stream would have made them of the histories, and when they are read.

    Args:
        positions: Whether times of the histories are positions.
        num_items: Rows of the catalogue.
        scoring: Its behaviors are those of usual_behaviors().
    """
    targets_H, times_H = histories.targets_H, histories.times_H
    as_of_N = histories.as_of_N
    if positions:
        newest_N = np.full(len(histories), -np.inf)
        np.maximum.at(newest_N, targets_H, times_H)
        times_H = PRESENT_S + (times_H - newest_N[targets_H] - 1.0) * DAY_S
        as_of_N = np.full(len(histories), PRESENT_S)
    order = np.lexsort((histories.behaviors_H, histories.items_H, targets_H, times_H))
    events = EventColumns(
        item_ids=ids(num_items),
        user_keys=ids(len(histories)),
        items_E=histories.items_H[order],
        users_E=targets_H[order],
        behaviors_E=histories.behaviors_H[order],
        event_times_E=times_H[order],
        known_times_E=times_H[order],
        ingest_times_E=times_H[order],
        behaviors=scoring.behaviors,
        num_unknown_behavior=0,
    )
    everybody: IntArray = np.arange(len(histories))
    profiles = profiles_after(events, everybody, histories.lengths_N, scoring=scoring)
    return Asked(profiles=profiles, as_of_N=as_of_N)
