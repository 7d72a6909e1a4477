"""Reviews: what buyers wrote of an item, read by the encoders of texts (METHODS M15).

    x_reviews = norm( mean over the reviews r of x_text(r) )

Each review is one piece of media of modality "reviews", in UTF-8. The encoder is that of titles where
content.encoders names no other.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import decode_entities, normal_text
from mmrec.content.encoder import BROKEN, EncoderModel, Encodings
from mmrec.content.modalities.text import TEXT
from mmrec.content.modality import Clean, Modality

MAX_REVIEWS: Final = 32
"""Of an item; the first ones sent are read."""


class ReviewsEncoder:
    """Encodes each review as a text, and takes the mean.

    Args:
        name: Of the encoder of texts.
        texts: That encoder.
    """

    modality = "reviews"

    def __init__(self, name: str, texts: EncoderModel) -> None:
        self.name, self._texts = name, texts

    @property
    def embedding_dim(self) -> int:
        """D of the encoder of texts."""
        return self._texts.embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors of JSON lists of texts; a list none of whose texts can be encoded is broken."""
        reviews = [_read(payload) for payload in payloads]
        texts = sorted({text for each in reviews for text in each})
        encoded = self._texts.encode([text.encode("utf-8") for text in texts])
        vector_of = {
            t: v for t, v, reason in zip(texts, encoded.values_ND, encoded.reasons_N, strict=True) if not reason
        }
        values = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32)
        reasons = []
        for row, each in enumerate(reviews):
            vectors = [vector_of[text] for text in each if text in vector_of]
            mean = np.mean(vectors, axis=0) if vectors else values[row]
            norm = float(np.linalg.norm(mean))
            reasons.append("" if norm > 0 else BROKEN)
            if norm > 0:
                values[row] = mean / norm
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def _read(payload: bytes) -> list[str]:
    try:
        found = json.loads(payload)
    except ValueError:
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _by_texts(name: str) -> ReviewsEncoder:
    return ReviewsEncoder(name, TEXT.load(name))


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    sent = [each.content.decode("utf-8", errors="replace") for each in item.media if each.modality == "reviews"]
    texts = [clean(normal_text(decode_entities(text))) for text in sent[:MAX_REVIEWS]]
    kept = [text for text in texts if text]
    return json.dumps(kept, ensure_ascii=False).encode("utf-8") if kept else b""


REVIEWS = Modality(
    name="reviews",
    payload=_payload,
    encoders={name: partial(_by_texts, name) for name in TEXT.encoders},
    default_setting=TEXT.own_setting,
    from_model=_by_texts,
    weights=TEXT.weights,
)
