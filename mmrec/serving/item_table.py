"""The columns of a catalogue while they change: changed items are written into them, and snapshot() gives a Catalogue.

A snapshot costs as much as what changed, and a copy of each column in which an existing item changed
(mmrec.recall.growing): a few milliseconds for 20,000 items. It never changes afterwards. For one thread; snapshots are
for all.

Axes: I items, N changed ones, H half-lives, B behaviors, D embedding, K neighbors, T tokens.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.features.item_columns import NO_TOKEN, ContentColumns, IntArray, Vocabulary, content_columns
from mmrec.features.values import Neighbors
from mmrec.index.faiss_index import changed_index
from mmrec.index.vectors import Float32Array, VectorIndex
from mmrec.recall.catalogue import (
    NO_ROW,
    Catalogue,
    FloatArray,
    NeighborTable,
    RowArray,
    empty_catalogue,
    rows_of,
)
from mmrec.recall.growing import GrowingColumn
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import NEVER_S


class ItemTable:
    """All items by row; rows are never taken away."""

    def __init__(self, *, behaviors: BehaviorSet, decay_per_day_H: FloatArray, embedding_dim: int | None) -> None:
        """An empty table.

        Args:
            embedding_dim: None where there is no tower: snapshots have no index then.
        """
        self._rates_H, self._embedding_dim = decay_per_day_H, embedding_dim
        self.row_of: dict[str, int] = {}
        """Item id -> row, in order of rows."""
        self._ids: tuple[str, ...] = ()
        self._vocabulary = Vocabulary()
        self._entries: list[CatalogEntry] = []
        self._tokens_TI: IntArray = np.zeros((1, 0), dtype=np.int64)
        """Exactly as long as the entries: requests take from it along the items, which copies what has spare room."""
        self._given_TI = self._tokens_TI
        """Without inferred values; the same array while no item has any."""
        self._prices = GrowingColumn(fill=np.nan, dtype=np.float64)
        self._publish_times = GrowingColumn(fill=np.nan, dtype=np.float64)
        self._expire_times = GrowingColumn(fill=np.inf, dtype=np.float64)
        self._showable = GrowingColumn(fill=False, dtype=np.bool_)
        self._out_of_stock = GrowingColumn(fill=False, dtype=np.bool_)
        self._counts = GrowingColumn(fill=0.0, dtype=np.float64, shape=(len(decay_per_day_H), len(behaviors)))
        self._references = GrowingColumn(fill=NEVER_S, dtype=np.float64)
        self._vectors = GrowingColumn(fill=0.0, dtype=np.float32, shape=(embedding_dim or 0,))
        self._embedded = GrowingColumn(fill=False, dtype=np.bool_)
        self._shares: dict[str, GrowingColumn] = {}
        self._neighbor_rows = GrowingColumn(fill=NO_ROW, dtype=np.int32, shape=(0,))
        self._neighbor_weights = GrowingColumn(fill=0.0, dtype=np.float64, shape=(0,))
        self._has_neighbors = False
        self._new_vectors: set[int] = set()
        """Rows whose vectors changed since the last snapshot."""
        self._last = empty_catalogue(behaviors=behaviors, decay_per_day_H=decay_per_day_H)

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All ids, by row."""
        if len(self._ids) != len(self.row_of):
            self._ids = tuple(self.row_of)
        return self._ids

    def row(self, item_id: str) -> int:
        """The row of an item, a new one where it has none; who asks for a new one puts its entry before snapshot()."""
        return self.row_of.setdefault(item_id, len(self.row_of))

    def put_entries(self, entries: Mapping[int, CatalogEntry]) -> None:
        """Replace what is known of items, by row."""
        if not entries:
            return
        rows = np.array(sorted(entries), dtype=np.int64)
        changed = [entries[row] for row in rows.tolist()]
        nothing = CatalogEntry(item_id="-")
        self._entries.extend([nothing] * (len(self.row_of) - len(self._entries)))
        for row, entry in zip(rows.tolist(), changed, strict=True):
            self._entries[row] = entry
        columns = content_columns(changed, vocabulary=self._vocabulary)
        self._prices.put(rows, columns.prices_X)
        self._publish_times.put(rows, columns.publish_times_X)
        self._expire_times.put(rows, columns.expire_times_X)
        self._showable.put(rows, [entry.availability.can_be_shown for entry in changed])
        self._out_of_stock.put(rows, [entry.availability is Availability.OUT_OF_STOCK for entry in changed])
        self._put_tokens(rows, columns)

    def _put_tokens(self, rows_N: RowArray, columns: ContentColumns) -> None:
        num_items = len(self._entries)
        all_given = self._given_TI is self._tokens_TI and columns.given_TX is columns.tokens_TX
        given_TI = None if all_given else _with_tokens(self._given_TI, rows_N, columns.given_TX, num_items)
        self._tokens_TI = _with_tokens(self._tokens_TI, rows_N, columns.tokens_TX, num_items)
        self._given_TI = self._tokens_TI if given_TI is None else given_TI

    def put_vectors(
        self, rows_N: RowArray, vectors_ND: Float32Array, shares: Mapping[str, npt.NDArray[np.floating]]
    ) -> None:
        """Replace embeddings and the shares of modalities in them, shape (N,) each; a modality not named has none."""
        self._embedded.put(rows_N, True)
        for name in shares.keys() - self._shares.keys():
            self._shares[name] = GrowingColumn(fill=0.0, dtype=np.float32)
        for name, column in self._shares.items():
            column.put(rows_N, shares.get(name, 0.0))
        if self._embedding_dim is not None:
            self._vectors.put(rows_N, vectors_ND)
            self._new_vectors.update(rows_N.tolist())

    def put_counts(self, rows_N: RowArray, counts_NHB: FloatArray, references_N: FloatArray) -> bool:
        """Replace decayed counts; whether any differed."""
        differ_N = self._references.at(rows_N) != references_N
        differ_N |= (self._counts.at(rows_N) != counts_NHB).any(axis=(1, 2))
        self._counts.put(rows_N[differ_N], counts_NHB[differ_N])
        self._references.put(rows_N[differ_N], references_N[differ_N])
        return bool(differ_N.any())

    def put_neighbors(self, lists: Mapping[int, Neighbors]) -> None:
        """Replace neighbors, by row; those that are no item of the table are left out."""
        if not lists:
            return
        self._has_neighbors = True
        rows = np.array(list(lists), dtype=np.int64)
        width = max(self._neighbor_rows.shape[0], *(len(each.item_ids) for each in lists.values()))
        self._neighbor_rows.widen((width,))
        self._neighbor_weights.widen((width,))
        rows_NK = np.full((len(rows), width), NO_ROW, dtype=np.int32)
        weights_NK = np.zeros((len(rows), width))
        for number, each in enumerate(lists.values()):
            others = rows_of(self.row_of, each.item_ids)
            known = others != NO_ROW
            rows_NK[number, : known.sum()] = others[known]
            weights_NK[number, : known.sum()] = np.asarray(each.weights_K)[known]
        self._neighbor_rows.put(rows, rows_NK)
        self._neighbor_weights.put(rows, weights_NK)

    def snapshot(self, *, weights_B: FloatArray) -> Catalogue:
        """The table as it is now, for requests."""
        ids, before, num_items = self.item_ids, self._last, len(self.row_of)
        assert len(self._entries) == num_items, "a row without an entry; put_entries() of every new row first"
        catalogue = Catalogue(
            item_ids=ids,
            entries=tuple(self._entries),
            content=ContentColumns(
                prices_X=self._prices.view(num_items),
                publish_times_X=self._publish_times.view(num_items),
                expire_times_X=self._expire_times.view(num_items),
                tokens_TX=self._tokens_TI,
                given_TX=self._given_TI,
                num_tokens=1 + len(self._vocabulary),
            ),
            vocabulary=self._vocabulary,
            showable_I=self._showable.view(num_items),
            out_of_stock_I=self._out_of_stock.view(num_items),
            counts_IHB=self._counts.view(num_items),
            reference_times_I=self._references.view(num_items),
            decay_per_day_H=self._rates_H,
            weights_B=weights_B,
            index=self._next_index(),
            embedded_I=self._embedded.view(num_items),
            modality_weights={name: column.view(num_items) for name, column in sorted(self._shares.items())},
            neighbors=NeighborTable(
                rows_IK=self._neighbor_rows.view(num_items), weights_IK=self._neighbor_weights.view(num_items)
            )
            if self._has_neighbors
            else None,
        )
        catalogue.prepare(before)
        self._last = catalogue
        self._new_vectors = set()
        return catalogue

    def _next_index(self) -> VectorIndex | None:
        if self._embedding_dim is None:
            return None
        num_before = len(self._last.item_ids)
        changed = self._new_vectors.union(range(num_before, len(self.row_of)))
        if not changed and self._last.index is not None:
            return self._last.index
        return changed_index(
            self._last.index,
            self.item_ids,
            self._vectors.view(len(self.row_of)),
            changed_rows=np.array(sorted(changed), dtype=np.int64),
        )


def _with_tokens(before_TI: IntArray, rows_N: RowArray, tokens_TN: IntArray, num_items: int) -> IntArray:
    """Tokens of `num_items` items, those of some rows replaced; the last line is the domain."""
    num_values, num_kept = len(tokens_TN) - 1, before_TI.shape[1]
    tokens_TI = np.full((max(len(before_TI), len(tokens_TN)), num_items), NO_TOKEN, dtype=np.int64)
    tokens_TI[: len(before_TI) - 1, :num_kept] = before_TI[:-1]
    tokens_TI[-1, :num_kept] = before_TI[-1]
    tokens_TI[:-1, rows_N] = NO_TOKEN
    tokens_TI[:num_values, rows_N] = tokens_TN[:-1]
    tokens_TI[-1, rows_N] = tokens_TN[-1]
    return tokens_TI
