"""Items by their words: BM25 over title, attribute values and description, with typing errors and beginnings of words.

    index = LexicalIndex()
    index.put(row, ItemText(title="Nike Air Max 270", attributes={"color": "Navy Blue"}))
    scores_I = index.scores(index.looked_up("addidas shose"), num_rows=...)

    score_i = sum over words q of the query   max over its forms f   g_f * idf_f * (k1 + 1) tf_if / (tf_if + K_i)
    K_i     = k1 * (1 - b + b * length_i / mean length)
    idf_f   = log(1 + (N - df_f + 1/2) / (df_f + 1/2))
    times     (sum of idf of the words found / sum of idf of all words)^COVERAGE

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; tf and length are weighted sums
over the fields. A word that no item has stands for the nearest known ones, at a lower weight g.

A change of an item costs its words: what an item had before is marked, and cleared away once a quarter of all is. For
one thread at a time. Axes: I rows of items, S slots, V words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.values import SEARCHED_CHARACTERS, attribute_values
from mmrec.search.vocabulary import Vocabulary
from mmrec.search.words import WORD, words

FloatArray = npt.NDArray[np.float32]
K1: Final = 1.2
B: Final = 0.4
COVERAGE: Final = 1.0
"""How much an item loses that lacks words of the query."""
TITLE, ATTRIBUTE, DESCRIPTION = 2.0, 2.0, 1.0
"""What one occurrence of a word counts in each field."""
MAX_FORMS: Final = 32
BEGINNING_GAIN: Final = 0.8
EDIT_GAIN: Final = 0.6
"""Gain g of a form that is one edit away; two edits have its square."""
RARE: Final = 3
"""A word that so few items have may be a typing error of theirs."""
COMMONER: Final = 50
"""It is taken for one where a neighbor is so many times as frequent."""
NO_SLOT: Final = -1
SPARE_SLOTS: Final = 256
"""So many marked slots are always kept."""


@dataclass(frozen=True, kw_only=True)
class ItemText:
    """What is searched of an item."""

    title: str = ""
    description: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class QueryWord:
    """One word of a query."""

    written: str
    forms: tuple[tuple[int, float], ...]
    """(number in the vocabulary, gain) of what it stands for; empty where nothing is near."""


class LexicalIndex:
    """Postings of every word, by item row."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._clear()

    def _clear(self) -> None:
        self._postings: list[_Postings] = [_Postings() for _ in range(len(self._vocabulary))]
        self._frequencies_V = np.zeros(max(64, len(self._vocabulary)), dtype=np.int64)
        self._lengths_S = np.zeros(64, dtype=np.float64)
        self._num_slots = 0
        self._slots_I = np.full(64, NO_SLOT, dtype=np.int64)
        self._items: dict[int, _Item] = {}
        self._total_length = 0.0

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    @property
    def num_slots(self) -> int:
        """Places that items have or had; bounded by a multiple of the items."""
        return self._num_slots

    def put(self, row: int, text: ItemText) -> None:
        """Add an item, or replace what it had."""
        counts = weighted_counts(text)
        numbers = [self._number(word) for word in counts]
        self._put(row, np.array(numbers, dtype=np.int32), np.array(list(counts.values()), dtype=np.float32))

    def _put(self, row: int, numbers: npt.NDArray[np.int32], counts: FloatArray) -> None:
        self.remove(row)
        slot = self._num_slots
        if slot == len(self._lengths_S):
            self._lengths_S = np.concatenate([self._lengths_S, np.zeros_like(self._lengths_S)])
        length = float(counts.sum(dtype=np.float64))
        self._lengths_S[slot] = length
        self._num_slots += 1
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._postings[number].append(slot, count)
        self._frequencies_V[numbers] += 1
        self._total_length += length
        self._items[row] = _Item(slot=slot, numbers=numbers, counts=counts)
        while row >= len(self._slots_I):
            self._slots_I = np.concatenate([self._slots_I, np.full_like(self._slots_I, NO_SLOT)])
        self._slots_I[row] = slot

    def remove(self, row: int) -> None:
        """Forget an item; nothing happens where there is none of that row."""
        item = self._items.pop(row, None)
        if item is None:
            return
        self._slots_I[row] = NO_SLOT
        self._frequencies_V[item.numbers] -= 1
        self._total_length -= float(self._lengths_S[item.slot])
        num_marked = self._num_slots - len(self._items)
        if num_marked > SPARE_SLOTS + len(self._items) / 4:
            kept = self._items
            self._clear()
            for each, what in kept.items():
                self._put(each, what.numbers, what.counts)

    def _number(self, word: str) -> int:
        number = self._vocabulary.number(word)
        if number == len(self._postings):
            self._postings.append(_Postings())
            if number == len(self._frequencies_V):
                self._frequencies_V = np.concatenate([self._frequencies_V, np.zeros_like(self._frequencies_V)])
        return number

    def looked_up(self, text: str) -> tuple[QueryWord, ...]:
        """The words of a query, each once, with the forms in which items have them."""
        written = list(dict.fromkeys(words(text)))
        return tuple(
            QueryWord(written=word, forms=self._forms(word, is_last=place == len(written) - 1))
            for place, word in enumerate(written)
        )

    def _forms(self, word: str, *, is_last: bool) -> tuple[tuple[int, float], ...]:
        number = self._vocabulary.known(word)
        frequency = int(self._frequencies_V[number]) if number is not None else 0
        if number is not None and frequency > RARE:
            return ((number, 1.0),)
        if number is not None and frequency:
            # Catalogues have typing errors, too: a much commoner neighbor counts as well.
            common_V = self._frequencies_V >= COMMONER * frequency
            more = self._vocabulary.near(word, in_use_V=common_V)
            return ((number, 1.0), *((each.word, EDIT_GAIN**each.num_edits) for each in more[:MAX_FORMS]))
        in_use_V = self._frequencies_V > 0
        if is_last:  # perhaps it is still being written
            found = self._vocabulary.beginning(word, in_use_V=in_use_V)
            if len(found):
                commonest = found[np.argsort(-self._frequencies_V[found], kind="stable")][:MAX_FORMS]
                return tuple((each, BEGINNING_GAIN) for each in commonest.tolist())
        near = self._vocabulary.near(word, in_use_V=in_use_V)
        return tuple((each.word, EDIT_GAIN**each.num_edits) for each in near[:MAX_FORMS])

    def corrected(self, text: str) -> str:
        """A text for encoders, which take a misspelled word for another: unknown words become the nearest known ones.

        Of several as near, the one that most items have. A text whose words are known, or near none, stays as it is.
        """
        return WORD.sub(lambda found: self._right(found[0]), text)

    def _right(self, written: str) -> str:
        word = "".join(words(written))
        number = self._vocabulary.known(word)
        if not word or (number is not None and self._frequencies_V[number]):
            return written
        near = self._vocabulary.near(word, in_use_V=self._frequencies_V > 0)
        if not near:
            return written
        best = min(near, key=lambda each: (each.num_edits, -int(self._frequencies_V[each.word])))
        # Words are kept in the singular.
        ending = "s" if written.lower().endswith("s") and not word.endswith("s") else ""
        return self._vocabulary.word(best.word) + ending

    def scores(self, query: Sequence[QueryWord], *, num_rows: int) -> FloatArray:
        """BM25 of every item, shape (num_rows,); 0 where an item has none of the words.

        Args:
            query: Result of looked_up().
            num_rows: Number of rows of the answer; items of higher rows are left out.
        """
        scores_S, found_S = np.zeros(self._num_slots), np.zeros(self._num_slots)
        whole = 0.0
        for word in query:
            if not word.forms:
                continue
            best_S, idf = np.zeros(self._num_slots), 0.0
            for number, gain in word.forms:
                slots, counts = self._postings[number].read()
                rarity = self._idf(number)
                weight = gain * rarity
                scale = K1 * (1.0 - B + B * self._lengths_S[slots] * (len(self._items) / self._total_length))
                best_S[slots] = np.maximum(best_S[slots], weight * (K1 + 1.0) * counts / (counts + scale))
                idf = max(idf, rarity)
            scores_S += best_S
            found_S += np.where(best_S > 0, idf, 0.0)
            whole += idf
        answer_I = np.zeros(num_rows, dtype=np.float32)
        if whole:
            scores_S *= (found_S / whole) ** COVERAGE
            rows = (self._slots_I[:num_rows] != NO_SLOT).nonzero()[0]
            answer_I[rows] = scores_S[self._slots_I[rows]]
        return answer_I

    def _idf(self, number: int) -> float:
        frequency = float(self._frequencies_V[number])
        return math.log1p((len(self._items) - frequency + 0.5) / (frequency + 0.5))

    def found_words(self, query: Sequence[QueryWord], row: int) -> tuple[str, ...]:
        """The words that a query asks for and an item has, as it has them: misspelled and unfinished ones put right."""
        item = self._items.get(row)
        if item is None:
            return ()
        has = set(item.numbers.tolist())
        found = (next((number for number, _ in word.forms if number in has), None) for word in query)
        return tuple(dict.fromkeys(self._vocabulary.word(number) for number in found if number is not None))


