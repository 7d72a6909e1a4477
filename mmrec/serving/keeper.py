"""Updates a replica's catalogue: one thread calls it, and all requests read `catalogue`.

    keeper.load(stored, entries)            a release's collection
    keeper.take(updates)                    records of item-embeddings: new, changed, hidden, removed items
    keeper.refresh_statistics(store, ids)   decayed counts from the feature store
    keeper.refresh_neighbors(store, ids)    neighbors from the feature store
    keeper.publish()                        the next Catalogue, if anything changed

A changed item costs one pass over all items in publish(): about 10 ms for 1,000 items, 0.2 s for 20,000 and 2 s for
100,000 on one slow core, while requests go on. In return, requests only index arrays. Up to about 50,000 items that is
a good trade; a catalogue of millions needs a collection that is searched outside the process.

Axes: I items, H half-lives, B behaviors, D embedding.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import Availability, CatalogEntry
from mmrec.content.matrix import ContentMatrix, content_matrix
from mmrec.features.item_columns import Vocabulary, content_columns
from mmrec.features.ports import ItemViewReader
from mmrec.features.values import Neighbors
from mmrec.index.faiss_index import serving_index
from mmrec.index.vectors import WEIGHT_FIELD, StoredVectors
from mmrec.recall.catalogue import Catalogue, FloatArray, NeighborTable, empty_catalogue, neighbor_table
from mmrec.scoring.behaviors import BehaviorSet
from mmrec.scoring.profile import NEVER_S, align_behaviors
from mmrec.serving.item_record import ItemUpdate

Float32Array = npt.NDArray[np.float32]


class ItemTower(Protocol):
    """Makes an embedding from an item's content; mmrec.models.bundle.ModelBundle is one."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def encoders(self) -> Mapping[str, str]: ...
    @property
    def content_dims(self) -> Mapping[str, int]: ...
    def item_embeddings(self, content: ContentMatrix) -> Float32Array: ...
    def modality_weights(self, content: ContentMatrix) -> dict[str, Float32Array]: ...


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
        self._rates_H = decay_per_day_H
        self._entries: dict[str, CatalogEntry | None] = {}
        """In order of rows; None for items that were removed."""
        self._vectors: dict[str, Float32Array] = {}
        self._shares: dict[str, dict[str, float]] = {}
        self._counts_IHB = np.zeros((0, len(decay_per_day_H), len(behaviors)))
        """By row, with room for items to come."""
        self._references_I = np.zeros(0)
        self._row_of: dict[str, int] = {}
        self._neighbors: dict[str, Neighbors] = {}
        self._new_lists: set[str] = set()
        """Items whose neighbors changed since the last publish()."""
        self._naming: dict[str, set[str]] = {}
        """Item that is not known yet -> items whose neighbors name it."""
        self._bare: set[str] = set()
        """Items that were named somewhere but never described."""
        self._is_catalogued = False
        self._vocabulary = Vocabulary()
        self._changed = self._items_changed = True
        self.num_unusable_vectors = 0
        """Vectors that the release cannot use: another encoder, another width, or no finite embedding."""
        self.catalogue: Catalogue = empty_catalogue(behaviors=behaviors, decay_per_day_H=decay_per_day_H)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All items ever seen, by row."""
        return tuple(self._entries)

    def weigh(self, behaviors: BehaviorSet) -> None:
        """Use other weights for the same behaviors; popularity is computed again with them."""
        if behaviors != self._behaviors:
            self._behaviors = behaviors
            self._changed = True

    def load(self, stored: StoredVectors, entries: Mapping[str, CatalogEntry]) -> None:
        """Add a collection; items without a stored entry have only an id and a title."""
        titles = stored.fields.get("title", ("",) * len(stored.item_ids))
        shares = {n.removeprefix(WEIGHT_FIELD): v for n, v in stored.fields.items() if n.startswith(WEIGHT_FIELD)}
        for row, item_id in enumerate(stored.item_ids):
            entry = entries.get(item_id) or CatalogEntry(item_id=item_id, title=titles[row])
            self._entries[item_id] = self._as_trusted(entry)
            self._vectors[item_id] = stored.vectors_ID[row]
            self._shares[item_id] = {name: float(values[row] or 0.0) for name, values in shares.items()}
        self._is_catalogued = self._is_catalogued or bool(stored.item_ids)
        self._changed = self._items_changed = True

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
        self._is_catalogued = self._is_catalogued or bool(entries)
        for item_id in self.undescribed(item_ids):
            entry = entries.get(item_id)
            if entry is None and (self._is_catalogued or item_id in self._bare):
                continue
            self._entries[item_id] = self._as_trusted(entry or CatalogEntry(item_id=item_id))
            (self._bare.discard if entry else self._bare.add)(item_id)
            self._changed = self._items_changed = True

    def take(self, updates: Sequence[ItemUpdate]) -> None:
        """Apply updates in order; new content goes through the item tower at once (METHODS M27)."""
        fresh: dict[str, ItemUpdate] = {}
        for update in updates:
            self._entries[update.item_id] = update.entry and self._as_trusted(update.entry)
            self._bare.discard(update.item_id)
            fresh[update.item_id] = update
            self._is_catalogued = self._is_catalogued or update.entry is not None
            self._changed = self._items_changed = True
        if self._tower is None or not fresh:
            return
        accepted = self._tower.encoders
        embedded = [
            (item_id, vectors)
            for item_id, update in fresh.items()
            if update.entry is not None and (vectors := self._usable(update, accepted))
        ]
        if not embedded:
            return
        dims = {name: len(vector) for _, vectors in embedded for name, vector in vectors.items()}
        content = content_matrix(
            [item_id for item_id, _ in embedded],
            {name: {item_id: v[name] for item_id, v in embedded if name in v} for name in dims},
            embedding_dims=dims,
            encoders={name: accepted[name] for name in dims},
        )
        vectors_ID = self._tower.item_embeddings(content)
        weights = self._tower.modality_weights(content)
        finite_I = np.isfinite(vectors_ID).all(axis=1)
        self.num_unusable_vectors += int((~finite_I).sum())
        for row in np.flatnonzero(finite_I).tolist():
            item_id = embedded[row][0]
            self._vectors[item_id] = vectors_ID[row]
            self._shares[item_id] = {name: float(share[row]) for name, share in weights.items()}

    def _usable(self, update: ItemUpdate, accepted: Mapping[str, str]) -> dict[str, Float32Array]:
        dims = self._tower.content_dims if self._tower is not None else {}
        usable = {
            name: vector
            for name, vector in update.vectors.items()
            if accepted.get(name) == update.encoders.get(name) and len(vector) == dims.get(name)
        }
        self.num_unusable_vectors += len(update.vectors) - len(usable)
        return usable

    def refresh_statistics(self, store: ItemViewReader, item_ids: Sequence[str]) -> None:
        """Read decayed counts of some items again."""
        self._make_room()
        for item_id, statistics in store.read_item_statistics(item_ids).items():
            counts_HB = align_behaviors(statistics.counts_HB, statistics.behavior_ids_B, self._behaviors)
            row = self._row_of.get(item_id)
            if row is None or counts_HB.shape != self._counts_IHB.shape[1:]:
                continue
            same_time = self._references_I[row] == statistics.reference_time_s
            if not (same_time and np.array_equal(self._counts_IHB[row], counts_HB)):
                self._counts_IHB[row] = counts_HB
                self._references_I[row] = statistics.reference_time_s
                self._changed = True

    def refresh_neighbors(self, store: ItemViewReader, item_ids: Sequence[str]) -> None:
        """Read neighbors of some items again."""
        for item_id, neighbors in store.read_neighbors(item_ids).items():
            known = self._neighbors.get(item_id)
            if known is None or known.built_time_s != neighbors.built_time_s:
                self._neighbors[item_id] = neighbors
                self._new_lists.add(item_id)
                self._changed = True

    def _make_room(self) -> None:
        """Make rows for new items; the room doubles, so that adding one by one stays cheap."""
        for item_id in islice(self._entries, len(self._row_of), None):
            self._row_of[item_id] = len(self._row_of)
        missing = len(self._row_of) - len(self._references_I)
        if missing > 0:
            more = max(missing, len(self._references_I))
            shape = (more, len(self._rates_H), len(self._behaviors))
            self._counts_IHB = np.concatenate([self._counts_IHB, np.zeros(shape)])
            self._references_I = np.concatenate([self._references_I, np.full(more, NEVER_S)])

    def publish(self) -> bool:
        """Make the next Catalogue if anything changed since the last one."""
        if not self._changed:
            return False
        ids, before = self.item_ids, self.catalogue
        entries, showable_I, columns = before.entries, before.showable_I, before.content
        index, embedded_I, shares = before.index, before.embedded_I, before.modality_weights
        if self._items_changed:
            unlisted = self._bare if self._is_catalogued else frozenset()
            entries = tuple(e if e and i not in unlisted else _hidden(i) for i, e in self._entries.items())
            showable_I = np.array([entry.availability.can_be_shown for entry in entries], dtype=np.bool_)
            columns = content_columns(entries, vocabulary=self._vocabulary)
            embedded_I = np.array([item_id in self._vectors for item_id in ids], dtype=np.bool_)
            if self._tower is not None:
                nothing = np.zeros(self._tower.embedding_dim, dtype=np.float32)
                rows = [self._vectors.get(item_id, nothing) for item_id in ids]
                index = serving_index(ids, np.array(rows, dtype=np.float32).reshape(len(ids), -1))
            names = sorted({name for share in self._shares.values() for name in share})
            shares = {n: np.array([self._shares.get(i, {}).get(n, 0.0) for i in ids], dtype=np.float32) for n in names}
        self._make_room()
        self.catalogue = Catalogue(
            item_ids=ids,
            entries=entries,
            content=columns,
            vocabulary=self._vocabulary,
            showable_I=showable_I,
            counts_IHB=self._counts_IHB[: len(ids)].copy(),
            reference_times_I=self._references_I[: len(ids)].copy(),
            decay_per_day_H=self._rates_H,
            weights_B=self._behaviors.weights_B,
            index=index,
            embedded_I=embedded_I,
            modality_weights=shares,
            neighbors=self._next_neighbors(before, ids),
        )
        # Computed now, in this thread, rather than in the first request.
        _ = self.catalogue.row_of, self.catalogue.popular_rows_I
        self._changed = self._items_changed = False
        return True

    def _next_neighbors(self, before: Catalogue, ids: tuple[str, ...]) -> NeighborTable | None:
        """The table with the lists that changed, and with those that name an item that is known only now."""
        for item_id in ids[len(before.item_ids) :]:
            self._new_lists |= self._naming.pop(item_id, set())
        if not self._neighbors or (not self._new_lists and len(ids) == len(before.item_ids)):
            return before.neighbors
        lists = {i: (self._neighbors[i].item_ids, self._neighbors[i].weights_K.tolist()) for i in self._new_lists}
        for item_id, (others, _) in lists.items():
            for other in others:
                if other not in self._row_of:
                    self._naming.setdefault(other, set()).add(item_id)
        self._new_lists = set()
        return neighbor_table(ids, lists, before=before.neighbors)


def _hidden(item_id: str) -> CatalogEntry:
    return CatalogEntry(item_id=item_id, availability=Availability.HIDDEN)
