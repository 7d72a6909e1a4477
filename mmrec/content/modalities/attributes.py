"""Attributes: a fixed random direction per (name, value), so new values work; or a vocabulary fitted on the catalogue.

    attribute-hash              below
    attribute-vocabulary:FILE   a column per value and per "unknown" (mmrec.content.attribute_vocabulary)

    x = sum over names k of  mean over values v of k of  g(k, v),  then unit norm;   g ~ N(0, 1/D), drawn from a hash
Random projection of the one-hot block: dot products are kept to about 1/sqrt(D) (Johnson-Lindenstrauss).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import VALUE_SEPARATOR, attribute_values, folded
from mmrec.content.attribute_vocabulary import AttributeVocabularyEncoder
from mmrec.content.encoder import BROKEN, Encodings, FloatArray
from mmrec.content.modality import Clean, Modality
from mmrec.errors import NotFoundError

VOCABULARY = "attribute-vocabulary:"
"""Prefix of a file that jobs.fit_encoder made."""


@lru_cache(maxsize=65_536)
def _direction(token: str, embedding_dim: int) -> FloatArray:
    seed = int.from_bytes(blake2b(token.encode("utf-8"), digest_size=8).digest(), "little")
    drawn = np.random.Generator(np.random.Philox(key=seed)).standard_normal(embedding_dim)
    direction: FloatArray = (drawn / np.sqrt(embedding_dim)).astype(np.float32)
    return direction


class AttributeHashEncoder:
    """The encoder of name attribute-hash."""

    name = "attribute-hash"
    modality = "attributes"

    def __init__(self, *, embedding_dim: int = 128) -> None:
        self.embedding_dim = embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of JSON objects of strings."""
        values = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32)
        reasons = []
        for row, payload in enumerate(payloads):
            try:
                tokens = {
                    str(name): attribute_values(str(value).lower()) for name, value in json.loads(payload).items()
                }
            except (ValueError, AttributeError):
                reasons.append(BROKEN)
                continue
            for key, parts in tokens.items():
                if parts:
                    directions = [_direction(f"{key.lower()}={part}", self.embedding_dim) for part in parts]
                    values[row] += np.mean(directions, axis=0)
            norm = float(np.linalg.norm(values[row]))
            reasons.append("" if norm > 0 else BROKEN)
            if norm > 0:
                values[row] /= norm
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def _from_model(name: str) -> AttributeVocabularyEncoder:
    if not name.startswith(VOCABULARY):
        raise NotFoundError(f"attributes encoder {name!r} does not exist; known: attribute-hash, {VOCABULARY}FILE")
    return AttributeVocabularyEncoder(name, name.removeprefix(VOCABULARY))


def _weights(name: str) -> Sequence[str]:
    return (name.removeprefix(VOCABULARY),) if name.startswith(VOCABULARY) else ()


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    del clean
    attributes = {
        # Folding may bring forth the separator, of a fullwidth one: that parts no values.
        name: VALUE_SEPARATOR.join(dict.fromkeys(folded(each).replace(VALUE_SEPARATOR, " ") for each in values))
        for name, value in item.attributes.items()
        if (values := attribute_values(value))
    }
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False).encode("utf-8") if attributes else b""


ATTRIBUTES = Modality(
    name="attributes",
    payload=_payload,
    encoders={"attribute-hash": AttributeHashEncoder},
    default_encoder="attribute-hash",
    from_model=_from_model,
    models=f"{VOCABULARY}FILE",
    weights=_weights,
    is_costly=False,
)
