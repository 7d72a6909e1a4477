"""Unit vectors of items that come and go one at a time, in half precision: half the memory, and found twice as fast.

    vectors = HalfVectors(embedding_dim=384)
    vectors.put(row=7, vector_D=...)                  replaces what the row had
    found = vectors.search(query_D, num_results=400, allowed_I=mask)
    cosines = vectors.cosines(queries_PD, found.rows_K)

Rows are numbers that the caller gives to items; a row without a vector costs nothing. A cosine is off by less than
.001. For one thread at a time. Axes: I rows, S slots, D embedding, P queries, K results, N rows asked about.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
RowArray = npt.NDArray[np.int64]
# Untyped on purpose, see mmrec.index.faiss_index.
faiss: Any = importlib.import_module("faiss")
NO_SLOT: Final = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestRows:
    """The nearest rows of one query, nearest first."""

    rows_K: RowArray
    cosines_K: Float32Array


class HalfVectors:
    """Vectors by row."""

    def __init__(self, *, embedding_dim: int) -> None:
        faiss.omp_set_num_threads(1)
        self.embedding_dim = embedding_dim
        self._index = faiss.IndexScalarQuantizer(
            embedding_dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._slot_of: dict[int, int] = {}
        self._rows_S = np.zeros(0, dtype=np.int64)
        """Row of a slot; of a free one, -1."""
        self._slots_I = np.zeros(0, dtype=np.int64)
        self._free: list[int] = []
        self._sum_D = np.zeros(embedding_dim)

    def __len__(self) -> int:
        """Number of rows that have a vector."""
        return len(self._slot_of)

    def __contains__(self, row: int) -> bool:
        return row in self._slot_of

    def put(self, row: int, vector_D: Float32Array) -> None:
        """Give a row a vector, of any length but zero; it is scaled to length 1. A zero vector takes the row's away."""
        self.remove(row)
        length = float(np.linalg.norm(vector_D))
        if not length > 0:
            return
        half_D = (vector_D / length).astype(np.float16)
        slot = self._free.pop() if self._free else self._make_room()
        self._codes()[slot] = half_D
        self._sum_D += half_D
        self._rows_S[slot] = row
        self._slot_of[row] = slot
        if row >= len(self._slots_I):
            more = np.full(max(row + 1, 2 * len(self._slots_I)), NO_SLOT, dtype=np.int64)
            more[: len(self._slots_I)] = self._slots_I
            self._slots_I = more
        self._slots_I[row] = slot

    def remove(self, row: int) -> None:
        """Take a row's vector away; nothing happens where it has none."""
        slot = self._slot_of.pop(row, NO_SLOT)
        if slot != NO_SLOT:
            codes = self._codes()
            self._sum_D -= codes[slot]
            codes[slot] = 0
            self._rows_S[slot], self._slots_I[row] = NO_SLOT, NO_SLOT
            self._free.append(slot)

    @property
    def mean_D(self) -> Float32Array:
        """Mean of all vectors; zeros where there are none."""
        mean_D: Float32Array = (self._sum_D / max(1, len(self._slot_of))).astype(np.float32)
        return mean_D

    def vector(self, row: int) -> Float32Array | None:
        """A row's vector; None where it has none."""
        slot = self._slot_of.get(row)
        return None if slot is None else self._codes()[slot].astype(np.float32)

    def search(self, query_D: Float32Array, *, num_results: int, allowed_I: BoolArray) -> NearestRows:
        """The nearest of the rows that have a vector and are allowed; every one of them is compared.

        Args:
            allowed_I: By row; rows beyond its end are not allowed.
        """
        num_slots = len(self._rows_S)
        inside_S = (self._rows_S != NO_SLOT) & (self._rows_S < len(allowed_I))
        allowed_S = inside_S.copy()
        allowed_S[inside_S] = allowed_I[self._rows_S[inside_S]]
        num_results = min(num_results, int(allowed_S.sum()))
        if not num_slots or not num_results:
            return NearestRows(rows_K=np.zeros(0, dtype=np.int64), cosines_K=np.zeros(0, dtype=np.float32))
        parameters = None
        if not allowed_S.all():
            selector = faiss.IDSelectorBitmap(np.packbits(allowed_S, bitorder="little"))
            parameters = faiss.SearchParameters(sel=selector)
        query_QD = np.ascontiguousarray(query_D, dtype=np.float32)[None]
        cosines_QK, slots_QK = self._index.search(query_QD, num_results, params=parameters)
        return NearestRows(rows_K=self._rows_S[slots_QK[0]], cosines_K=cosines_QK[0])

    def cosines(self, queries_PD: Float32Array, rows_N: RowArray) -> Float32Array:
        """Inner product of each query with the vectors of some rows, shape (P, N); NaN where a row has none."""
        known_N = (rows_N < len(self._slots_I)).nonzero()[0]
        known_N = known_N[self._slots_I[rows_N[known_N]] != NO_SLOT]
        cosines_PN = np.full((len(queries_PD), len(rows_N)), np.nan, dtype=np.float32)
        vectors_ND = self._codes()[self._slots_I[rows_N[known_N]]].astype(np.float32)
        cosines_PN[:, known_N] = np.asarray(queries_PD, dtype=np.float32) @ vectors_ND.T
        return cosines_PN

    def nearest_cosine(self, query_D: Float32Array) -> float:
        """The largest inner product with any vector; 0 where there are none."""
        if not self._slot_of:
            return 0.0
        # Free slots are zeros, whose product is 0: of no account unless all others are less.
        found, _ = self._index.search(np.ascontiguousarray(query_D, dtype=np.float32)[None], 1)
        return float(found[0, 0])

    def _make_room(self) -> int:
        """One slot more; codes double, so that adding one by one stays cheap."""
        slot = len(self._rows_S)
        more = max(64, slot)
        self._index.add(np.zeros((more, self.embedding_dim), dtype=np.float32))
        self._rows_S = np.concatenate([self._rows_S, np.full(more, NO_SLOT, dtype=np.int64)])
        self._free.extend(range(slot + more - 1, slot, -1))
        return slot

    def _codes(self) -> npt.NDArray[np.float16]:
        """The index's own memory: half-precision vectors by slot. Valid until the next add()."""
        num_slots = len(self._rows_S)
        if not num_slots:
            return np.zeros((0, self.embedding_dim), dtype=np.float16)
        codes = faiss.rev_swig_ptr(self._index.codes.data(), num_slots * self._index.code_size)
        halves: npt.NDArray[np.float16] = codes.view(np.float16).reshape(num_slots, self.embedding_dim)
        return halves
