"""Items -> content matrix: payloads, cache, encoders; every input that could not be encoded is counted with its reason.

    encode_items(items, encoders, store)                    here and now

    under_way = begin(items, encoders, store, filler=...)   what the cache lacks is on its way through encoders;
    ...read and clean the next items meanwhile...
    finish(under_way, encoders, store)                      waits for it

Memory is bounded by what is under way: nothing but those items' payloads and rows is held.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.content.encoder import BROKEN, MISSING, NOT_FETCHED, Encoder
from mmrec.content.matrix import ContentMatrix, FloatArray, content_matrix
from mmrec.content.payloads import digest, payloads
from mmrec.content.registry import modality_named
from mmrec.content.store import ContentStore
from mmrec.errors import StoreError

Misses = Mapping[str, Mapping[bytes, bytes]]
"""Modality -> digest -> payload that no encoder has seen yet."""
BATCH: Final = 64
"""Payloads whose vectors are kept together; what a killed process encodes again at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedItems:
    """Rows of some items and what became of their modalities."""

    matrix: ContentMatrix
    num_encoded: Mapping[str, int] = field(default_factory=dict)
    """Modality -> payloads that went through an encoder."""
    num_cached: Mapping[str, int] = field(default_factory=dict)
    """Modality -> payloads whose vector was there, or was under way for other items."""
    num_absent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Modality -> reason ("missing", "not_fetched", "broken") -> items."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What became of payloads that the cache lacked: the vectors of all others are in it."""

    num_encoded: Mapping[str, int]
    """Modality -> payloads that went through an encoder."""
    broken: Mapping[str, frozenset[bytes]]
    """Modality -> digests of those that it could not read."""


class Filling(Protocol):
    """Payloads on their way into the cache."""

    def finish(self) -> Filled:
        """Wait for them.

        Raises:
            StoreError: the cache failed, or an encoder's weights were changed meanwhile.
        """
        ...


class Filler(Protocol):
    """Brings payloads through encoders into the cache; fillings are finished in the order in which they began."""

    def begin(self, misses: Misses) -> Filling:
        """Start; may return before anything is encoded."""
        ...


class FillHere:
    """In this process, when a filling is waited for."""

    def __init__(self, encoders: Mapping[str, Encoder], store: ContentStore) -> None:
        self._encoders, self._store = encoders, store

    def begin(self, misses: Misses) -> Filling:
        """See Filler."""
        return _FillingHere(misses, self._encoders, self._store)


class _FillingHere:
    def __init__(self, misses: Misses, encoders: Mapping[str, Encoder], store: ContentStore) -> None:
        self._misses, self._encoders, self._store = misses, encoders, store

    def finish(self) -> Filled:
        num_encoded, broken = {}, {}
        for modality, payload_of in self._misses.items():
            encoder = self._encoders[modality]
            known = self._store.lookup(encoder.fingerprint, list(payload_of))  # other items may have brought it
            left = {each: payload for each, payload in payload_of.items() if each not in known}
            num_encoded[modality], broken[modality] = len(left), _fill(encoder, left, self._store)
        return Filled(num_encoded=num_encoded, broken=broken)


def _fill(encoder: Encoder, payload_of: Mapping[bytes, bytes], store: ContentStore) -> frozenset[bytes]:
    """Encode payloads by digest into the cache; those that could not be read."""
    digests, broken = list(payload_of), set[bytes]()
    for start in range(0, len(digests), BATCH):
        chosen = digests[start : start + BATCH]
        encodings = encoder.encode([payload_of[d] for d in chosen])
        good = [row for row, reason in enumerate(encodings.reasons_N) if not reason]
        store.remember(encoder.fingerprint, [chosen[row] for row in good], encodings.values_ND[good])
        broken.update(chosen[row] for row, reason in enumerate(encodings.reasons_N) if reason)
    return frozenset(broken)


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemsUnderWay:
    """Items whose payloads are on their way into the cache."""

    items: Mapping[str, CatalogItem]
    digests: Mapping[str, Mapping[str, bytes]]
    """Modality -> item id -> digest of its payload; items that lack the modality are left out."""
    filling: Filling


