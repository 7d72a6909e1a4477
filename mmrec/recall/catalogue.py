"""The catalogue as one replica holds it: aligned columns, so that a request is array indexing.

A Catalogue never changes; a refresh makes the next one and swaps the reference, so a request sees one state from
beginning to end. Row i of every column speaks of item_ids[i]; rows are never reused within a process.

Axes: I items, H half-lives, B behaviors, D embedding, K neighbors, N candidates.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogEntry
from mmrec.catalog.values import attribute_values
from mmrec.features.assemble import ItemFacts, own_positions
from mmrec.features.item_columns import ContentColumns, Vocabulary
from mmrec.index.vectors import VectorIndex
from mmrec.recall.item_filter import Condition, ItemFilter, passing
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.item_statistics import popularities

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
RowArray = npt.NDArray[np.int64]
NO_ROW = -1


def rows_of(row_of: Mapping[str, int], item_ids: Iterable[str]) -> RowArray:
    """Rows of items in a table of items, NO_ROW for those it does not know."""
    return np.array([row_of.get(item_id, NO_ROW) for item_id in item_ids], dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighborTable:
    """Neighbors of every item, as rows."""

    rows_IK: npt.NDArray[np.int32]
    """NO_ROW beyond the last neighbor."""
    weights_IK: FloatArray
    """0 beyond the last neighbor."""

    def of(self, own_rows_J: RowArray) -> "NeighborTable":
        """The table of own items alone, axis J instead of I; an unknown item has no neighbors."""
        known = (own_rows_J >= 0)[:, None]
        return NeighborTable(
            rows_IK=np.where(known, self.rows_IK[own_rows_J], NO_ROW), weights_IK=self.weights_IK[own_rows_J] * known
        )

    def scores(self, own_rows_J: RowArray, pulls_J: FloatArray) -> FloatArray:
        """Sum over own items of pull (mmrec/recall/pull.py) times neighbor weight, for every item, shape (I,)."""
        known = own_rows_J >= 0
        rows, weights = self.rows_IK[own_rows_J[known]], self.weights_IK[own_rows_J[known]]
        spread = pulls_J[known][:, None] * weights
        scores = np.bincount((rows + 1).ravel(), weights=spread.ravel(), minlength=len(self.rows_IK) + 1)
        return scores[1:].astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """All items a replica knows."""

    item_ids: tuple[str, ...]
    entries: tuple[CatalogEntry, ...]
    content: ContentColumns
    vocabulary: Vocabulary
    showable_I: BoolArray
    """Whether lists may contain the item while it is published; see showable()."""
    out_of_stock_I: BoolArray
    """Whether nothing but its stock keeps it off lists."""
    counts_IHB: FloatArray
    """Decayed counts of all users, axis B in the order of the configured behaviors."""
    reference_times_I: FloatArray
    """-inf where an item has no counts."""
    decay_per_day_H: FloatArray
    weights_B: FloatArray
    index: VectorIndex | None
    """Embeddings by row, zeros where an item has none; None without a release."""
    embedded_I: BoolArray
    """Whether the item has an embedding."""
    modality_weights: Mapping[str, npt.NDArray[np.float32]]
    """Share of each modality in each item's embedding, shape (I,), by modality; empty without a release."""
    neighbors: NeighborTable | None

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Rows by item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def published_from_I(self) -> FloatArray:
        """Instant from which lists may contain the item; -inf where no publish time is known."""
        return np.nan_to_num(self.content.publish_times_X, nan=-np.inf)

    def showable(self, as_of_s: float, *, now_s: float | None = None, includes_out_of_stock: bool = False) -> BoolArray:
        """Mask of the items that lists may contain as of an instant, shape (I,); a new array.

            published_from <= as_of < expire_time, and where now_s is given also published_from <= now < expire_time

        Computed for each request, so that an item appears at its publish time and disappears at its expiry without
        another record, and a list as of an instant in the past contains what was published then and still is.
        """
        earliest_s, latest_s = (as_of_s, as_of_s) if now_s is None else (min(as_of_s, now_s), max(as_of_s, now_s))
        stocked_I = self.showable_I | self.out_of_stock_I if includes_out_of_stock else self.showable_I
        showable_I: BoolArray = stocked_I & (self.published_from_I <= earliest_s)
        showable_I &= self.content.expire_times_X > latest_s
        return showable_I

    def to_come(self, now_s: float) -> tuple[int, float]:
        """Number of items that will be shown later, and the instant of the next one; inf where there are none."""
        times = self.published_from_I[self.showable_I & (self.published_from_I > now_s)]
        return len(times), float(times.min(initial=np.inf))

    @cached_property
    def popularity_I(self) -> FloatArray:
        """Affinity of all users together, as of the newest count; below 0 where more was subtracted than added."""
        return popularities(
            self.counts_IHB,
            self.reference_times_I,
            weights_B=self.weights_B,
            decay_per_day_H=self.decay_per_day_H,
        )

    @cached_property
    def newest_rows_I(self) -> RowArray:
        """All rows, the newest item first; equal ones by row."""
        return np.lexsort((np.arange(len(self.item_ids)), -self.published_from_I))

    @cached_property
    def popular_rows_I(self) -> RowArray:
        """All rows, most popular first; the newest items first among those without counts."""
        rows: RowArray = self.newest_rows_I[(-self.popularity_I[self.newest_rows_I]).argsort(kind="stable")]
        return rows

    def prepare(self, before: "Catalogue | None" = None) -> None:
        """Compute now, in this thread, what the first request would wait for.

        Args:
            before: Catalogue of the first of these items, from which they differ in few; what is alike is taken over.
        """
        if before is not None and before.item_ids is self.item_ids:
            self.__dict__["row_of"] = before.row_of
        if before is not None and (newest := _newest(self.published_from_I, before)) is not None:
            self.__dict__["newest_rows_I"] = newest
        _ = self.row_of, self.popular_rows_I

    def rows(self, item_ids: Iterable[str]) -> RowArray:
        """Rows of items, NO_ROW for those the catalogue does not know."""
        return rows_of(self.row_of, item_ids)

    def counted(self, counts_IHB: FloatArray, reference_times_I: FloatArray, *, showable_I: BoolArray) -> "Catalogue":
        """The same items with other statistics and another `showable_I`, to look at many instants."""
        other = replace(self, counts_IHB=counts_IHB, reference_times_I=reference_times_I, showable_I=showable_I)
        other.__dict__["row_of"] = self.row_of  # the ids are the same, and making it again would cost the most
        return other

    def passing(self, item_filter: ItemFilter) -> BoolArray:
        """Mask of the items a filter lets through, shape (I,)."""
        return passing(item_filter, content=self.content, vocabulary=self.vocabulary)

    def sharing(self, rows_N: RowArray, attribute: str) -> BoolArray:
        """Mask of the items that share a given value of an attribute with any of those at `rows_N`, shape (I,)."""
        values = [self.entries[row].given_attributes.get(attribute, "") for row in rows_N.tolist()]
        named = tuple(value for value in values if attribute_values(value))
        if not named:
            return np.zeros(len(self.item_ids), dtype=np.bool_)
        return self.passing(ItemFilter(conditions=(Condition(attribute=attribute, values=named),)))

    def facts(self, rows_N: RowArray, own_rows_J: RowArray) -> ItemFacts:
        """What assemble() reads about the items at `rows_N` and the profile's own items at `own_rows_J`."""
        return ItemFacts(
            own_positions_N=own_positions(rows_N, own_rows_J, num_rows=len(self.item_ids)),
            content=self.content.take(rows_N),
            profile_content=self.content.take(own_rows_J),
            counts_NHB=self.counts_IHB[rows_N],
            reference_times_N=self.reference_times_I[rows_N],
            decay_per_day_H=self.decay_per_day_H,
        )


