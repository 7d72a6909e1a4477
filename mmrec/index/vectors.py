"""Item embeddings: search inside a replica, and the store that keeps a release's vectors.

Two ports, each with its reference implementation here: VectorIndex (ExactIndex, the plain matrix product; FaissIndex
is the fast one) and VectorStore (MemoryVectorStore; Milvus is the real one). Scores are inner products; towers give
unit vectors, so they are cosines.

Axes: I items, D embedding, Q queries, K results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mmrec.errors import InvalidRequestError, NotFoundError

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
MAX_ITEM_ID_BYTES = 1_024
"""Of an item id in a collection, in UTF-8; four times what the doors let in."""
NO_ROW = -1
"""Fills up results where fewer items than asked for exist."""
WEIGHT_FIELD = "modality_weight_"
"""Text columns of a collection that begin so hold the share of one modality."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchResult:
    """The best K items of each query, best first."""

    rows_QK: npt.NDArray[np.int64]
    """Rows of the index, NO_ROW beyond the last hit."""
    scores_QK: Float32Array
    """Inner products, -inf beyond the last hit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorQuery:
    """Arguments of one search."""

    queries_QD: Float32Array
    num_results: int
    allowed_I: BoolArray


class VectorIndex(Protocol):
    """Search over one fixed set of item embeddings."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids by row."""
        ...

    @property
    def vectors_ID(self) -> Float32Array:
        """Embeddings by row."""
        ...

    def search(self, queries_QD: Float32Array, *, num_results: int, allowed_I: BoolArray | None = None) -> SearchResult:
        """The best items of each query among the allowed ones; equal scores are ordered by row where exact."""
        ...


class ExactIndex:
    """Every inner product, then the best: the reference."""

    def __init__(self, item_ids: Sequence[str], vectors_ID: Float32Array) -> None:
        self.item_ids = tuple(item_ids)
        self.vectors_ID = checked_vectors(self.item_ids, vectors_ID)

    @classmethod
    def of_checked(cls, item_ids: tuple[str, ...], vectors_ID: Float32Array) -> "ExactIndex":
        """An index of items that checked_vectors() would take, for callers who know that it would."""
        index = cls.__new__(cls)
        index.item_ids, index.vectors_ID = item_ids, vectors_ID
        return index

    def search(self, queries_QD: Float32Array, *, num_results: int, allowed_I: BoolArray | None = None) -> SearchResult:
        """See VectorIndex."""
        scores_QI = np.asarray(queries_QD, dtype=np.float32) @ self.vectors_ID.T
        if allowed_I is not None:
            scores_QI = np.where(allowed_I, scores_QI, np.float32(-np.inf))
        rows_QK = np.full((len(scores_QI), num_results), NO_ROW, dtype=np.int64)
        scores_QK = np.full((len(scores_QI), num_results), -np.inf, dtype=np.float32)
        for query, scores_I in enumerate(scores_QI):
            rows = best_positions(scores_I, num_results)
            rows_QK[query, : len(rows)] = rows
            scores_QK[query, : len(rows)] = scores_I[rows]
        rows_QK[np.isneginf(scores_QK)] = NO_ROW
        return SearchResult(rows_QK=rows_QK, scores_QK=scores_QK)


def best_positions(scores_I: npt.NDArray[np.floating], num_results: int) -> npt.NDArray[np.int64]:
    """Positions of the best scores, best first, at most `num_results`; equal scores in the order they stand in."""
    if len(scores_I) <= num_results:
        whole: npt.NDArray[np.int64] = (-scores_I).argsort(kind="stable")
        return whole
    last = np.partition(scores_I, -num_results)[-num_results]
    kept: npt.NDArray[np.int64] = (scores_I >= last).nonzero()[0]  # more than num_results where several are the last
    return kept[(-scores_I[kept]).argsort(kind="stable")][:num_results]


