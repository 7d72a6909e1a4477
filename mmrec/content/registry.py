"""Modalities and their encoders by name.

encoder("image", "efficientnet-lite0")      encoder("text", "sentence-transformers/all-mpnet-base-v2")
"""

from collections.abc import Sequence
from functools import cached_property

from mmrec.config import ContentSettings
from mmrec.content.encoder import EncoderModel, Encodings
from mmrec.content.modalities.registry import MODALITIES
from mmrec.content.modality import Modality
from mmrec.errors import NotFoundError, SettingError, StoreError


class LazyEncoder:
    """An encoder that is loaded when the first input needs it: where the cache knows everything, never.

    Its fingerprint is that of the first look: where weights change until they are loaded, loading raises StoreError.
    """

    def __init__(self, modality: str, name: str, *, num_threads: int | None = None, fingerprint: str = "") -> None:
        """Args:
        num_threads: Threads of torch in this process; None leaves them.
        fingerprint: What another process saw at its first look; empty to look here.
        """
        self.modality, self.name, self._num_threads = modality, name, num_threads
        self._expected = fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """See Encoder; loads nothing."""
        return self._expected or modality_named(self.modality).fingerprint(self.name)

    @cached_property
    def _loaded(self) -> EncoderModel:
        expected = self.fingerprint
        if self._num_threads is not None:
            import torch

            torch.set_num_threads(self._num_threads)
        kind = modality_named(self.modality)
        loaded = kind.load(self.name)
        if (found := kind.fingerprint(self.name)) != expected:
            raise StoreError(
                f"{self.modality} encoder {self.name!r} has fingerprint {found}, and had {expected} when this process "
                "looked first: its weights were changed; start again, which encodes with the new ones"
            )
        return loaded

    def load(self) -> None:
        """Load it now.

        Raises:
            NotFoundError: there is none of that name.
            StoreError: its weights were changed since its fingerprint was asked for.
        """
        assert self._loaded is not None

    @property
    def embedding_dim(self) -> int:
        """D; loads."""
        return self._loaded.embedding_dim

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """See Encoder; loads."""
        return self._loaded.encode(payloads)


def modality_named(name: str) -> Modality:
    """The modality of that name; NotFoundError names those that exist."""
    for each in MODALITIES:
        if each.name == name:
            return each
    known = ", ".join(sorted(each.name for each in MODALITIES))
    raise NotFoundError(f"modality {name!r} has no encoders; known: {known}")


def chosen_encoders(content: ContentSettings) -> dict[str, str]:
    """Modality -> name of the encoder that a configuration asks for, of all modalities.

    Raises:
        SettingError: content.encoders names no modality that it chooses for, or an encoder that does not exist.
    """
    free = sorted(each.name for each in MODALITIES if not each.own_setting)
    for name in content.encoders:
        if name not in free:
            raise SettingError(("content", "encoders", name), f"chooses for no modality; give one of {', '.join(free)}")
    return {each.name: each.chosen(content) for each in MODALITIES}


def encoder_names(modality: str) -> tuple[str, ...]:
    """Names that need no hub."""
    return tuple(sorted(modality_named(modality).encoders))


def encoder(modality: str, name: str, *, num_threads: int | None = None) -> LazyEncoder:
    """The encoder of that name, loaded.

    Args:
        modality: Name of a modality, such as "text".
        name: A known name, a hub id ("owner/model") or a folder.
        num_threads: Threads of torch in this process; None leaves them.

    Raises:
        NotFoundError: neither a known name nor a hub id nor a folder.
        StoreError: its weights were changed while they were loaded.
    """
    found = LazyEncoder(modality, name, num_threads=num_threads)
    found.load()
    return found
