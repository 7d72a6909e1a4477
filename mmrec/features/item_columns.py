"""What is known about items, as columns that feature assembly can index.

Strings become small integers once, when a table is built, so that a request only indexes arrays. Token numbers have no
meaning: features do not change if a vocabulary was filled in another order.

Axes: X items of any list, T tokens per item: its attribute values, padded, and its domain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmrec.catalog.values import attribute_values, folded, number_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NO_TOKEN = 0
"""Stands for "no value"; tokens of values begin at 1."""


class ItemEntry(Protocol):
    """The serving fields of one item that features read; mmrec.catalog.item.CatalogEntry is one."""

    @property
    def domain(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def inferred_attributes(self) -> Mapping[str, float]: ...
    @property
    def price(self) -> float: ...
    @property
    def publish_time_s(self) -> float: ...
    @property
    def expire_time_s(self) -> float: ...


class Vocabulary:
    """Numbers for values, never removed; values that fold to the same (mmrec.catalog.values) have the same number."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], int] = {}
        """The numbers by values as they were written, since most occur again and again."""
        self._numbers: dict[str, list[tuple[float, int]]] = {}
        """(value, its number) by name, of values that are numbers themselves."""

    def __len__(self) -> int:
        return len(self._tokens)

    def token(self, name: str, value: str) -> int:
        """Number of (name, value), assigned on first use."""
        token = self._seen.get((name, value))
        if token is None:
            newest = 1 + len(self._tokens)
            token = self._tokens.setdefault((name, folded(value)), newest)
            if token == newest and (number := number_of(value)) is not None:
                self._numbers.setdefault(name, []).append((number, token))
            self._seen[name, value] = token
        return token

    def known(self, name: str, value: str) -> int:
        """Number of (name, value), NO_TOKEN where it was never seen."""
        return self._tokens.get((name, folded(value)), NO_TOKEN)

    def numbers_within(self, name: str, least: float, most: float) -> list[int]:
        """Numbers of the values that are written as a number from `least` to `most`, both included."""
        return [token for value, token in self._numbers.get(name, ()) if least <= value <= most]


@dataclass(frozen=True, kw_only=True, eq=False)
class ContentColumns:
    """Serving fields of X items, aligned."""

    prices_X: FloatArray
    """NaN where unknown or not positive."""
    publish_times_X: FloatArray
    """Epoch seconds, NaN where unknown."""
    expire_times_X: FloatArray
    """Epoch seconds, inf where the item stays."""
    tokens_TX: IntArray
    """One row per attribute value, NO_TOKEN beyond an item's last one; the last row is the domain, NO_TOKEN without."""
    given_TX: IntArray
    """tokens_TX without values that were inferred, which filters do not match; the same array where none was."""
    num_tokens: int
    """Every token is smaller than this."""

    def __len__(self) -> int:
        return len(self.prices_X)

    def take(self, rows: npt.NDArray[np.integer]) -> "ContentColumns":
        """The items at `rows`; a row of -1 is an item about which nothing is known."""
        missing = rows < 0
        if not len(self):
            return content_columns([None] * len(rows), vocabulary=Vocabulary())
        prices, times, tokens = self.prices_X[rows], self.publish_times_X[rows], self.tokens_TX.take(rows, axis=1)
        ends = self.expire_times_X[rows]
        if missing.any():
            prices[missing], times[missing], tokens[:, missing], ends[missing] = np.nan, np.nan, NO_TOKEN, np.inf
        given = tokens
        if self.given_TX is not self.tokens_TX:
            given = np.where(missing, NO_TOKEN, self.given_TX.take(rows, axis=1))
        return ContentColumns(
            prices_X=prices,
            publish_times_X=times,
            expire_times_X=ends,
            tokens_TX=tokens,
            given_TX=given,
            num_tokens=self.num_tokens,
        )


def content_columns(entries: Sequence[ItemEntry | None], *, vocabulary: Vocabulary) -> ContentColumns:
    """Columns of `entries`; None stands for an item about which nothing is known.

    Columns that are used in one assemble() call must come from the same vocabulary.
    """
    tokens = [
        []
        if entry is None
        else [
            *dict.fromkeys(
                vocabulary.token(name, value)
                for name, values in entry.attributes.items()
                for value in attribute_values(values)
            )
        ]
        for entry in entries
    ]
    width = max((len(row) for row in tokens), default=0)
    tokens_TX = np.full((width + 1, len(entries)), NO_TOKEN, dtype=np.int64)
    for row, (entry, values) in enumerate(zip(entries, tokens, strict=True)):
        tokens_TX[: len(values), row] = values
        if entry is not None and entry.domain:
            tokens_TX[-1, row] = vocabulary.token("", entry.domain)
    inferred = [_inferred_tokens(entry, vocabulary) for entry in entries]
    given_TX = tokens_TX
    if any(inferred):
        given_TX = tokens_TX.copy()
        for row, guessed in enumerate(inferred):
            given_TX[:-1, row][np.isin(given_TX[:-1, row], guessed)] = NO_TOKEN
    return ContentColumns(
        prices_X=np.array([e.price if e is not None and e.price > 0 else np.nan for e in entries], dtype=np.float64),
        publish_times_X=np.array(
            [e.publish_time_s if e is not None and e.publish_time_s > 0 else np.nan for e in entries], dtype=np.float64
        ),
        expire_times_X=np.array(
            [e.expire_time_s if e is not None and e.expire_time_s > 0 else np.inf for e in entries], dtype=np.float64
        ),
        tokens_TX=tokens_TX,
        given_TX=given_TX,
        num_tokens=1 + len(vocabulary),
    )


def _inferred_tokens(entry: ItemEntry | None, vocabulary: Vocabulary) -> list[int]:
    if entry is None or not entry.inferred_attributes:
        return []
    return [
        vocabulary.token(name, value)
        for name in entry.inferred_attributes
        for value in attribute_values(entry.attributes.get(name, ""))
    ]