def checked_vectors(item_ids: Sequence[str], vectors_ID: Float32Array) -> Float32Array:
    """Contiguous float32 vectors that fit the ids; InvalidRequestError otherwise."""
    vectors_ID = np.ascontiguousarray(vectors_ID, dtype=np.float32)
    if vectors_ID.ndim != 2 or len(vectors_ID) != len(item_ids):
        raise InvalidRequestError(f"{len(item_ids)} items do not fit vectors of shape {vectors_ID.shape}; give (I, D)")
    if not np.isfinite(vectors_ID).all():
        raise InvalidRequestError("vectors hold NaN or infinity; embeddings are finite")
    if len(set(item_ids)) != len(item_ids):
        raise InvalidRequestError("item ids repeat; give each item one vector")
    return vectors_ID


def checked_collection(item_ids: Sequence[str], vectors_ID: Float32Array) -> Float32Array:
    """Vectors that may become a collection; InvalidRequestError, also for an id longer than MAX_ITEM_ID_BYTES."""
    for item_id in item_ids:
        if len(item_id) * 4 > MAX_ITEM_ID_BYTES and (length := len(item_id.encode("utf-8"))) > MAX_ITEM_ID_BYTES:
            raise InvalidRequestError(
                f"item id {item_id[:40]!r}... has {length} bytes; a collection takes at most {MAX_ITEM_ID_BYTES}"
            )
    return checked_vectors(item_ids, vectors_ID)


def checked_additions(
    name: str, item_ids: Sequence[str], vectors_ID: Float32Array, *, embedding_dim: int
) -> Float32Array:
    """Vectors that may come into a collection of vectors of `embedding_dim` numbers; InvalidRequestError otherwise."""
    vectors_ID = checked_collection(item_ids, vectors_ID)
    if vectors_ID.shape[1] != embedding_dim:
        raise InvalidRequestError(
            f"vectors of {vectors_ID.shape[1]} numbers do not fit collection {name!r}, whose vectors have "
            f"{embedding_dim}; they are of another release"
        )
    return vectors_ID


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredVectors:
    """One collection as it was written."""

    item_ids: tuple[str, ...]
    vectors_ID: Float32Array
    """Zeros where an item has no embedding."""
    fields: dict[str, tuple[str, ...]]
    """Text columns by name, aligned to item_ids."""


