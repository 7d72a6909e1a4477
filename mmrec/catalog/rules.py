"""The rule table of catalogue records: what one must be, and the reason it is refused otherwise.

    parse_change(key, value) -> ItemChange | ItemRefusal       a record of topic `catalog-items`

The topic's reader and UpsertItems both ask here, so that what one door refuses the other does not take. Read is the
proto3 JSON of mmrec.v1.CatalogItem in snake_case and camelCase. Unknown fields are ignored and counted, so that
producers may be newer; an unknown value of a known field is refused.
"""

from dataclasses import dataclass
from typing import Final

from mmrec.catalog.fields import (
    MAX_DESCRIPTION_BYTES,
    MAX_NAME_BYTES,
    MAX_TITLE_BYTES,
    KnownFields,
    attributes_field,
    availability_field,
    expire_field,
    id_field,
    key_field,
    known_fields,
    price_field,
    text_field,
    time_field,
)
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.media import judged_media
from mmrec.catalog.refusals import ItemRefusal, ItemRefusedError, ItemRejection
from mmrec.catalog.values import is_blank
from mmrec.wire.documents import DocumentError, load_document
from mmrec.wire.shown import shown

MAX_ITEM_BYTES: Final = 7 * 1024 * 1024
"""Of a record's value; stays below what the topic takes."""
_FIELDS: Final = (
    *("item_id", "title", "description", "domain", "attributes", "images", "price", "currency"),
    *("availability", "publish_time", "update_time", "expire_time", "media"),
)


@dataclass(frozen=True, kw_only=True)
class ItemChange:
    """What a record says."""

    item_id: str
    item: CatalogItem | None
    """None: the item is removed."""
    num_unknown_fields: int = 0


def parse_change(key: bytes | None, value: bytes | None) -> ItemChange | ItemRefusal:
    """A record of `catalog-items`, judged; every record is one or the other, whatever it holds.

    Args:
        key: The item id in UTF-8.
        value: proto3 JSON; None removes the item.
    """
    try:
        item_id = key_field(key)
        if value is None:
            return ItemChange(item_id=item_id, item=None)
        fields = known_fields(load_document(value, max_bytes=MAX_ITEM_BYTES), _FIELDS)
        item, num_unknown = _item(item_id, fields)
        return ItemChange(item_id=item_id, item=item, num_unknown_fields=num_unknown)
    except DocumentError as error:
        return ItemRefusal(ItemRejection(error.reason), error.detail)
    except ItemRefusedError as error:
        return error.refusal


def _item(item_id: str, fields: KnownFields) -> tuple[CatalogItem, int]:
    if not id_field(fields, key=item_id):
        raise ItemRefusedError(ItemRejection.MISSING_ITEM_ID, "give item_id")
    title = text_field(fields, "title", max_bytes=MAX_TITLE_BYTES)
    if is_blank(title):
        raise ItemRefusedError(ItemRejection.MISSING_TITLE, f"title is {shown(title)}; give a title that can be seen")
    media = judged_media(fields)
    item = CatalogItem(
        item_id=item_id,
        title=title,
        description=text_field(fields, "description", max_bytes=MAX_DESCRIPTION_BYTES),
        domain=text_field(fields, "domain", max_bytes=MAX_NAME_BYTES),
        attributes=attributes_field(fields),
        image=media.picture.content,
        image_uri=media.picture.uri,
        media_type=media.picture.media_type,
        media=media.others,
        price=price_field(fields),
        currency=text_field(fields, "currency", max_bytes=MAX_NAME_BYTES),
        availability=availability_field(fields),
        publish_time_s=time_field(fields, "publish_time"),
        update_time_s=time_field(fields, "update_time"),
        expire_time_s=expire_field(fields),
    )
    return item, fields.num_unknown + media.num_unknown_fields
