"""What is popular near somebody: among events with the same country, device or part of the day, say.

Events bring a context, names and values; `statistics.popular_by` names those by which popular items are kept, one list
per value beside those of domains. A request brings the context it is made in. Where few did anything there, the whole
speaks: with popularity P_v of all kept items of a value v, and shares s of an item among all,

    near_i = mean over the request's values v of  (p_vi + SMOOTHING * s_i) / (P_v + SMOOTHING)

which is s_i where nothing is known of v. Axes: I items, K items of one list, N candidates.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from mmrec.features.values import PopularItems
from mmrec.recall.catalogue import NO_ROW, Catalogue, FloatArray, RowArray
from mmrec.recall.context import RecallContext
from mmrec.recall.source import PlainReason, Proposals
from mmrec.scoring.batch import EventBatch
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.item_statistics import ItemStatistics, accumulate, popularity

SMOOTHING: Final = 200.0
"""Popularity, in weight units, that a value needs before it counts as much as the whole: some 100 looks and 10
purchases."""
NUM_KEPT: Final = 500
"""Items kept per value."""
MAX_VALUES: Final = 300
"""Values of one name that are kept, the first that come."""
MAX_CHARACTERS: Final = 64
"""Longer values are none."""
_PREFIX: Final = "\x01near\x01"
"""Begins with a control character, as no domain does."""


def near_key(name: str, value: str) -> str:
    """Key of the popular items of one value among the popular items of a feature store."""
    return f"{_PREFIX}{name}\x01{value}"


def near_keys(popular_by: Sequence[str], context: Mapping[str, str]) -> list[str]:
    """Keys of the values that a context has of the names that popular items are kept by."""
    given = ((name, context.get(name, "")) for name in popular_by)
    return [near_key(name, value) for name, value in given if 0 < len(value) <= MAX_CHARACTERS]


class NearStatistics:
    """Item statistics by value, for the process that builds popular items."""

    def __init__(self, popular_by: Sequence[str], *, half_lives_days: tuple[float, ...]) -> None:
        self._popular_by, self._half_lives_days = tuple(popular_by), half_lives_days
        self._tables: dict[str, dict[str, ItemStatistics]] = {}
        self._num_values = dict.fromkeys(self._popular_by, 0)
        self._changed: set[str] = set()

    def count(self, events: pa.Table, batch: Callable[[pa.Table], EventBatch], *, behaviors: BehaviorSet) -> None:
        """Add events, each only once.

        Args:
            events: With a column `context`: a JSON object or "".
            batch: The events of a part of the table.
        """
        contexts = events["context"].combine_chunks().dictionary_encode()
        parsed = [json.loads(text) if text else {} for text in contexts.dictionary.to_pylist()]
        for name in self._popular_by:
            values = [str(each.get(name, "")) for each in parsed]
            for value in sorted({value for value in values if 0 < len(value) <= MAX_CHARACTERS}):
                if (table := self._table(name, value)) is None:
                    continue
                is_one = pa.array([each == value for each in values])
                part = events.filter(is_one.take(contexts.indices))
                table |= accumulate(
                    table, batch(part), half_lives_days=self._half_lives_days, behavior_ids_B=behaviors.ids_B
                )
                self._changed.add(near_key(name, value))

    def _table(self, name: str, value: str) -> dict[str, ItemStatistics] | None:
        key = near_key(name, value)
        if key not in self._tables:
            if self._num_values[name] >= MAX_VALUES:
                return None
            self._num_values[name] += 1
            self._tables[key] = {}
        return self._tables[key]

    def changed(self, *, behaviors: BehaviorSet, as_of_s: float) -> Iterator[tuple[str, PopularItems]]:
        """(key, popular items) of the values with events since the last call."""
        keys, self._changed = sorted(self._changed), set()
        for key in keys:
            item_ids, popularity_I = popularity(
                self._tables[key], behaviors=behaviors, half_lives_days=self._half_lives_days, as_of_s=as_of_s
            )
            yield key, PopularItems(item_ids=item_ids[:NUM_KEPT], popularity_K=popularity_I[:NUM_KEPT], as_of_s=as_of_s)

    @property
    def num_values(self) -> int:
        """Values with statistics."""
        return len(self._tables)


def near_popularity(near: Sequence[PopularItems], catalogue: Catalogue, rows_N: RowArray) -> FloatArray:
    """near_i of the items at some rows, >= 0, shape (N,); see the module's first lines."""
    whole_I = np.maximum(catalogue.popularity_I, 0.0)
    share_N = whole_I[rows_N] / max(float(whole_I.sum()), 1e-12)
    near_N = np.zeros(len(rows_N))
    for each in near:
        rows_K = catalogue.rows(each.item_ids)
        popularity_K = np.maximum(each.popularity_K, 0.0)
        own_I = dict(zip(rows_K.tolist(), popularity_K.tolist(), strict=True))
        own_N = np.array([own_I.get(row, 0.0) for row in rows_N.tolist()])
        near_N += (own_N + SMOOTHING * share_N) / (popularity_K.sum() + SMOOTHING)
    return near_N / max(1, len(near))


@dataclass(frozen=True, kw_only=True)
class NearItems:
    """A recall source for one request: popular items in the order of those near it; see RecallSource."""

    near: tuple[PopularItems, ...]
    name: str = "near"
    weight: float = 0.5
    needs_model: bool = False
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Allowed items that are popular near it or as a whole."""
        catalogue = context.catalogue
        order = catalogue.popular_rows_I
        whole = order[context.allowed_I[order]][:num_candidates]
        near = [catalogue.rows(each.item_ids) for each in self.near]
        known = np.concatenate([rows[rows != NO_ROW] for rows in near]) if near else whole
        rows_N = np.concatenate([whole, np.setdiff1d(known[context.allowed_I[known]], whole)])
        scores_N = near_popularity(self.near, catalogue, rows_N)
        best = np.argsort(-scores_N, kind="stable")[:num_candidates]
        return Proposals(rows_K=rows_N[best], scores_K=scores_N[best])

    def reasons(self, row: int, context: RecallContext) -> Sequence[PlainReason]:
        """That others near choose it, if they do."""
        item_id = context.catalogue.item_ids[row]
        if not any(item_id in each.item_ids for each in self.near):
            return []
        return [PlainReason(sentence="Many people near you choose it these days.", precedence=19)]
