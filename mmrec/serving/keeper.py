"""Updates a replica's catalogue: one thread calls it, and all requests read `catalogue`.

    keeper.load(stored, entries)            a release's collection
    keeper.take(updates)                    records of item-embeddings: new, changed, hidden, removed items
    keeper.refresh_statistics(store, ids)   decayed counts from the feature store
    keeper.refresh_neighbors(store, ids)    neighbors from the feature store
    keeper.publish()                        the next Catalogue, if anything changed

publish() costs as much as what changed, and a copy of each column in which an existing item changed (ItemTable): some
milliseconds for 20,000 items. In return, requests only index arrays. A catalogue of millions needs a collection that is
searched outside the process.

Axes: I items, N changed ones, H half-lives, B behaviors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.features.ports import ItemViewReader
from mmrec.features.values import Neighbors
from mmrec.index.vectors import WEIGHT_FIELD, StoredVectors
from mmrec.recall.catalogue import Catalogue, FloatArray, rows_of
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import align_behaviors
from mmrec.serving.embedded_updates import ItemTower, embed_updates
from mmrec.serving.item_record import ItemUpdate
from mmrec.serving.item_table import ItemTable


class CatalogueKeeper:
    """The side of a catalogue that changes. For one thread only; the catalogues it publishes are for all."""

    def __init__(
        self,
        *,
        behaviors: BehaviorSet,
        decay_per_day_H: FloatArray,
        tower: ItemTower | None = None,
        trusts_inferred: bool = False,
    ) -> None:
        """A keeper of nothing yet.

        Args:
            trusts_inferred: Filters match inferred attributes and lists show them, as if they had been given.
        """
        self._behaviors, self._trusts_inferred = behaviors, trusts_inferred
        self._tower = tower
        self._table = ItemTable(
            behaviors=behaviors,
            decay_per_day_H=decay_per_day_H,
            embedding_dim=tower.embedding_dim if tower is not None else None,
        )
        self._entries: dict[str, CatalogEntry | None] = {}
        """In order of rows; None for items that were removed."""
        self._new_entries: set[str] = set()
        """Items that are to be shown otherwise since the last publish()."""
        self._neighbors: dict[str, Neighbors] = {}
        self._new_lists: set[str] = set()
        """Items whose neighbors changed since the last publish()."""
        self._naming: dict[str, set[str]] = {}
        """Item that is not known yet -> items whose neighbors name it."""
        self._bare: set[str] = set()
        """Items that were named somewhere but never described."""
        self._is_catalogued = False
        self._changed = True
        self.num_unusable_vectors = 0
        """Vectors that the release cannot use: another encoder, fingerprint or width, or no finite embedding."""
        self.catalogue: Catalogue = self._table.snapshot(weights_B=behaviors.weights_B)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All items ever seen, by row."""
        return self._table.item_ids

    def weigh(self, behaviors: BehaviorSet) -> None:
        """Use other weights for the same behaviors; popularity is computed again with them."""
        if behaviors != self._behaviors:
            self._behaviors = behaviors
            self._changed = True

    def load(self, stored: StoredVectors, entries: Mapping[str, CatalogEntry]) -> None:
        """Add a collection; items without a stored entry have only an id and a title."""
        titles = stored.fields.get("title", ("",) * len(stored.item_ids))
        for item_id, title in zip(stored.item_ids, titles, strict=True):
            self._describe(item_id, entries.get(item_id) or CatalogEntry(item_id=item_id, title=title))
        shares = {
            name.removeprefix(WEIGHT_FIELD): np.array([float(share or 0.0) for share in values], dtype=np.float32)
            for name, values in stored.fields.items()
            if name.startswith(WEIGHT_FIELD)
        }
        if stored.item_ids:
            embedded_I = stored.vectors_ID.any(axis=1)
            self._table.put_vectors(
                rows_of(self._table.row_of, stored.item_ids)[embedded_I],
                stored.vectors_ID[embedded_I],
                {name: share[embedded_I] for name, share in shares.items()},
            )
            self._catalogued()
        self._changed = True

    def _describe(self, item_id: str, entry: CatalogEntry | None) -> None:
        """Take an item's entry over into the next catalogue."""
        self._entries[item_id] = entry and self._as_trusted(entry)
        self._table.row(item_id)
        self._new_entries.add(item_id)
        self._changed = True

    def _catalogued(self) -> None:
        """From the first described item on, those that are only named are not listed."""
        if not self._is_catalogued:
            self._is_catalogued = True
            self._new_entries |= self._bare

    def _as_trusted(self, entry: CatalogEntry) -> CatalogEntry:
        trusts = self._trusts_inferred and entry.inferred_attributes
        return replace(entry, inferred_attributes={}) if trusts else entry

    def undescribed(self, item_ids: Iterable[str]) -> list[str]:
        """Those of `item_ids` that no collection, record or entry described yet."""
        return [item_id for item_id in item_ids if item_id not in self._entries or item_id in self._bare]

    def introduce(self, item_ids: Iterable[str], entries: Mapping[str, CatalogEntry]) -> None:
        """Add items that are only known by name (from popular lists); those already described stay as they are.

        Anybody may write an event about any id. So an item without an entry is listed only while no item has one: a
        system without a catalogue still answers, and one with a catalogue lists nothing else.
        """
        if entries:
            self._catalogued()
        for item_id in self.undescribed(item_ids):
            entry = entries.get(item_id)
            if entry is None and (self._is_catalogued or item_id in self._bare):
                continue
            (self._bare.discard if entry else self._bare.add)(item_id)
            self._describe(item_id, entry or CatalogEntry(item_id=item_id))

    def take(self, updates: Sequence[ItemUpdate]) -> None:
        """Apply updates in order; new content goes through the item tower at once (METHODS M27)."""
        for update in updates:
            self._bare.discard(update.item_id)
            self._describe(update.item_id, update.entry)
            if update.entry is not None:
                self._catalogued()
        if self._tower is None or not updates:
            return
        embedded = embed_updates(updates, self._tower)
        self.num_unusable_vectors += embedded.num_unusable
        rows_N = rows_of(self._table.row_of, embedded.item_ids)
        self._table.put_vectors(rows_N, embedded.vectors_ND, embedded.modality_weights)

    def refresh_statistics(self, store: ItemViewReader, item_ids: Sequence[str]) -> None:
        """Read decayed counts of some items again."""
        rows, counts, references = [], [], []
        for item_id, statistics in store.read_item_statistics(item_ids).items():
            counts_HB = align_behaviors(statistics.counts_HB, statistics.behavior_ids_B, self._behaviors)
            row = self._table.row_of.get(item_id)
            if row is None or counts_HB.shape != self.catalogue.counts_IHB.shape[1:]:
                continue
            rows.append(row)
            counts.append(counts_HB)
            references.append(statistics.reference_time_s)
        if rows:
            rows_N, references_N = np.array(rows, dtype=np.int64), np.array(references)
            self._changed |= self._table.put_counts(rows_N, np.array(counts), references_N)

    def refresh_neighbors(self, store: ItemViewReader, item_ids: Sequence[str]) -> None:
        """Read neighbors of some items again."""
        for item_id, neighbors in store.read_neighbors(item_ids).items():
            known = self._neighbors.get(item_id)
            if known is None or known.built_time_s != neighbors.built_time_s:
                self._neighbors[item_id] = neighbors
                self._new_lists.add(item_id)
                self._changed = True

    def publish(self) -> bool:
        """Make the next Catalogue if anything changed since the last one."""
        if not self._changed:
            return False
        unlisted = self._bare if self._is_catalogued else frozenset()
        row_of = self._table.row_of
        self._table.put_entries(
            {
                row_of[item_id]: entry if entry and item_id not in unlisted else _hidden(item_id)
                for item_id in self._new_entries
                for entry in [self._entries[item_id]]
            }
        )
        self._put_neighbors()
        self.catalogue = self._table.snapshot(weights_B=self._behaviors.weights_B)
        self._new_entries, self._changed = set(), False
        return True

    def _put_neighbors(self) -> None:
        """Give the table the lists that changed, and those that name an item that is known only now."""
        for item_id in self.item_ids[len(self.catalogue.item_ids) :]:
            self._new_lists |= self._naming.pop(item_id, set())
        row_of = self._table.row_of
        lists = {item_id: self._neighbors[item_id] for item_id in self._new_lists}
        for item_id, neighbors in lists.items():
            for other in neighbors.item_ids:
                if other not in row_of:
                    self._naming.setdefault(other, set()).add(item_id)
        self._table.put_neighbors({row_of[i]: neighbors for i, neighbors in lists.items() if i in row_of})
        self._new_lists = {item_id for item_id in lists if item_id not in row_of}


def _hidden(item_id: str) -> CatalogEntry:
    return CatalogEntry(item_id=item_id, availability=Availability.HIDDEN)
