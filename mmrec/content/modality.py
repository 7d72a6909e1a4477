"""What a modality is: how an item's bytes of it are read, and which frozen encoders make vectors of them (METHODS M15).

A modality is one file in mmrec/content/modalities/ and one line in its registry.py; the encoding job, content store,
cache, towers, releases and explanations read the registry, or take modalities by the names in the content matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from mmrec.catalog.item import CatalogItem
from mmrec.config import ContentSettings
from mmrec.content.code_digest import code_digest
from mmrec.content.composite import JOINT, CompositeEncoder, Part, encoder_parts
from mmrec.content.encoder import FINGERPRINT_LENGTH, EncoderModel
from mmrec.content.weights_digest import weights_digest
from mmrec.errors import NotFoundError, SettingError
from mmrec.home import cache_folder

Clean = Callable[[str], str]
"""The text cleaning of the run (mmrec.content.cleaning)."""


def _present(item: CatalogItem) -> bool:
    del item
    return False


def _no_weights(name: str) -> Sequence[str]:
    del name
    return ()


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One kind of content."""

    name: str
    """Name in content store, topics, releases and explanations; unique among modalities, and never changed."""
    payload: Callable[[CatalogItem, Clean], bytes]
    """Canonical bytes of an item, which encoders read and the cache is keyed by; empty where the item lacks it."""
    encoders: Mapping[str, Callable[[], EncoderModel]]
    """Name -> loads the encoder, imports of large libraries included."""
    default_encoder: str = ""
    """Where content.encoders names none; needed where there is neither own_setting nor default_setting."""
    own_setting: str = ""
    """Setting of [content] that names the encoder; without one it is content.encoders, under the modality's name."""
    default_setting: str = ""
    """Setting of [content] whose encoder is the default, in place of default_encoder: reviews are read as texts are."""
    from_model: Callable[[str], EncoderModel] | None = None
    """Loads an encoder of a hub id ("owner/model"), a folder or a file; None where only `encoders` are known."""
    models: str = "a hub id or a folder"
    """What from_model takes, in words; names of it have a "/"."""
    weights: Callable[[str], Sequence[str]] = _no_weights
    """Name of an encoder -> the files, folders and hub ids it reads; empty where it only computes. Loads nothing."""
    is_awaited: Callable[[CatalogItem], bool] = _present
    """Whether an item without a payload names one that is still to be fetched."""
    is_costly: bool = True
    """Whether a catalogue's payloads are worth worker processes."""

    def __post_init__(self) -> None:
        if not self.own_setting and not self.default_setting and self.default_encoder not in self.encoders:
            raise ValueError(
                f"modality {self.name!r} has the default encoder {self.default_encoder!r}; "
                f"give one of: {', '.join(sorted(self.encoders))}"
            )

    @property
    def setting(self) -> str:
        """The setting that names its encoder, within [content]."""
        return self.own_setting or f"encoders.{self.name}"

    def follows(self, content: ContentSettings) -> bool:
        """Whether a configuration leaves its encoder to the setting of another modality."""
        return bool(self.default_setting) and self.name not in content.encoders

    def chosen(self, content: ContentSettings) -> str:
        """Name of the encoder that a configuration asks for.

        Raises:
            SettingError: the modality has no such encoder.
        """
        if self.own_setting:
            name = str(getattr(content, self.own_setting))
        else:
            default = getattr(content, self.default_setting) if self.default_setting else self.default_encoder
            name = content.encoders.get(self.name, str(default))
        if not self._knows(name):
            raise SettingError(("content", *self.setting.split(".")), f"is {name!r}; give {self._known()}")
        return name

    def load(self, name: str) -> EncoderModel:
        """The encoder of that name, loaded.

        Raises:
            NotFoundError: the modality has none of that name.
        """
        parts = self._checked(name)
        if len(parts) > 1:
            return CompositeEncoder(name, [(self.load(part.name), part.weight) for part in parts])
        if name in self.encoders:
            return self.encoders[name]()
        assert self.from_model is not None
        return self.from_model(name)

    def fingerprint(self, name: str) -> str:
        """Of weights and code of the encoder of that name: FINGERPRINT_LENGTH digits in hex; loads nothing.

            sha256(name, code that makes its vectors, content of what it reads)
            sha256(name, code that joins, fingerprints of the parts)                where there are several parts

        Weights of 90 MB take about 0.3 s the first time and nothing later (mmrec.content.weights_digest).

        Raises:
            NotFoundError: the modality has none of that name, or there are no weights.
        """
        parts = self._checked(name)
        if len(parts) > 1:
            code, weights = code_digest(CompositeEncoder), " ".join(self.fingerprint(part.name) for part in parts)
        else:
            made_by = self.encoders.get(name, self.from_model)
            assert made_by is not None
            code = code_digest(made_by)
            weights = weights_digest(self.weights(name), kept=cache_folder() / "weights")
        return sha256("\0".join((self.name, name, code, weights)).encode()).hexdigest()[:FINGERPRINT_LENGTH]

    def _checked(self, name: str) -> tuple[Part, ...]:
        if not self._knows(name):
            raise NotFoundError(f"{self.name} encoder {name!r} does not exist; known: {self._known()}")
        return encoder_parts(name)

    def _knows(self, name: str) -> bool:
        parts = encoder_parts(name)
        return all(self._knows_one(part.name) for part in parts) if len(parts) > 1 else self._knows_one(name)

    def _knows_one(self, name: str) -> bool:
        return name in self.encoders or (self.from_model is not None and "/" in name)

    def _known(self) -> str:
        more = f", {self.models}" if self.from_model is not None else ""
        several = f', or several with "{JOINT}" between them' if more or len(self.encoders) > 1 else ""
        return f"one of {', '.join(sorted(self.encoders))}{more}{several}"