class VectorStore(Protocol):
    """Named collections of item embeddings, and aliases that point at one of them."""

    def create_collection(
        self,
        name: str,
        item_ids: Sequence[str],
        vectors_ID: Float32Array,
        fields: Mapping[str, Sequence[str]],
        *,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a whole collection; one of the same name is replaced.

        Any text is an id: quotes, backslashes and ids that differ only in case or normalization included.

        Args:
            fields: Text columns by name, aligned to item_ids.
            description: What the collection is, as JSON can say it; describe() gives it back.

        Raises:
            InvalidRequestError: ids repeat or are too long, or vectors do not fit them or are not finite.
        """
        ...

    def describe(self, name: str) -> dict[str, Any]:
        """The description a collection was made with, empty where it has none; NotFoundError where there is none."""
        ...

    def upsert(
        self, name: str, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """Add items to a collection, or replace them; the same again changes nothing.

        One process at a time writes into a collection; others may load and search it meanwhile.

        Args:
            fields: Those the collection does not have are left out, those it has and that are not given are empty.

        Raises:
            InvalidRequestError: as create_collection(), or vectors of another width than the collection's.
            NotFoundError: there is no such collection.
            StoreError: an engine failed; some of the items may be there. Writing them again completes it.
        """
        ...

    def delete(self, name: str, item_ids: Sequence[str]) -> None:
        """Take items out of a collection; those it does not have are ignored. Raises as upsert()."""
        ...

    def load(self, name: str) -> StoredVectors:
        """A whole collection, by its name or an alias, in ascending order of ids.

        Raises:
            NotFoundError: there is none.
            StoreError: not all of it came back; a part of a collection is never returned.
        """
        ...

    def search(self, name: str, queries_QD: Float32Array, *, num_results: int) -> list[list[tuple[str, float]]]:
        """(item id, inner product) of the best items of each query, best first."""
        ...

    def point_alias(self, alias: str, name: str) -> None:
        """Let `alias` mean the collection `name`, from one instant to the next."""
        ...

    def drop(self, name: str) -> None:
        """Forget a collection; nothing happens where there is none."""
        ...

    def collections(self) -> tuple[str, ...]:
        """Names, ascending."""
        ...


class MemoryVectorStore:
    """The reference: collections in a dictionary, exact search."""

    def __init__(self) -> None:
        self._collections: dict[str, StoredVectors] = {}
        self._descriptions: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}

    def create_collection(
        self,
        name: str,
        item_ids: Sequence[str],
        vectors_ID: Float32Array,
        fields: Mapping[str, Sequence[str]],
        *,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        """See VectorStore."""
        vectors_ID = checked_collection(item_ids, vectors_ID)
        self._descriptions[name] = dict(description or {})
        order = sorted(range(len(item_ids)), key=lambda row: item_ids[row])
        self._collections[name] = StoredVectors(
            item_ids=tuple(item_ids[row] for row in order),
            vectors_ID=vectors_ID[order],
            fields={field: tuple(values[row] for row in order) for field, values in fields.items()},
        )

    def describe(self, name: str) -> dict[str, Any]:
        """See VectorStore."""
        self.load(name)
        return dict(self._descriptions.get(self._aliases.get(name, name), {}))

    def upsert(
        self, name: str, item_ids: Sequence[str], vectors_ID: Float32Array, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """See VectorStore."""
        vectors_ID = checked_additions(name, item_ids, vectors_ID, embedding_dim=self.load(name).vectors_ID.shape[1])
        self.delete(name, item_ids)
        kept = self.load(name)
        empty = ("",) * len(item_ids)
        self.create_collection(
            self._aliases.get(name, name),
            (*kept.item_ids, *item_ids),
            np.concatenate([kept.vectors_ID, vectors_ID]),
            {field: (*values, *fields.get(field, empty)) for field, values in kept.fields.items()},
            description=self.describe(name),
        )

    def delete(self, name: str, item_ids: Sequence[str]) -> None:
        """See VectorStore."""
        stored, gone = self.load(name), set(item_ids)
        rows = [row for row, item_id in enumerate(stored.item_ids) if item_id not in gone]
        self._collections[self._aliases.get(name, name)] = replace(
            stored,
            item_ids=tuple(stored.item_ids[row] for row in rows),
            vectors_ID=stored.vectors_ID[rows],
            fields={field: tuple(values[row] for row in rows) for field, values in stored.fields.items()},
        )

    def load(self, name: str) -> StoredVectors:
        """See VectorStore."""
        try:
            return self._collections[self._aliases.get(name, name)]
        except KeyError:
            raise NotFoundError(
                f"no collection {name!r}; there are {', '.join(self.collections()) or 'none'}"
            ) from None

    def search(self, name: str, queries_QD: Float32Array, *, num_results: int) -> list[list[tuple[str, float]]]:
        """See VectorStore."""
        stored = self.load(name)
        found = ExactIndex(stored.item_ids, stored.vectors_ID).search(queries_QD, num_results=num_results)
        return [
            [(stored.item_ids[row], float(score)) for row, score in zip(rows, scores, strict=True) if row != NO_ROW]
            for rows, scores in zip(found.rows_QK, found.scores_QK, strict=True)
        ]

    def point_alias(self, alias: str, name: str) -> None:
        """See VectorStore."""
        self.load(name)
        self._aliases[alias] = name

    def drop(self, name: str) -> None:
        """See VectorStore."""
        self._collections.pop(name, None)
        self._aliases = {alias: target for alias, target in self._aliases.items() if target != name}

    def collections(self) -> tuple[str, ...]:
        """See VectorStore."""
        return tuple(sorted(self._collections))
