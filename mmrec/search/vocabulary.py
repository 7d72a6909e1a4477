"""Every word that items have, and the known words near one that none has.

    vocabulary.near("addidas")     -> adidas, one edit away
    vocabulary.beginning("dre")    -> dress, dressy

An edit is a letter left out, put in, replaced, or swapped with its neighbor (optimal string alignment: Damerau, CACM
1964; Wagner and Fischer, JACM 1974). Words of up to SHORT letters may be one edit off, longer ones two. Candidates are
told by arithmetic on columns, so that no neighborhoods need to be kept: a word within d edits differs in length by at
most d and in its set of letters by at most 2 d; of 30,000 words some hundred pass, and their distances are computed
together.

Axes: V words, N words that passed, C characters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.search.words import MAX_WORD_CHARACTERS, is_number

SHORT: Final = 6
MIN_FUZZY: Final = 3
"""Shorter words have too many neighbors to guess one."""
MIN_PREFIX: Final = 2
_LETTER_BITS: Final = 64
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NearWord:
    """A known word, and how far it is from what was written."""

    word: int
    """Number of the word."""
    num_edits: int


class Vocabulary:
    """Words by number. Numbers are given once; a word that no item has any more keeps its own."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._words: list[str] = []
        self._letters_VC = np.zeros((64, MAX_WORD_CHARACTERS), dtype=np.int32)
        self._lengths_V = np.zeros(64, dtype=np.int8)
        self._sets_V = np.zeros(64, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._number_of)

    def number(self, word: str) -> int:
        """Number of a word; a new one gets the next."""
        found = self._number_of.get(word)
        if found is not None:
            return found
        number = len(self._number_of)
        if number == len(self._lengths_V):
            self._letters_VC = np.concatenate([self._letters_VC, np.zeros_like(self._letters_VC)])
            self._lengths_V = np.concatenate([self._lengths_V, np.zeros_like(self._lengths_V)])
            self._sets_V = np.concatenate([self._sets_V, np.zeros_like(self._sets_V)])
        self._letters_VC[number, : len(word)] = [ord(letter) for letter in word]
        self._lengths_V[number] = len(word)
        self._sets_V[number] = _letter_set(word)
        self._number_of[word] = number
        self._words.append(word)
        return number

    def word(self, number: int) -> str:
        """The word of a number."""
        return self._words[number]

    def known(self, word: str) -> int | None:
        """Number of a word; None where it has none."""
        return self._number_of.get(word)

    def near(self, word: str, *, in_use_V: npt.NDArray[np.bool_]) -> list[NearWord]:
        """Words in use within the edits that a word of this length may be off, nearest first; none for numbers, and
        none for what is longer than words are kept.

        Args:
            in_use_V: By number, whether an item has the word.
        """
        if not MIN_FUZZY <= len(word) <= MAX_WORD_CHARACTERS or is_number(word):
            return []
        max_edits = 1 if len(word) <= SHORT else 2
        size = len(self._number_of)
        differing_V = np.bitwise_count(self._sets_V[:size] ^ np.uint64(_letter_set(word)))
        lengths_V = self._lengths_V[:size]
        near_V = (np.abs(lengths_V - len(word)) <= max_edits) & (differing_V <= 2 * max_edits) & in_use_V[:size]
        numbers_N = near_V.nonzero()[0]
        edits_N = _num_edits(word, self._letters_VC[numbers_N], lengths_V[numbers_N].astype(np.int64))
        order = np.argsort(edits_N, kind="stable")
        return [
            NearWord(word=int(numbers_N[place]), num_edits=int(edits_N[place]))
            for place in order.tolist()
            if edits_N[place] <= max_edits
        ]

    def beginning(self, start: str, *, in_use_V: npt.NDArray[np.bool_]) -> IntArray:
        """Numbers of the words in use that begin so, itself included, ascending."""
        if not MIN_PREFIX <= len(start) <= MAX_WORD_CHARACTERS:
            return np.zeros(0, dtype=np.int64)
        size = len(self._number_of)
        letters = np.array([ord(letter) for letter in start], dtype=np.int32)
        # The first two letters leave few to compare.
        rows = ((self._letters_VC[:size, 0] == letters[0]) & (self._letters_VC[:size, 1] == letters[1])).nonzero()[0]
        rows = rows[in_use_V[rows]]
        found: IntArray = rows[(self._letters_VC[rows, : len(start)] == letters).all(axis=1)]
        return found


def _letter_set(word: str) -> int:
    """Bits of the letters of a word, by their code; more or less distinct letters for more or less distinct words."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) % _LETTER_BITS)
    return bits


def _num_edits(word: str, letters_NC: npt.NDArray[np.int32], lengths_N: IntArray) -> IntArray:
    """Edits from one word to each of N, by the recurrence of optimal string alignment, row by row for all at once.

    d[i, j] = min( d[i-1, j] + 1,  d[i, j-1] + 1,  d[i-1, j-1] + (a_i != b_j),
                   d[i-2, j-2] + 1  where a_i = b_{j-1} and a_{i-1} = b_j )
    """
    num_words = len(letters_NC)
    width = int(lengths_N.max(initial=0))
    before = np.zeros((width + 1, num_words), dtype=np.int8)
    row = np.repeat(np.arange(width + 1, dtype=np.int8)[:, None], num_words, axis=1)
    for i, letter in enumerate(word, 1):
        two_before, before, row = before, row, np.empty_like(row)
        row[0] = i
        for j in range(1, width + 1):
            same = letters_NC[:, j - 1] == ord(letter)
            best = np.minimum(np.minimum(before[j], row[j - 1]) + 1, before[j - 1] + ~same)
            if i > 1 and j > 1:
                swapped = (letters_NC[:, j - 2] == ord(letter)) & (letters_NC[:, j - 1] == ord(word[i - 2]))
                best = np.where(swapped, np.minimum(best, two_before[j - 2] + 1), best)
            row[j] = best
    return row[lengths_N, np.arange(num_words)].astype(np.int64)
