"""One item of the catalogue, whole (CatalogItem) and as serving needs it (CatalogEntry).

The wire form is the proto3 JSON of mmrec.v1.CatalogItem, written here in snake_case; mmrec.catalog.rules reads it. An
attribute may hold several values, written with "|" between them, such as genres = "Action|Comedy": encoders, filters
and features split them by mmrec.catalog.values and treat each value on its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from mmrec.errors import InvalidRequestError
from mmrec.v1 import catalog_pb2, recommender_pb2


class Availability(IntEnum):
    """Numbers of mmrec.v1.Availability."""

    UNSPECIFIED = 0
    AVAILABLE = 1
    OUT_OF_STOCK = 2
    HIDDEN = 3

    @property
    def can_be_shown(self) -> bool:
        """Whether a list may hold the item now; unspecified counts as available."""
        return self in {Availability.UNSPECIFIED, Availability.AVAILABLE}


@dataclass(frozen=True, kw_only=True)
class Media:
    """One file of content of a modality that has no field of its own."""

    modality: str
    """Name in mmrec.content.modalities.registry, such as "audio"; never "image"."""
    content: bytes
    """The encoded file, or UTF-8 text; not empty."""
    media_type: str = ""
    """Such as "audio/wav"; may be empty."""


@dataclass(frozen=True, kw_only=True)
class CatalogItem:
    """An item as it is published on topic `catalog-items`."""

    item_id: str
    title: str = ""
    description: str = ""
    domain: str = ""
    """Such as "beauty"; empty where the catalogue has one domain."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Categorical values by name; several values of one name stand in one string with "|" between them."""
    image: bytes | None = None
    """The encoded image file (JPEG, PNG, ...); None where there is none."""
    image_uri: str = ""
    """Where the image can be fetched if `image` is None."""
    media_type: str = ""
    """Of the image, such as "image/jpeg"; may be empty."""
    media: tuple[Media, ...] = ()
    """Content of other modalities, such as audio and reviews, in the order in which it was sent."""
    price: float = 0.0
    """0 where unknown."""
    currency: str = ""
    availability: Availability = Availability.UNSPECIFIED
    publish_time_s: float = 0.0
    """Epoch seconds; 0 where unknown. Kept to the microsecond."""
    update_time_s: float = 0.0
    """Epoch seconds of this state of the item; 0 where unknown."""
    expire_time_s: float = 0.0
    """Epoch seconds from which lists do not contain the item any more; 0 where it stays."""

    def __post_init__(self) -> None:
        if not self.item_id:
            raise InvalidRequestError("an item without item_id; every item needs a non-empty item_id")


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """What serving knows of an item: all of CatalogItem but description, image and media.

    Feast keeps it as item_content.
    """

    item_id: str
    title: str = ""
    domain: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    price: float = 0.0
    currency: str = ""
    availability: Availability = Availability.UNSPECIFIED
    publish_time_s: float = 0.0
    update_time_s: float = 0.0
    expire_time_s: float = 0.0
    inferred_attributes: Mapping[str, float] = field(default_factory=dict)
    """Those of `attributes` that no merchant gave and a model inferred -> its confidence, in (0, 1]."""

    @property
    def given_attributes(self) -> Mapping[str, str]:
        """`attributes` as the merchant gave them: what filters match, what lists show, and what models learn from."""
        if not self.inferred_attributes:
            return self.attributes
        return {name: value for name, value in self.attributes.items() if name not in self.inferred_attributes}

    def has_expired(self, as_of_s: float) -> bool:
        """Whether lists as of an instant do not contain the item any more; the instant of expiry itself is one."""
        return 0.0 < self.expire_time_s <= as_of_s

    @cached_property
    def listed(self) -> bytes:
        """The serialized RecommendedItem of any list with this item: what speaks of the item alone. Made once."""
        item = recommender_pb2.RecommendedItem(
            item_id=self.item_id,
            title=self.title,
            domain=self.domain,
            attributes=self.given_attributes,
            price=self.price,
            currency=self.currency,
            out_of_stock=self.availability is Availability.OUT_OF_STOCK,
        )
        listed: bytes = item.SerializeToString()
        return listed


def catalog_entry(item: CatalogItem) -> CatalogEntry:
    """The serving fields of an item."""
    return CatalogEntry(
        item_id=item.item_id,
        title=item.title,
        domain=item.domain,
        attributes=dict(item.attributes),
        price=item.price,
        currency=item.currency,
        availability=item.availability,
        publish_time_s=item.publish_time_s,
        update_time_s=item.update_time_s,
        expire_time_s=item.expire_time_s,
    )


def to_proto(item: CatalogItem) -> catalog_pb2.CatalogItem:
    """The message of an item; absent times, images and media stay unset."""
    message = catalog_pb2.CatalogItem(
        item_id=item.item_id,
        title=item.title,
        description=item.description,
        domain=item.domain,
        attributes=dict(item.attributes),
        price=item.price,
        currency=item.currency,
        availability=catalog_pb2.Availability.Name(int(item.availability)),
    )
    if item.image is not None:
        message.images.add(content=item.image, media_type=item.media_type)
    elif item.image_uri:
        message.images.add(uri=item.image_uri, media_type=item.media_type)
    for each in item.media:
        message.media.add(modality=each.modality, content=each.content, media_type=each.media_type)
    if item.publish_time_s:
        message.publish_time.CopyFrom(_timestamp(item.publish_time_s))
    if item.update_time_s:
        message.update_time.CopyFrom(_timestamp(item.update_time_s))
    if item.expire_time_s:
        message.expire_time.CopyFrom(_timestamp(item.expire_time_s))
    return message


def to_json_value(item: CatalogItem) -> bytes:
    """Value of the item's record on topic `catalog-items`: one line of proto3 JSON, keys sorted, UTF-8."""
    text: str = json_format.MessageToJson(
        to_proto(item), preserving_proto_field_name=True, indent=None, sort_keys=True, ensure_ascii=False
    )
    return text.encode("utf-8")


def from_json_value(value: bytes) -> CatalogItem:
    """The item that to_json_value() wrote. Records of strangers are read by mmrec.catalog.rules.

    Raises:
        InvalidRequestError: the value is none.
    """
    message = catalog_pb2.CatalogItem()
    try:
        json_format.Parse(value.decode("utf-8"), message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{len(value)} bytes are no item that was kept: {error}") from None
    image = message.images[0] if message.images else catalog_pb2.Image()
    return CatalogItem(
        item_id=message.item_id,
        title=message.title,
        description=message.description,
        domain=message.domain,
        attributes=dict(message.attributes),
        image=image.content if image.WhichOneof("source") == "content" else None,
        image_uri=image.uri,
        media_type=image.media_type,
        media=tuple(
            Media(modality=each.modality, content=each.content, media_type=each.media_type) for each in message.media
        ),
        price=message.price,
        currency=message.currency,
        availability=Availability(int(message.availability)),
        publish_time_s=_seconds(message.publish_time) if message.HasField("publish_time") else 0.0,
        update_time_s=_seconds(message.update_time) if message.HasField("update_time") else 0.0,
        expire_time_s=_seconds(message.expire_time) if message.HasField("expire_time") else 0.0,
    )


def _seconds(timestamp: Timestamp) -> float:
    return (int(timestamp.seconds) * 1_000_000 + int(timestamp.nanos) // 1_000) / 1e6


def _timestamp(time_s: float) -> Timestamp:
    microseconds = round(time_s * 1e6)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1_000)
