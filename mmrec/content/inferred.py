"""Attributes that nobody gave: a trained model fills them in, marked, with its confidence (METHODS M11).

    inference = AttributeInference(heads, least=0.8)
    entry = inference.completed(entry, guesses)          never over a value that was given

They are made anew whenever an item is published: a value given later takes the place of an inferred one, and an
inferred one is never read back as given.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mmrec.catalog.cleaning import UNKNOWN
from mmrec.catalog.item import CatalogEntry
from mmrec.catalog.values import attribute_values, folded
from mmrec.content.attribute_heads import AttributeHeads
from mmrec.content.matrix import ContentMatrix

MAX_CONFIDENCE = 1.0


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What a model says of one attribute of one item."""

    value: str
    confidence: float
    """Calibrated probability of `value`, in (0, 1]."""


@dataclass(kw_only=True)
class InferredCounts:
    """What became of missing attributes since the process started."""

    filled: Counter[str] = field(default_factory=Counter)
    """Attribute -> values that were inferred."""
    unsure: Counter[str] = field(default_factory=Counter)
    """Attribute -> values that stayed missing because no class reached the least confidence."""

    def figures(self) -> dict[str, dict[str, int]]:
        """Plain numbers for a status file."""
        return {"inferred": dict(self.filled), "unsure": dict(self.unsure)}


class AttributeInference:
    """A model and how sure it must be.

    Args:
        heads: The model.
        least: Least confidence of a value that is filled in.
    """

    def __init__(self, heads: AttributeHeads, *, least: float) -> None:
        self._heads, self._least = heads, least
        self.counts = InferredCounts()

    @property
    def identity(self) -> str:
        """Another model or another least confidence has another one: the catalogue is then published anew."""
        return f"{self._heads.fingerprint} from {self._least}"

    def completed(self, entries: Mapping[str, CatalogEntry], content: ContentMatrix) -> dict[str, CatalogEntry]:
        """The entries, with what is missing filled in where the model is sure enough.

        Items without any modality that the model reads stay as they are: there is nothing to infer from.

        Args:
            entries: As merchants gave them, by item id.
            content: Content of the same items.

        Raises:
            IncompatibleStateError: the vectors are of other encoders than the model's.
        """
        wanted = [
            item_id
            for row, item_id in enumerate(content.item_ids)
            if self._missing(entries[item_id]) and any(content.present[m][row] for m in self._modalities(content))
        ]
        done = dict(entries)
        if not wanted:
            return done
        guesses = self._guesses(content.select(wanted))
        for row, item_id in enumerate(wanted):
            done[item_id] = self._filled(entries[item_id], {name: found[row] for name, found in guesses.items()})
        return done

    def _modalities(self, content: ContentMatrix) -> list[str]:
        return [m for m in self._heads.modalities if m in content.present]

    def _missing(self, entry: CatalogEntry) -> list[str]:
        return [name for name in self._heads.heads if is_missing(entry.attributes.get(name, ""))]

    def _guesses(self, content: ContentMatrix) -> dict[str, list[Guess]]:
        found = {}
        for name, chances_NC in self._heads.probabilities(content).items():
            classes, best_N = self._heads.heads[name].classes, chances_NC.argmax(axis=1)
            sure_N = chances_NC[np.arange(len(best_N)), best_N]
            found[name] = [
                Guess(value=classes[code], confidence=min(float(sure), MAX_CONFIDENCE))
                for code, sure in zip(best_N.tolist(), sure_N.tolist(), strict=True)
            ]
        return found

    def _filled(self, entry: CatalogEntry, guesses: Mapping[str, Guess]) -> CatalogEntry:
        missing = self._missing(entry)
        sure = {name: guesses[name] for name in missing if guesses[name].confidence >= self._least}
        self.counts.filled.update(list(sure))
        self.counts.unsure.update([name for name in missing if name not in sure])
        if not sure:
            return entry
        return replace(
            entry,
            attributes={**entry.attributes, **{name: guess.value for name, guess in sure.items()}},
            inferred_attributes={name: round(guess.confidence, 4) for name, guess in sure.items()},
        )


def is_missing(value: str) -> bool:
    """Whether an attribute's value says nothing: empty, or what the cleaning writes for unknown values."""
    return not attribute_values(value) or folded(value) == folded(UNKNOWN)
