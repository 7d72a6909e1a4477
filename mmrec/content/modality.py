"""What a modality is: how an item's bytes of it are read, and which frozen encoders make vectors of them (METHODS M15).

A modality is one file in mmrec/content/modalities/ and one line in its registry.py; the encoding job, content store,
cache, towers, releases and explanations read the registry, or take modalities by the names in the content matrix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmrec.catalog.item import CatalogItem
from mmrec.config import ContentSettings
from mmrec.content.composite import JOINT, CompositeEncoder, encoder_parts
from mmrec.content.encoder import Encoder
from mmrec.errors import NotFoundError, SettingError

Clean = Callable[[str], str]
"""The text cleaning of the run (mmrec.content.cleaning)."""


def _present(item: CatalogItem) -> bool:
    del item
    return False


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One kind of content."""

    name: str
    """Name in content store, topics, releases and explanations; unique among modalities, and never changed."""
    payload: Callable[[CatalogItem, Clean], bytes]
    """Canonical bytes of an item, which encoders read and the cache is keyed by; empty where the item lacks it."""
    encoders: Mapping[str, Callable[[], Encoder]]
    """Name -> loads the encoder, imports of large libraries included."""
    default_encoder: str = ""
    """Where content.encoders names none; needed where there is neither own_setting nor default_setting."""
    own_setting: str = ""
    """Setting of [content] that names the encoder; without one it is content.encoders, under the modality's name."""
    default_setting: str = ""
    """Setting of [content] whose encoder is the default, in place of default_encoder: reviews are read as texts are."""
    from_model: Callable[[str], Encoder] | None = None
    """Loads an encoder of a hub id ("owner/model") or a folder; None where only `encoders` are known."""
    reading: str = ""
    """How payloads are read, where that may change: cache and the feed's mark go by it."""
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

    def load(self, name: str) -> Encoder:
        """The encoder of that name, loaded.

        Raises:
            NotFoundError: the modality has none of that name.
        """
        parts = encoder_parts(name)
        if not self._knows(name):
            raise NotFoundError(f"{self.name} encoder {name!r} does not exist; known: {self._known()}")
        if len(parts) > 1:
            return CompositeEncoder(name, [(self.load(part.name), part.weight) for part in parts])
        if name in self.encoders:
            return self.encoders[name]()
        assert self.from_model is not None
        return self.from_model(name)

    def _knows(self, name: str) -> bool:
        parts = encoder_parts(name)
        return all(self._knows_one(part.name) for part in parts) if len(parts) > 1 else self._knows_one(name)

    def _knows_one(self, name: str) -> bool:
        return name in self.encoders or (self.from_model is not None and "/" in name)

    def _known(self) -> str:
        more = ", a hub id or a folder" if self.from_model is not None else ""
        return f'one of {", ".join(sorted(self.encoders))}{more}, or several with "{JOINT}" between them'
