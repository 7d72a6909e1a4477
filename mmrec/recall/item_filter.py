"""Which items a request lets through: conditions on what catalogues say of items, exact at any size.

    passing_I = passing(ItemFilter(price_max=50.0), content=catalogue.content, vocabulary=catalogue.vocabulary)

Conditions are compared as numbers of values (mmrec/features/item_columns.py), so that one costs a pass over a column.
What may be listed at all, by stock and publish window, is Catalogue.showable().

Axes: X items, T tokens per item.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.values import attribute_values
from mmrec.features.item_columns import NO_TOKEN, ContentColumns, Vocabulary


class ConditionKind(Enum):
    """How an item's values are compared with those of a condition; names of mmrec.v1.ConditionKind."""

    ANY = 1
    ALL = 2
    NONE = 3


@dataclass(frozen=True, kw_only=True)
class Condition:
    """An attribute and values; case and compatibility forms make no difference."""

    attribute: str
    values: tuple[str, ...]
    kind: ConditionKind = ConditionKind.ANY


@dataclass(frozen=True, kw_only=True)
class NumberRange:
    """An attribute one of whose values is a number within bounds, both included."""

    attribute: str
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True, kw_only=True)
class ItemFilter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...] = ()
    numbers: tuple[NumberRange, ...] = ()
    domain: str = ""
    price_min: float = 0.0
    """0 means no bound."""
    price_max: float = 0.0
    published_after_s: float = -math.inf
    """Included; an item of unknown publish time passes no bound."""
    published_before_s: float = math.inf
    """Not included."""
    shown_until_s: float = -math.inf
    """Items that have expired by then do not pass."""
    includes_out_of_stock: bool = False
    """Widens what may be listed, see Catalogue.showable()."""


EVERYTHING: Final = ItemFilter()
"""Every item passes."""


def passing(item_filter: ItemFilter, *, content: ContentColumns, vocabulary: Vocabulary) -> npt.NDArray[np.bool_]:
    """Mask of the items whose every condition holds, shape (X,); a new array.

    Args:
        vocabulary: The one that made the columns.
    """
    passing_X = np.ones(len(content), dtype=np.bool_)
    if item_filter.domain:
        domain = vocabulary.known("", item_filter.domain)
        passing_X &= (content.tokens_TX[-1] == domain) & (domain != NO_TOKEN)
    with np.errstate(invalid="ignore"):  # unknown prices and times are NaN, which is within no bounds
        if item_filter.price_min:
            passing_X &= content.prices_X >= item_filter.price_min
        if item_filter.price_max:
            passing_X &= content.prices_X <= item_filter.price_max
        if item_filter.published_after_s > -math.inf:
            passing_X &= content.publish_times_X >= item_filter.published_after_s
        if item_filter.published_before_s < math.inf:
            passing_X &= content.publish_times_X < item_filter.published_before_s
        if item_filter.shown_until_s > -math.inf:
            passing_X &= content.expire_times_X > item_filter.shown_until_s
    for condition in item_filter.conditions:
        passing_X &= _holds(condition, content, vocabulary)
    for each in item_filter.numbers:
        passing_X &= _has_any(content, vocabulary.numbers_within(each.attribute, each.least, each.most))
    return passing_X


def _holds(condition: Condition, content: ContentColumns, vocabulary: Vocabulary) -> npt.NDArray[np.bool_]:
    parts = [part for value in condition.values for part in attribute_values(value)]
    tokens = list(dict.fromkeys(vocabulary.known(condition.attribute, part) for part in parts))
    known = [token for token in tokens if token != NO_TOKEN]
    match condition.kind:
        case ConditionKind.ANY:
            return _has_any(content, known)
        case ConditionKind.NONE:
            return ~_has_any(content, known)
        case ConditionKind.ALL:
            holds_X: npt.NDArray[np.bool_] = np.full(len(content), len(known) == len(tokens) > 0, dtype=np.bool_)
            for token in known:
                np.logical_and(holds_X, _has_any(content, [token]), out=holds_X)
            return holds_X


def _has_any(content: ContentColumns, tokens: list[int]) -> npt.NDArray[np.bool_]:
    """Whether one of an item's given values is among some; inferred ones are no value here."""
    has_X: npt.NDArray[np.bool_] = np.logical_or.reduce(np.isin(content.given_TX[:-1], tokens), axis=0)
    return has_X
