"""What a replica searches: the words and raw vectors of all items, from the topic of embeddings as it comes.

    content.introduce(entries)       items that a release or popular lists name: their words, until a record comes
    content.backfill(updates)        records of the past, in the background: whatever has changed since is left alone
    content.take(updates)            new records: found by the next search
    content.find(parts, catalogue, allowed_I, num_candidates)

A release's collection holds embeddings of the item tower alone, so what is searched does not depend on releases and
outlives them. Where there is an alignment (METHODS M19), texts and pictures are kept in its space, in which either
finds the other; else each is compared with its own kind. Axes: I items of the catalogue, R rows of the search index.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogEntry
from mmrec.content.query_encoder import EncodedQuery
from mmrec.recall.catalogue import NO_ROW, BoolArray, Catalogue, RowArray
from mmrec.search.index import FoundItems, SearchIndex
from mmrec.search.lexical import ItemText
from mmrec.search.query import MeantVector, QueryPart, own_meaning
from mmrec.serving.item_record import ItemUpdate

Float32Array = npt.NDArray[np.float32]


class Aligns(Protocol):
    """Brings vectors of several modalities into one space; mmrec.content.alignment.AlignmentModel is one."""

    @property
    def encoders(self) -> Mapping[str, str]:
        """Modality -> name of the encoder whose vectors it reads."""
        ...

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Modality -> fingerprint of that encoder; left out where it has none."""
        ...

    def embed(self, modality: str, vectors_NX: Float32Array) -> Float32Array:
        """Unit vectors, shape (N, D)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedAlignment:
    """An alignment, and what tells it from others: vectors of two alignments are not compared."""

    model: Aligns
    name: str


class SearchContent:
    """For any number of threads."""

    def __init__(self, *, alignment: NamedAlignment | None = None, cleaning: str = "none") -> None:
        """Start empty.

        Args:
            cleaning: Name of the text cleaning that items are encoded with; texts of queries get it, too.
        """
        self.index, self.cleaning = SearchIndex(), cleaning
        self._alignment = alignment
        self._fresh: set[str] | None = set()
        """Items whose newest record was taken; None once the past is there."""
        self._rows_R: RowArray = np.zeros(0, dtype=np.int64)
        self._catalogue_ids: tuple[str, ...] = ()
        self._order = threading.Lock()
        self._lock = threading.Lock()
        self.num_backfilled = 0

    def introduce(self, entries: Iterable[CatalogEntry]) -> None:
        """Make items findable by title and attributes of which no record has come yet."""
        for entry in entries:
            if (entry.title or entry.attributes) and not self.index.knows(entry.item_id):
                self.index.introduce(entry.item_id, ItemText(title=entry.title, attributes=entry.attributes))

    def take(self, updates: Sequence[ItemUpdate]) -> None:
        """Apply new records in order; each costs its words and vectors."""
        for update in updates:
            with self._order:
                if self._fresh is not None:
                    self._fresh.add(update.item_id)
                self._put(update)

    def backfill(self, updates: Sequence[ItemUpdate]) -> None:
        """Apply records of the past in order, but for items that a new record has come of."""
        for update in updates:
            with self._order:  # or a record that is taken between look and put would be lost
                if self._fresh is None or update.item_id not in self._fresh:
                    self._put(update)
        self.num_backfilled += len(updates)

    def backfilled(self) -> None:
        """Say that the past is there."""
        self._fresh = None

    @property
    def is_backfilled(self) -> bool:
        """Whether the past is there."""
        return self._fresh is None

    def backfilling(self) -> None:
        """Say that the past is about to come, also where it was thought to be there."""
        if self._fresh is None:
            self._fresh = set()

    def _put(self, update: ItemUpdate) -> None:
        if update.entry is None:
            self.index.remove(update.item_id)
            return
        entry = update.entry
        text = ItemText(title=entry.title, description=update.description, attributes=entry.attributes)
        vectors = {
            modality: self._meant(
                modality, update.encoders.get(modality, ""), update.fingerprints.get(modality, ""), values_D
            )
            for modality, values_D in update.vectors.items()
        }
        self.index.put(update.item_id, text, vectors)

    def meant(self, encoded: EncodedQuery) -> MeantVector:
        """A query's vector, as items' vectors are kept."""
        return self._meant(encoded.modality, encoded.encoder, encoded.fingerprint, encoded.values_D)

    def _meant(self, modality: str, encoder: str, fingerprint: str, values_D: Float32Array) -> MeantVector:
        alignment = self._alignment
        if alignment is not None and alignment.model.encoders.get(modality) == encoder:
            expected = alignment.model.fingerprints.get(modality, "")
            if not expected or expected == fingerprint:
                aligned_D = alignment.model.embed(modality, values_D[None])[0]
                return MeantVector(meaning=f"aligned/{alignment.name}", values_D=aligned_D)
        return MeantVector(meaning=own_meaning(modality, encoder, fingerprint), values_D=values_D)

    def is_comparable(self, vector: MeantVector) -> bool:
        """Whether any item has a vector that a query's may be compared with."""
        return any(vector.meaning in meanings for meanings in self.index.num_vectors().values())

    def find(
        self, parts: Sequence[QueryPart], catalogue: Catalogue, *, allowed_I: BoolArray, num_candidates: int
    ) -> tuple[FoundItems, RowArray]:
        """What is found among the allowed items, and the catalogue's row of each.

        Args:
            allowed_I: By row of the catalogue.
        """
        rows_R = self._catalogue_rows(catalogue)
        allowed_R = np.zeros(len(rows_R), dtype=np.bool_)
        known_R = rows_R != NO_ROW
        allowed_R[known_R] = allowed_I[rows_R[known_R]]
        found = self.index.find(parts, allowed_I=allowed_R, num_candidates=num_candidates)
        return found, rows_R[found.rows_N]

    def _catalogue_rows(self, catalogue: Catalogue) -> RowArray:
        """Row in the catalogue by row of the index, NO_ROW for items that the catalogue does not have (yet)."""
        with self._lock:
            before, ids = self._catalogue_ids, catalogue.item_ids
            num_known = len(self._rows_R)
            if ids is before and num_known == self.index.num_rows:
                return self._rows_R
            new_ids = self.index.item_ids(num_known)
            row_of = catalogue.row_of
            if ids is before or ids[: len(before)] == before:
                rows_R = np.concatenate([self._rows_R, np.full(len(new_ids), NO_ROW, dtype=np.int64)])
                missing = (rows_R == NO_ROW).nonzero()[0]
                item_ids = self.index.item_ids()
                rows_R[missing] = [row_of.get(item_ids[row], NO_ROW) for row in missing.tolist()]
            else:
                rows_R = catalogue.rows(self.index.item_ids())
            self._rows_R, self._catalogue_ids = rows_R, ids
            return rows_R