def begin(
    items: Sequence[CatalogItem],
    encoders: Mapping[str, Encoder],
    store: ContentStore,
    *,
    cleaning: str = "none",
    filler: Filler | None = None,
) -> ItemsUnderWay:
    """Send what the cache lacks on its way.

    Args:
        items: Items in any order; of several with one id the last counts.
        encoders: Modality -> encoder.
        store: Its cache is read.
        cleaning: Name of the text cleaning.
        filler: Who encodes; None for this process, in finish().
    """
    newest = {item.item_id: item for item in items}
    digests, misses = _looked_up(newest, encoders, store, cleaning=cleaning)
    return ItemsUnderWay(items=newest, digests=digests, filling=(filler or FillHere(encoders, store)).begin(misses))


def unencoded(
    items: Sequence[CatalogItem], encoders: Mapping[str, Encoder], store: ContentStore, *, cleaning: str = "none"
) -> set[str]:
    """Ids of items with a payload that is not in the cache; arguments as of begin()."""
    digests, misses = _looked_up({item.item_id: item for item in items}, encoders, store, cleaning=cleaning)
    return {item_id for modality, found in digests.items() for item_id, key in found.items() if key in misses[modality]}


def _looked_up(
    items: Mapping[str, CatalogItem], encoders: Mapping[str, Encoder], store: ContentStore, *, cleaning: str
) -> tuple[dict[str, dict[str, bytes]], dict[str, dict[bytes, bytes]]]:
    """Modality -> item id -> digest of its payload, and what the cache lacks: modality -> digest -> payload."""
    digests: dict[str, dict[str, bytes]] = {modality: {} for modality in encoders}
    misses: dict[str, dict[bytes, bytes]] = {modality: {} for modality in encoders}
    for item_id, item in items.items():
        for modality, payload in payloads(item, cleaning=cleaning).items():
            if modality in encoders:
                digests[modality][item_id] = key = digest(payload)
                misses[modality][key] = payload
    for modality, found in misses.items():
        for known in store.lookup(encoders[modality].fingerprint, list(found)):
            del found[known]
    return digests, misses


def finish(under_way: ItemsUnderWay, encoders: Mapping[str, Encoder], store: ContentStore) -> EncodedItems:
    """Rows of the items, once their payloads are through.

    Raises:
        StoreError: the cache lost vectors, or an encoder's weights were changed; begin again.
    """
    filled = under_way.filling.finish()
    absent: dict[str, Counter[str]] = {modality: Counter() for modality in encoders}
    vectors: dict[str, dict[str, FloatArray]] = {modality: {} for modality in encoders}
    for modality, encoder in encoders.items():
        digest_of, kind = under_way.digests[modality], modality_named(modality)
        known = store.lookup(encoder.fingerprint, list(set(digest_of.values())))
        broken = filled.broken.get(modality, frozenset())
        if lost := set(digest_of.values()) - known.keys() - broken:
            raise StoreError(f"the cache lost {len(lost)} {modality} vectors while they were used; start again")
        for item_id, item in under_way.items.items():
            if item_id not in digest_of:
                absent[modality][NOT_FETCHED if kind.is_awaited(item) else MISSING] += 1
            elif digest_of[item_id] in known:
                vectors[modality][item_id] = np.asarray(known[digest_of[item_id]], dtype=np.float32)
            else:
                absent[modality][BROKEN] += 1
    # A modality that none of the items has is left out: its width would have to be asked of an encoder, which would be
    # loaded for nothing, and towers would learn a token that no item has.
    there = {modality: encoder for modality, encoder in encoders.items() if vectors[modality]}
    matrix = content_matrix(
        sorted(under_way.items),
        vectors,
        embedding_dims={modality: len(next(iter(vectors[modality].values()))) for modality in there},
        encoders={modality: encoder.name for modality, encoder in there.items()},
        fingerprints={modality: encoder.fingerprint for modality, encoder in there.items()},
    )
    num_payloads = {modality: len(set(found.values())) for modality, found in under_way.digests.items()}
    return EncodedItems(
        matrix=matrix,
        num_encoded=filled.num_encoded,
        num_cached={m: number - filled.num_encoded.get(m, 0) for m, number in num_payloads.items()},
        num_absent={modality: dict(counts) for modality, counts in absent.items()},
    )


def encode_items(
    items: Sequence[CatalogItem], encoders: Mapping[str, Encoder], store: ContentStore, *, cleaning: str = "none"
) -> EncodedItems:
    """Rows of `items`; what the cache lacks is encoded here and now. Arguments as of begin()."""
    return finish(begin(items, encoders, store, cleaning=cleaning), encoders, store)
