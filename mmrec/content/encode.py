"""Items -> content matrix: payloads, cache, encoders; every input that could not be encoded is counted with its reason.

The batch job fills the cache in parallel first (`misses`, `fill`), the near-line job encodes the few new ones itself:
both then call `encode_items`, so there is one way from an item to its row.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.content.encoder import BROKEN, MISSING, NOT_FETCHED, Encoder
from mmrec.content.matrix import ContentMatrix, FloatArray, content_matrix
from mmrec.content.payloads import digest, payloads
from mmrec.content.registry import modality_named
from mmrec.content.store import ContentStore


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedItems:
    """Rows of some items and what became of their modalities."""

    matrix: ContentMatrix
    num_encoded: Mapping[str, int] = field(default_factory=dict)
    """Modality -> payloads that went through an encoder."""
    num_cached: Mapping[str, int] = field(default_factory=dict)
    """Modality -> items whose vector was there."""
    num_absent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Modality -> reason ("missing", "not_fetched", "broken") -> items."""


def misses(
    items: Sequence[CatalogItem], encoders: Mapping[str, Encoder], store: ContentStore, *, cleaning: str = "none"
) -> dict[str, dict[bytes, bytes]]:
    """Modality -> digest -> payload of what no encoder has seen yet."""
    wanted: dict[str, dict[bytes, bytes]] = {modality: {} for modality in encoders}
    for item in items:
        for modality, payload in payloads(item, cleaning=cleaning).items():
            if modality in wanted:
                wanted[modality][digest(payload)] = payload
    for modality, found in wanted.items():
        for known in store.lookup(encoders[modality].fingerprint, list(found)):
            del found[known]
    return wanted


def fill(encoder: Encoder, payload_of: Mapping[bytes, bytes], store: ContentStore, *, batch: int = 64) -> Iterator[int]:
    """Encode payloads by digest into the cache, a batch at a time; yields how many are through."""
    digests = list(payload_of)
    for start in range(0, len(digests), batch):
        chosen = digests[start : start + batch]
        encodings = encoder.encode([payload_of[d] for d in chosen])
        good = [row for row, reason in enumerate(encodings.reasons_N) if not reason]
        store.remember(encoder.fingerprint, [chosen[row] for row in good], encodings.values_ND[good])
        yield min(start + batch, len(digests))


def encode_items(
    items: Sequence[CatalogItem], encoders: Mapping[str, Encoder], store: ContentStore, *, cleaning: str = "none"
) -> EncodedItems:
    """Rows of `items`; what the cache lacks is encoded here and now.

    Args:
        items: Items in any order; of several with one id the last counts.
        encoders: Modality -> encoder.
        store: Its cache is read and filled; the matrix is not written.
        cleaning: Name of the text cleaning.
    """
    newest = {item.item_id: item for item in items}
    absent: dict[str, Counter[str]] = {modality: Counter() for modality in encoders}
    vectors: dict[str, dict[str, FloatArray]] = {modality: {} for modality in encoders}
    num_encoded: dict[str, int] = {}
    num_cached: dict[str, int] = {}
    payloads_of = {item_id: payloads(item, cleaning=cleaning) for item_id, item in newest.items()}
    for modality, encoder in encoders.items():
        kind = modality_named(modality)
        digest_of = {item_id: digest(found[modality]) for item_id, found in payloads_of.items() if modality in found}
        missing = {digest_of[i]: payloads_of[i][modality] for i in digest_of}
        before = store.lookup(encoder.fingerprint, list(missing))
        to_encode = {d: payload for d, payload in missing.items() if d not in before}
        num_encoded[modality], num_cached[modality] = len(to_encode), len(missing) - len(to_encode)
        for _ in fill(encoder, to_encode, store):
            pass
        known = store.lookup(encoder.fingerprint, list(missing))
        for item_id, item in newest.items():
            if item_id not in digest_of:
                absent[modality][NOT_FETCHED if kind.is_awaited(item) else MISSING] += 1
            elif digest_of[item_id] in known:
                vectors[modality][item_id] = np.asarray(known[digest_of[item_id]], dtype=np.float32)
            else:
                absent[modality][BROKEN] += 1
    # The width of what is kept: asking the encoder would load it for nothing.
    dims = {m: store.cache.width(encoder.fingerprint) or encoder.embedding_dim for m, encoder in encoders.items()}
    matrix = content_matrix(
        sorted(newest),
        vectors,
        embedding_dims=dims,
        encoders={modality: encoder.name for modality, encoder in encoders.items()},
        fingerprints={modality: encoder.fingerprint for modality, encoder in encoders.items()},
    )
    return EncodedItems(
        matrix=matrix,
        num_encoded=num_encoded,
        num_cached=num_cached,
        num_absent={modality: dict(counts) for modality, counts in absent.items()},
    )
