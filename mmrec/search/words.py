"""Words of a text, as search compares them.

    words("Nike Air-Max 270 Women's T-shirts")
    -> ("nike", "air", "max", "airmax", "270", "women", "t", "shirt", "tshirt")

Texts are folded as values of items are (mmrec.catalog.values.folded); beyond that, accents of Latin, Greek and Cyrillic
letters go, an English plural becomes its singular, a word with hyphens stands for its parts and for all of them
together, one of letters and digits for both kinds of part as well, and runs of Chinese and Japanese characters, which
have no spaces, become pairs of characters. Items and queries come through here alike.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from mmrec.catalog.values import folded

MAX_WORD_CHARACTERS: Final = 24
"""The rest of a longer word is cut off, at both sides of a comparison."""
_COMPOUND: Final = re.compile(r"\w+(?:['’.-]\w+)*", re.UNICODE)
WORD: Final = re.compile(r"\w+", re.UNICODE)
"""Letters, digits and marks without anything between them."""
_LETTERS_OR_DIGITS: Final = re.compile(r"\d+|[^\W\d]+", re.UNICODE)
_POSSESSIVE: Final = re.compile(r"['’]s?\b")
_DECIMAL: Final = re.compile(r"\d+(?:\.\d+)+")
_ACCENT: Final = re.compile("[\u0300-\u036f]")
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2,}")
_ES_AFTER: Final = ("ss", "x", "z", "ch", "sh")
_NO_PLURAL: Final = ("ss", "us", "is")


def words(text: str) -> tuple[str, ...]:
    """Words of a text in their order, repeated ones included; empty where it has none."""
    return tuple(_words(text))


def _words(text: str) -> Iterator[str]:
    for found in _COMPOUND.finditer(_POSSESSIVE.sub("", _without_accents(folded(text)))):
        compound = found[0]
        if _DECIMAL.fullmatch(compound):
            yield compound[:MAX_WORD_CHARACTERS]
            continue
        parts = WORD.findall(compound)
        for part in parts:
            yield from _of_part(part)
        if len(parts) > 1:
            yield singular("".join(parts))


def _of_part(part: str) -> Iterator[str]:
    if _UNSPACED.search(part):
        for run in _UNSPACED.findall(part):
            yield from ("".join(pair) for pair in pairwise(run))
        part = _UNSPACED.sub(" ", part).strip()
    for piece in part.split():
        yield singular(piece)
        if not piece.isdigit() and len(kinds := _LETTERS_OR_DIGITS.findall(piece)) > 1:
            yield from (singular(kind) for kind in kinds)


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", text)))


@lru_cache(maxsize=65_536)
def singular(word: str) -> str:
    """An English word without the ending of its plural, cut to MAX_WORD_CHARACTERS; others stay as they are."""
    word = word[:MAX_WORD_CHARACTERS]
    if len(word) < 4 or not word.isascii() or not word.isalpha() or word[-1] != "s" or word.endswith(_NO_PLURAL):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_ES_AFTER):
        return word[:-2]
    return word[:-1]


def is_number(word: str) -> bool:
    """Whether a word holds a digit: sizes and models are right or wrong, never nearly right."""
    return any(character.isdigit() for character in word)
