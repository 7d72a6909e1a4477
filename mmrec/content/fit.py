"""Encoders that are fitted to a catalogue before they encode: which there are, and how their file is made.

fit_encoder("tfidf", portions, path="content/tfidf.json")
[content] text_encoder = "tfidf:content/tfidf.json"
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from mmrec.content.attribute_vocabulary import fit_vocabulary
from mmrec.content.cleaning import text_cleaning
from mmrec.content.feed import CatalogChanges
from mmrec.content.fitted_file import write_fitted
from mmrec.content.registry import modality_named
from mmrec.content.tfidf import fit_tfidf
from mmrec.errors import ConfigurationError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class FittedKind:
    """One kind of encoder that needs a catalogue first."""

    modality: str
    fit: Callable[[Iterable[bytes]], msgspec.Struct]
    """Payloads of the modality, one per item, to what the file holds."""


FITTED_KINDS: Final[Mapping[str, FittedKind]] = {
    "tfidf": FittedKind(modality="text", fit=fit_tfidf),
    "attribute-vocabulary": FittedKind(modality="attributes", fit=fit_vocabulary),
}


def fit_encoder(kind: str, portions: Iterable[CatalogChanges], *, path: str | Path, cleaning: str = "none") -> int:
    """Fit to the newest state of every item and write the file; how many items were read.

    Args:
        kind: A name of FITTED_KINDS; it is the encoder's prefix as well.
        portions: The catalogue, in the order of its records.
        path: Of the file; one that is there is replaced.
        cleaning: Name of the text cleaning that items are encoded with.

    Raises:
        NotFoundError: there is no such kind or cleaning.
        ConfigurationError: no item has the modality.
    """
    if kind not in FITTED_KINDS:
        raise NotFoundError(f"{kind!r} is no kind of encoder that is fitted; known: {', '.join(FITTED_KINDS)}")
    chosen, clean = FITTED_KINDS[kind], text_cleaning(cleaning)
    modality, payload_of = modality_named(chosen.modality), dict[str, bytes]()
    for changes in portions:
        for item_id in changes.removed:
            payload_of.pop(item_id, None)
        payload_of.update((item_id, modality.payload(item, clean)) for item_id, item in changes.items.items())
    payloads = [payload for payload in payload_of.values() if payload]
    if not payloads:
        raise ConfigurationError(f"none of {len(payload_of)} items has {modality.name}; write the catalogue first")
    write_fitted(path, chosen.fit(payloads))
    return len(payloads)
