"""TF-IDF of words and pairs of words, fitted on a catalogue's texts (METHODS M9).

    idf(t)         = ln( (1 + N) / (1 + df(t)) ) + 1                        N texts, df(t) of them with the term t
    x_text[h(t)]  += sign(t) (1 + ln count(t)) idf(t),   then norm          h, sign: hashes of the term

What was fitted is a file, so a new item is weighed as the catalogue was, whenever it comes; a file fitted anew has
another fingerprint. A term that the catalogue did not have has df = 0. Salton and Buckley, 1988; hashing: Weinberger et
al., ICML 2009.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.fitted_file import read_fitted

DIM: Final = 1_024
_WORD: Final = re.compile(r"\w+", re.UNICODE)


class Tfidf(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a catalogue's texts have each term."""

    num_texts: int
    document_frequencies: dict[str, int]
    """Of terms that at least two texts have; others count as one that only the text at hand has."""

    def idf(self, term: str) -> float:
        """Weight of a term, >= 1."""
        return log((1 + self.num_texts) / (1 + self.document_frequencies.get(term, 0))) + 1.0


def fit_tfidf(payloads: Iterable[bytes]) -> Tfidf:
    """Count the terms of UTF-8 texts."""
    num_texts, found = 0, Counter[str]()
    for payload in payloads:
        num_texts += 1
        found.update(term_counts(payload).keys())
    return Tfidf(num_texts=num_texts, document_frequencies={t: n for t, n in sorted(found.items()) if n > 1})


class TfidfEncoder:
    """The encoder of name tfidf:FILE."""

    modality = "text"
    embedding_dim = DIM

    def __init__(self, name: str, path: str | Path) -> None:
        """Read the file.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: it is no Tfidf.
        """
        self.name, self._fitted = name, read_fitted(path, Tfidf)

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors of UTF-8 texts; a text without words is broken."""
        values, reasons = np.zeros((len(payloads), DIM), dtype=np.float32), []
        for row, payload in enumerate(payloads):
            for term, count in term_counts(payload).items():
                place, sign = hashed_place(term, DIM)
                values[row, place] += sign * (1.0 + log(count)) * self._fitted.idf(term)
            norm = float(np.linalg.norm(values[row]))
            reasons.append("" if norm > 0 else BROKEN)
            if norm > 0:
                values[row] /= norm
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def term_counts(payload: bytes, *, without: frozenset[str] = frozenset()) -> dict[str, int]:
    """Words and pairs of words of a UTF-8 text, in small letters, and how often each stands there.

    Args:
        without: Words that are taken out first.
    """
    words = [w for w in _WORD.findall(payload.decode("utf-8", errors="replace").lower()) if w not in without]
    counts: dict[str, int] = {}
    for term in [*words, *(f"{a} {b}" for a, b in pairwise(words))]:
        counts[term] = counts.get(term, 0) + 1
    return counts


def hashed_place(term: str, embedding_dim: int) -> tuple[int, float]:
    """Where a term stands in a hashed vector, and with which sign."""
    hashed = int.from_bytes(blake2b(term.encode("utf-8"), digest_size=8).digest(), "little")
    return (hashed >> 1) % embedding_dim, 1.0 if hashed & 1 else -1.0