def _newest(published_from_I: FloatArray, before: Catalogue) -> RowArray | None:
    """newest_rows_I from that of the catalogue before, where only items were added; None where that is not enough."""
    num_kept = len(before.item_ids)
    if not np.array_equal(published_from_I[:num_kept], before.published_from_I):
        return None
    kept, added = before.newest_rows_I, np.arange(num_kept, len(published_from_I))
    if not len(added):
        return kept
    added = added[np.argsort(-published_from_I[added], kind="stable")]
    places = np.searchsorted(-published_from_I[kept], -published_from_I[added], side="right")
    rows: RowArray = np.insert(kept, places, added)
    return rows


def neighbor_table(
    item_ids: Sequence[str], neighbors: Mapping[str, tuple[Sequence[str], Sequence[float]]]
) -> NeighborTable:
    """Neighbor lists as rows of `item_ids`; neighbors the catalogue does not know are left out."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    width = max((len(ids) for ids, _ in neighbors.values()), default=0)
    rows_IK = np.full((len(item_ids), width), NO_ROW, dtype=np.int32)
    weights_IK = np.zeros((len(item_ids), width))
    for item_id, (ids, weights) in neighbors.items():
        row = row_of.get(item_id)
        if row is None:
            continue
        known = [(row_of[other], float(weight)) for other, weight in zip(ids, weights, strict=True) if other in row_of]
        rows_IK[row, : len(known)] = [other for other, _ in known]
        weights_IK[row, : len(known)] = [weight for _, weight in known]
    return NeighborTable(rows_IK=rows_IK, weights_IK=weights_IK)


def empty_catalogue(*, behaviors: BehaviorSet, decay_per_day_H: FloatArray) -> Catalogue:
    """A catalogue of no items."""
    nothing = np.zeros((1, 0), dtype=np.int64)
    return Catalogue(
        item_ids=(),
        entries=(),
        content=ContentColumns(
            prices_X=np.zeros(0),
            publish_times_X=np.zeros(0),
            expire_times_X=np.zeros(0),
            tokens_TX=nothing,
            given_TX=nothing,
            num_tokens=1,
        ),
        vocabulary=Vocabulary(),
        showable_I=np.zeros(0, dtype=np.bool_),
        out_of_stock_I=np.zeros(0, dtype=np.bool_),
        counts_IHB=np.zeros((0, len(decay_per_day_H), len(behaviors))),
        reference_times_I=np.zeros(0),
        decay_per_day_H=decay_per_day_H,
        weights_B=behaviors.weights_B,
        index=None,
        embedded_I=np.zeros(0, dtype=np.bool_),
        modality_weights={},
        neighbors=None,
    )
