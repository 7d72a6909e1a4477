"""All that is searched of the items, and how evidence of several kinds becomes one order.

    index = SearchIndex()
    index.put("i1", ItemText(title="Red dress"), {"image": MeantVector(meaning=..., values_D=...)})
    found = index.find([QueryPart(words="red drss")], allowed_I=mask, num_candidates=400)

Fusion is a convex sum of scores (Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS
2023; METHODS M12), over parts p of the query with weights w_p, which may be negative, and their kinds of evidence e:

    relevance_i = sum_p w_p sum_e share_pe * value_pei  /  sum_p |w_p|           sum_e share_pe = 1
    value       = BM25_i / max BM25                                        of words
                = (cos_pi - mean_i cos_pi) / (max_i cos_pi - mean_i cos_pi)    of vectors: an item like any other has 0
    where an item has no such vector, the other shares of that part grow: a missing modality says nothing

Cosines are linear in the query, so weighing parts here is combining their vectors. Candidates are the best by words and
the best by each kind of vector; where few items are allowed, all of these. Items come and go one at a time, and any
number of threads may call. Axes: I items by row, N candidates, D embedding.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.index.half_vectors import HalfVectors
from mmrec.index.vectors import best_positions
from mmrec.search.evidence import AskedPart, Direction, Evidence, Judged, evidence, is_same, judged, unit
from mmrec.search.lexical import ItemText, LexicalIndex, QueryWord
from mmrec.search.query import MeantVector, QueryPart

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int64]
LEXICAL_SHARE: Final = 0.5
"""Share of words in the evidence of a text whose vector is known, too."""
EXACT_ITEMS: Final = 2_000
"""Where at most so many items are allowed, each of them is a candidate."""
OPEN_SHARE: Final = 0.5
"""Filters that leave at least this share of the items leave the nearest of all among the candidates, or one as near."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundItems:
    """Candidates of one query, best first."""

    rows_N: RowArray
    relevance_N: FloatArray
    evidence: tuple[Evidence, ...] = ()
    duplicates_N: BoolArray
    """Whether an item is the same thing as an item that was asked about: the same picture, or all else alike."""
    words: tuple[tuple[QueryWord, ...], ...] = ()
    """By part of the query: its words, as they were looked up."""


