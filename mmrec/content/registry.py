"""Encoders by name. Names with a slash are hub ids or folders and go through transformers.

encoder("image", "efficientnet-lite0")      encoder("text", "sentence-transformers/all-mpnet-base-v2")
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from mmrec.content.attributes import AttributeHashEncoder
from mmrec.content.encoder import Encoder, Encodings
from mmrec.content.image import ColorHistogramEncoder, EfficientNetLite0Encoder, TransformerImageEncoder
from mmrec.content.text import HashingTextEncoder, TransformerTextEncoder, minilm
from mmrec.errors import NotFoundError

ATTRIBUTE_ENCODER = "attribute-hash"
FIRST_LAST = "first-last:"
"""Prefix of a text model's hub id: the mean of its first and its last hidden layer (METHODS M9)."""

_ENCODERS: dict[str, dict[str, Callable[[], Encoder]]] = {
    "text": {
        "minilm": minilm,
        "minilm-first-last": lambda: minilm(pooling="first-last"),
        "hashing-tf": HashingTextEncoder,
    },
    "image": {"efficientnet-lite0": EfficientNetLite0Encoder, "color-histogram": ColorHistogramEncoder},
    "attributes": {ATTRIBUTE_ENCODER: AttributeHashEncoder},
}


class LazyEncoder:
    """An encoder that is loaded when the first input needs it: where the cache knows everything, never."""

    def __init__(self, modality: str, name: str, *, num_threads: int | None = None) -> None:
        self.modality, self.name, self._num_threads = modality, name, num_threads

    @cached_property
    def _loaded(self) -> Encoder:
        return encoder(self.modality, self.name, num_threads=self._num_threads)

    @property
    def embedding_dim(self) -> int:
        """D; loads."""
        return self._loaded.embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """See Encoder; loads."""
        return self._loaded.encode(payloads)


def encoder_names(modality: str) -> tuple[str, ...]:
    """Names that need no hub."""
    return tuple(sorted(_ENCODERS.get(modality, {})))


def encoder(modality: str, name: str, *, num_threads: int | None = None) -> Encoder:
    """The encoder of that name, loaded.

    Args:
        modality: "text", "image" or "attributes".
        name: A known name, a hub id ("owner/model") or a folder.
        num_threads: Threads of torch in this process; None leaves them.

    Raises:
        NotFoundError: neither a known name nor a hub id nor a folder.
    """
    if num_threads is not None:
        import torch

        torch.set_num_threads(num_threads)
    known = _ENCODERS.get(modality)
    if known is None:
        raise NotFoundError(f"modality {modality!r} has no encoders; known: {', '.join(sorted(_ENCODERS))}")
    if name in known:
        return known[name]()
    model = name.removeprefix(FIRST_LAST)
    if modality in {"text", "image"} and "/" in model:
        local = Path(model).is_dir()
        if modality == "image":
            return TransformerImageEncoder(name, model, local=local)
        return TransformerTextEncoder(name, model, pooling="first-last" if name != model else "mean", local=local)
    raise NotFoundError(f"{modality} encoder {name!r} does not exist; known: {', '.join(known)}, or a hub id or folder")