class _Postings:
    """Slots of the items that have one word, with its weighted count; room doubles."""

    __slots__ = ("_counts", "_size", "_slots")

    def __init__(self) -> None:
        self._slots, self._counts, self._size = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.float32), 0

    def append(self, slot: int, count: float) -> None:
        if self._size == len(self._slots):
            self._slots = np.concatenate([self._slots, np.zeros_like(self._slots)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._slots[self._size], self._counts[self._size] = slot, count
        self._size += 1

    def read(self) -> tuple[npt.NDArray[np.int32], FloatArray]:
        return self._slots[: self._size], self._counts[: self._size]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    slot: int
    numbers: npt.NDArray[np.int32]
    counts: FloatArray


def weighted_counts(text: ItemText) -> dict[str, float]:
    """Word -> occurrences, weighted by the field they stand in."""
    counts: dict[str, float] = {}
    fields = (
        (words(text.title), TITLE),
        *((_words_of_value(value), ATTRIBUTE) for value in text.attributes.values()),
        (words(text.description[:SEARCHED_CHARACTERS]), DESCRIPTION),
    )
    for found, weight in fields:
        for word in found:
            counts[word] = counts.get(word, 0.0) + weight
    return counts


@lru_cache(maxsize=16_384)
def _words_of_value(value: str) -> tuple[str, ...]:
    """Words of an attribute's values, which many items share."""
    return tuple(word for part in attribute_values(value) for word in words(part))
