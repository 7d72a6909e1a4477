"""Queries whose answers are known: made of the attributes of items, judged by attribute match.

    query = attribute_query({"baseColour": "Navy Blue", "gender": "Men", "articleType": "Shirts"}, order=ORDER)
    query.text                       "navy blue men shirts"
    gains_I = match_gains(query, items)             share of the wanted values that each item has, to the power 2
    wrong = misspelled(query.text, generator=...)   one edit in a word of it

A ranking of items is then worth its graded NDCG (mmrec.evaluation.content_metrics). Axis: I items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MIN_EDITED: Final = 4
"""Shorter words are spelled right."""


@dataclass(frozen=True, kw_only=True)
class AttributeQuery:
    """A text, and the values that it asks for."""

    text: str
    wanted: Mapping[str, str]


def attribute_query(values: Mapping[str, str], *, order: Sequence[str]) -> AttributeQuery:
    """The query for items of these values, in the order in which people say the attributes."""
    wanted = {name: values[name] for name in order if name in values}
    return AttributeQuery(text=" ".join(wanted.values()).lower(), wanted=wanted)


def attribute_queries(
    items: Sequence[Mapping[str, str]],
    *,
    order: Sequence[str],
    always: str,
    num_queries: int,
    generator: np.random.Generator,
) -> list[AttributeQuery]:
    """Different queries, each for values that one item has together: so every query has an answer.

    Args:
        items: Values by attribute; an attribute that an item lacks is left out.
        order: Attributes that a query may ask for, in the order in which they are said.
        always: The one that every query asks for, with one or more of the others.
        num_queries: At most so many; fewer where items do not differ enough.
    """
    found: dict[str, AttributeQuery] = {}
    for row in generator.permutation(len(items)).tolist():
        if len(found) == num_queries:
            break
        others = [name for name in order if name != always and items[row].get(name)]
        if not items[row].get(always) or not others:
            continue
        chosen = generator.permutation(len(others))[: generator.integers(1, len(others) + 1)].tolist()
        names = {always, *(others[place] for place in chosen)}
        query = attribute_query({name: items[row][name] for name in names}, order=order)
        found.setdefault(query.text, query)
    return list(found.values())


def match_gains(query: AttributeQuery, items: Sequence[Mapping[str, str]]) -> FloatArray:
    """What each item is worth to a query, shape (I,): the share of the wanted values that it has, squared.

    Squared, so that half a match is worth a quarter: NDCG then tells "all of it" from "most of it".
    """
    matched = [sum(item.get(name) == value for name, value in query.wanted.items()) for item in items]
    return (np.array(matched, dtype=np.float64) / max(1, len(query.wanted))) ** 2


def misspelled(text: str, *, generator: np.random.Generator) -> str:
    """A text with one edit in its longest word, behind the first letter; unchanged where all words are short.

    The edit is one of those that people make: a letter left out, doubled, replaced, or swapped with the next.
    """
    words = text.split(" ")
    place = max(range(len(words)), key=lambda number: len(words[number]))
    word = words[place]
    if len(word) < MIN_EDITED:
        return text
    at = int(generator.integers(1, len(word) - 1))
    other = chr(ord("a") + int(generator.integers(26)))
    edits = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + other + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    words[place] = edits[int(generator.integers(len(edits)))]
    return " ".join(words)