class SearchIndex:
    """Words and vectors of items. A row is given to an item once and kept; a removed one comes back in its own."""

    def __init__(self, *, lexical_share: float = LEXICAL_SHARE, exact_items: int = EXACT_ITEMS) -> None:
        """Start empty.

        Args:
            lexical_share: Share of words in the evidence of a text whose vector is known, too.
            exact_items: Where at most so many items are allowed, each of them is a candidate.
        """
        self.lexical_share, self._exact_items = lexical_share, exact_items
        self._lexical = LexicalIndex()
        self._row_of: dict[str, int] = {}
        self._item_ids: list[str] = []
        self._spaces: dict[tuple[str, str], HalfVectors] = {}
        """(modality, meaning) -> items' vectors of both."""
        self._lock = threading.Lock()

    def put(self, item_id: str, text: ItemText, vectors: Mapping[str, MeantVector]) -> None:
        """Add an item or replace all that is known of it.

        Args:
            vectors: By modality; any may be absent.
        """
        with self._lock:
            self._put(item_id, text, vectors)

    def _put(self, item_id: str, text: ItemText, vectors: Mapping[str, MeantVector]) -> None:
        row = self._row(item_id)
        self._lexical.put(row, text)
        self._drop_vectors(row, kept={(modality, v.meaning) for modality, v in vectors.items()})
        for modality, vector in vectors.items():
            key = modality, vector.meaning
            space = self._spaces.get(key)
            if space is None or space.embedding_dim != len(vector.values_D):
                space = self._spaces[key] = HalfVectors(embedding_dim=len(vector.values_D))
            space.put(row, vector.values_D)

    def introduce(self, item_id: str, text: ItemText) -> None:
        """Add the words of an item that nothing is known of yet; of others nothing changes."""
        with self._lock:
            if item_id not in self._row_of:
                self._put(item_id, text, {})

    def remove(self, item_id: str) -> None:
        """Forget an item; nothing happens where it is not known."""
        with self._lock:
            row = self._row_of.get(item_id)
            if row is not None:
                self._lexical.remove(row)
                self._drop_vectors(row, kept=set())

    def _row(self, item_id: str) -> int:
        row = self._row_of.setdefault(item_id, len(self._item_ids))
        if row == len(self._item_ids):
            self._item_ids.append(item_id)
        return row

    def _drop_vectors(self, row: int, *, kept: set[tuple[str, str]]) -> None:
        for key in [key for key, space in self._spaces.items() if key not in kept and row in space]:
            self._spaces[key].remove(row)
            if not len(self._spaces[key]):
                del self._spaces[key]

    @property
    def num_rows(self) -> int:
        """Rows given so far; row r is that of item_ids(r)[...]."""
        return len(self._item_ids)

    def item_ids(self, start: int = 0) -> list[str]:
        """Items by row, from row `start` on."""
        return self._item_ids[start:]

    def num_vectors(self) -> dict[str, dict[str, int]]:
        """Items with a vector, by modality and by what it means."""
        counted: dict[str, dict[str, int]] = {}
        with self._lock:
            for (modality, meaning), space in self._spaces.items():
                counted.setdefault(modality, {})[meaning] = len(space)
        return counted

    def knows(self, item_id: str, *, modality: str = "") -> bool:
        """Whether an item is known, and where a modality is named, by a vector of that."""
        row = self._row_of.get(item_id)
        if row is None or not modality:
            return row is not None
        with self._lock:
            return any(row in space for (name, _), space in self._spaces.items() if name == modality)

    def find(self, parts: Sequence[QueryPart], *, allowed_I: BoolArray, num_candidates: int) -> FoundItems:
        """The most relevant of the allowed items.

        Args:
            parts: At least one of a positive weight.
            allowed_I: By row; items of rows beyond its end are not allowed.
            num_candidates: Of each kind of evidence, the best so many are looked at.

        Returns:
            Items in the order of relevance, equal ones by row. Those that nothing speaks for or against are not found,
            nor, where the query has words alone, those that have none.
        """
        with self._lock:
            asked = [self._asked(part, num_rows=len(allowed_I)) for part in parts]
            rows_N = self._candidates(asked, allowed_I, num_candidates)
            is_whole = len(asked) == 1 and len(allowed_I) > 0 and bool(allowed_I.mean() >= OPEN_SHARE)
            directed = [[judged(to, each.part, rows_N, is_whole=is_whole) for to in each.directions] for each in asked]
            found = [e for place, each in enumerate(asked) for e in evidence(place, each, directed[place], rows_N)]
            duplicates_N = self._duplicates(asked, directed, rows_N)
        whole = sum(abs(part.weight) for part in parts)
        relevance_N = np.sum([np.zeros(len(rows_N)), *(e.gains_N for e in found)], axis=0) / whole
        order = np.argsort(-relevance_N, kind="stable")
        if not any(each.directions for each in asked):
            order = order[relevance_N[order] > 0]
        else:
            spoken_of_N = np.any([np.zeros(len(rows_N), dtype=np.bool_), *(e.gains_N != 0 for e in found)], axis=0)
            order = order[spoken_of_N[order]]
        return FoundItems(
            rows_N=rows_N[order],
            relevance_N=relevance_N[order],
            evidence=tuple(
                Evidence(part=e.part, name=e.name, values_N=e.values_N[order], gains_N=e.gains_N[order] / whole)
                for e in found
            ),
            duplicates_N=duplicates_N[order],
            words=tuple(each.words for each in asked),
        )

    def corrected(self, text: str) -> str:
        """A text with its misspelled words as items have them, to be encoded; see LexicalIndex.corrected()."""
        with self._lock:
            return self._lexical.corrected(text)

    def found_words(self, words: Sequence[QueryWord], row: int) -> tuple[str, ...]:
        """The words that a query asks for and the item of a row has; see LexicalIndex.found_words()."""
        with self._lock:
            return self._lexical.found_words(words, row)

    def _asked(self, part: QueryPart, *, num_rows: int) -> AskedPart:
        words = self._lexical.looked_up(part.words) if part.words else ()
        lexical_I: Float32Array | None = None
        if any(word.forms for word in words):
            scores_I = self._lexical.scores(words, num_rows=num_rows)
            best = float(scores_I.max(initial=0.0))
            lexical_I = scores_I / best if best > 0 else None
        directed = self._item_directions(part) if part.item_id else self._directions(part)
        lexical_share = 0.0 if lexical_I is None else self.lexical_share if directed else 1.0
        whole = sum(each.share for each in directed)
        directions = tuple(
            Direction(
                modality=each.modality,
                vectors=each.vectors,
                query_D=each.query_D,
                share=(1.0 - lexical_share) * each.share / whole,
            )
            for each in directed
        )
        return AskedPart(
            part=part, words=words, lexical_I=lexical_I, lexical_share=lexical_share, directions=directions
        )

    def _directions(self, part: QueryPart) -> list[Direction]:
        return [
            Direction(modality=modality, vectors=space, query_D=unit(vector.values_D), share=share)
            for vector in part.vectors
            for (modality, meaning), space in sorted(self._spaces.items(), key=lambda each: each[0])
            if meaning == vector.meaning and len(vector.values_D) == space.embedding_dim
            if (share := part.shares.get(modality, 0.0) if part.shares else 1.0) > 0
        ]

    def _item_directions(self, part: QueryPart) -> list[Direction]:
        row = self._row_of.get(part.item_id)
        if row is None:
            return []
        return [
            Direction(modality=modality, vectors=space, query_D=unit(values_D), share=share)
            for (modality, _), space in sorted(self._spaces.items(), key=lambda each: each[0])
            if (values_D := space.vector(row)) is not None
            if (share := part.shares.get(modality, 0.0) if part.shares else 1.0) > 0
        ]

    def _candidates(self, asked: Sequence[AskedPart], allowed_I: BoolArray, num_candidates: int) -> RowArray:
        """Rows, ascending: the best by words, and by the weighted sum of the query's vectors of each kind."""
        if int(allowed_I.sum()) <= self._exact_items:
            return allowed_I.nonzero()[0]
        found: list[RowArray] = [np.zeros(0, dtype=np.int64)]
        lexical = [each.part.weight * each.lexical_I for each in asked if each.lexical_I is not None]
        if lexical:
            scores_I = np.where(allowed_I, np.sum(lexical, axis=0), -np.inf)
            best = best_positions(scores_I, num_candidates)
            found.append(best[scores_I[best] > 0])
        sums: dict[int, tuple[HalfVectors, Float32Array]] = {}
        for each in asked:
            for to in each.directions:
                before = sums[id(to.vectors)][1] if id(to.vectors) in sums else np.zeros_like(to.query_D)
                sums[id(to.vectors)] = to.vectors, before + np.float32(each.part.weight * to.share) * to.query_D
        for vectors, query_D in sums.values():
            found.append(vectors.search(query_D, num_results=num_candidates, allowed_I=allowed_I).rows_K)
        return np.unique(np.concatenate(found))

    def _duplicates(
        self, asked: Sequence[AskedPart], judged: Sequence[Sequence[Judged]], rows_N: RowArray
    ) -> BoolArray:
        duplicates_N = np.zeros(len(rows_N), dtype=np.bool_)
        for each, directions in zip(asked, judged, strict=True):
            if not each.part.item_id or each.part.weight < 0:
                continue
            duplicates_N |= rows_N == self._row_of.get(each.part.item_id, -1)
            same = {to.direction.modality: is_same(to, rows_N) for to in directions}
            if same:
                all_N = np.logical_and.reduce(list(same.values()))
                duplicates_N |= all_N | same.get("image", all_N)
        return duplicates_N
