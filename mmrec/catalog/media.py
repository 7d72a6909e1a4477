"""The rules for `images` and `media` of an item's record.

    {"images": [{"uri": "https://shop.example/red.jpg"}], "media": [{"modality": "audio", "content": "<base64>"}]}

Pictures may stand in `media`, too. Texts and attributes have fields of their own. Only pictures are fetched by URI.
"""

import base64
import binascii
import pkgutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import mmrec
from mmrec.catalog.fields import (
    MAX_ATTRIBUTE_BYTES,
    MAX_NAME_BYTES,
    KnownFields,
    known_fields,
    list_field,
    text_field,
    wrong_type,
)
from mmrec.catalog.item import Media
from mmrec.catalog.refusals import ItemRefusedError, ItemRejection
from mmrec.wire.shown import shown

MAX_IMAGES: Final = 64
MAX_MEDIA: Final = 256
"""Pieces of one item, of all modalities together; their bytes are bounded by the record's."""
IMAGE: Final = "image"
"""The modality whose files are fetched by URI."""
_IMAGE_FIELDS: Final = ("content", "uri", "media_type")
_MEDIA_FIELDS: Final = ("modality", *_IMAGE_FIELDS)
_OWN_FIELDS: Final = {"text": "title and description", "attributes": "attributes"}
_NOT_MODALITIES: Final = frozenset({"registry"})
_URL_SAFE: Final = str.maketrans("-_", "+/")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a record."""

    content: bytes | None = None
    uri: str = ""
    media_type: str = ""


NO_PICTURE: Final = Picture()


@dataclass(frozen=True, kw_only=True)
class JudgedMedia:
    """All media of a record."""

    picture: Picture
    """The item's first picture; NO_PICTURE where it has none."""
    others: tuple[Media, ...]
    """Of the other modalities, in their order."""
    num_unknown_fields: int


@cache
def media_modalities() -> tuple[str, ...]:
    """Modalities that media may be of, sorted.

    A modality is a module of mmrec.content.modalities of its name (mmrec.content.modality). Their names alone are
    looked up here: what they import is not needed to judge a record.
    """
    folder = Path(mmrec.__file__).parent / "content" / "modalities"
    modules = {each.name for each in pkgutil.iter_modules([str(folder)])}
    return tuple(sorted(modules - _NOT_MODALITIES - _OWN_FIELDS.keys()))


def judged_media(fields: KnownFields) -> JudgedMedia:
    """`images` and `media` of an item's record.

    Raises:
        ItemRefusedError: an entry is none.
    """
    images, others, num_unknown = [], [], 0
    for number, value in enumerate(list_field(fields, "images", max_length=MAX_IMAGES)):
        found = _entry(f"images[{number}]", value, _IMAGE_FIELDS, reason=ItemRejection.BAD_IMAGE)
        images.append(_file(f"images[{number}]", found, reason=ItemRejection.BAD_IMAGE))
        num_unknown += found.num_unknown
    for number, value in enumerate(list_field(fields, "media", max_length=MAX_MEDIA)):
        name = f"media[{number}]"
        found = _entry(name, value, _MEDIA_FIELDS, reason=ItemRejection.BAD_MEDIA)
        num_unknown += found.num_unknown
        modality = _modality(name, found)
        file = _file(name, found, reason=ItemRejection.BAD_MEDIA)
        if modality == IMAGE:
            images.append(file)
        else:
            others.append(_media(name, modality, file))
    return JudgedMedia(
        picture=images[0] if images else NO_PICTURE, others=tuple(others), num_unknown_fields=num_unknown
    )


def _entry(name: str, value: Any, names: tuple[str, ...], *, reason: ItemRejection) -> KnownFields:
    if not isinstance(value, dict):
        first = "" if names == _IMAGE_FIELDS else '"modality": "audio", '
        raise wrong_type(name, value, f'an object, such as {{{first}"content": "<base64>"}}')
    found = known_fields(value, names)
    if {"content", "uri"} <= found.values.keys():
        raise ItemRefusedError(reason, f"{name} has content and uri; give one of them")
    return found


def _modality(name: str, found: KnownFields) -> str:
    modality = text_field(found, "modality", max_bytes=MAX_NAME_BYTES)
    if modality in _OWN_FIELDS:
        raise ItemRefusedError(
            ItemRejection.BAD_MEDIA, f"{name}.modality is {modality!r}; give it in {_OWN_FIELDS[modality]}"
        )
    if modality not in media_modalities():
        raise ItemRefusedError(
            ItemRejection.BAD_MEDIA, f"{name}.modality is {shown(modality)}; known: {', '.join(media_modalities())}"
        )
    return modality


def _file(name: str, found: KnownFields, *, reason: ItemRejection) -> Picture:
    return Picture(
        content=_base64(f"{name}.content", found.values["content"], reason) if "content" in found.values else None,
        uri=text_field(found, "uri", max_bytes=MAX_ATTRIBUTE_BYTES),
        media_type=text_field(found, "media_type", max_bytes=MAX_NAME_BYTES),
    )


def _media(name: str, modality: str, file: Picture) -> Media:
    if file.uri:
        raise ItemRefusedError(
            ItemRejection.BAD_MEDIA, f"{name} gives {modality} by uri; only images are fetched: give its content"
        )
    if not file.content:
        raise ItemRefusedError(ItemRejection.BAD_MEDIA, f"{name} has no content; give the file in base64")
    return Media(modality=modality, content=file.content, media_type=file.media_type)


def _base64(name: str, value: Any, reason: ItemRejection) -> bytes:
    """Standard or URL-safe base64, with or without padding, as proto3 JSON reads it."""
    if not isinstance(value, str):
        raise wrong_type(name, value, "base64 of the file")
    try:
        plain = value.translate(_URL_SAFE).encode("ascii").rstrip(b"=")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ItemRefusedError(reason, f"{name} is no base64 ({error}); give the file in base64") from None
