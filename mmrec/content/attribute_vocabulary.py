"""Attributes by their own vocabulary: a column per value and an "unknown" per attribute, fitted on a catalogue.

    x_a            = mean over the item's values of a of  onehot(value)          a column for each of the values kept
                   = onehot(unknown)                                             no value, or none that was kept
    x_attributes   = [x_a1; x_a2; ...] / sqrt(number of attributes)

A linear layer over it, as in the item tower (METHODS M7), is a learned vector for each value, and one for not knowing;
"unknown" trains wherever a value is missing or rare. A value that comes later means "unknown" until the vocabulary is
fitted again, which gives it another fingerprint.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from mmrec.catalog.values import attribute_values
from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.fitted_file import read_fitted

MAX_VALUES: Final = 64
"""Of one attribute: the most frequent ones."""
MAX_ATTRIBUTES: Final = 32
"""The ones that most items have."""
MIN_ITEMS: Final = 2
"""A value that fewer items have is not kept."""


class AttributeVocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a catalogue's attributes."""

    values: dict[str, tuple[str, ...]]
    """Attribute -> values, both in small letters."""


def fit_vocabulary(payloads: Iterable[bytes]) -> AttributeVocabulary:
    """Attributes and values of JSON objects of strings; what is none is passed over."""
    counts: dict[str, Counter[str]] = {}
    for payload in payloads:
        for name, values in (_values(payload) or {}).items():
            counts.setdefault(name, Counter()).update(values)
    usual = sorted(counts, key=lambda name: (-counts[name].total(), name))[:MAX_ATTRIBUTES]
    return AttributeVocabulary(values={name: _kept(counts[name]) for name in sorted(usual)})


def _kept(counts: Counter[str]) -> tuple[str, ...]:
    usual = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_VALUES]
    return tuple(sorted(value for value in usual if counts[value] >= MIN_ITEMS))


class AttributeVocabularyEncoder:
    """The encoder of name attribute-vocabulary:FILE."""

    modality = "attributes"

    def __init__(self, name: str, path: str | Path) -> None:
        """Read the file.

        Raises:
            NotFoundError: there is none.
            InvalidRequestError: it is no AttributeVocabulary.
        """
        self.name = name
        self._columns: dict[str, dict[str, int]] = {}
        self._unknown: dict[str, int] = {}
        place = 0
        for attribute, values in read_fitted(path, AttributeVocabulary).values.items():
            self._columns[attribute] = {value: place + n for n, value in enumerate(values)}
            self._unknown[attribute] = place + len(values)
            place += len(values) + 1
        self.embedding_dim = place

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of JSON objects of strings; each has an entry for every attribute, known or not."""
        values_ND, reasons = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32), []
        share = 1.0 / max(1, len(self._unknown)) ** 0.5
        for row, payload in enumerate(payloads):
            found = _values(payload)
            reasons.append(BROKEN if found is None or not self._unknown else "")
            if reasons[-1]:
                continue
            for attribute, columns in self._columns.items():
                known = [columns[value] for value in (found or {}).get(attribute, ()) if value in columns]
                for place in known or [self._unknown[attribute]]:
                    values_ND[row, place] += share / max(1, len(known))
        return Encodings(values_ND=values_ND, reasons_N=tuple(reasons))


def _values(payload: bytes) -> dict[str, tuple[str, ...]] | None:
    """Attribute -> distinct values of a payload, in small letters; None where it is no object."""
    try:
        found = json.loads(payload)
        return {
            str(name).lower(): tuple(dict.fromkeys(attribute_values(str(value).lower())))
            for name, value in found.items()
        }
    except (ValueError, AttributeError):
        return None
