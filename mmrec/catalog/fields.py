"""The fields that records of `catalog-items` and `item-embeddings` share, read strictly from a JSON object.

    found = known_fields(document, ("item_id", "title", ...))      both spellings, null is absent, others are counted
    price = number_field(found, "price")

Every function raises ItemRefusedError with the field, the value and what would be right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mmrec.catalog.item import Availability
from mmrec.catalog.refusals import ItemRefusedError, ItemRejection
from mmrec.catalog.values import VALUE_SEPARATOR
from mmrec.wire.documents import JSON_NUMBER, camel_case, check_text
from mmrec.wire.ids import id_problem
from mmrec.wire.instants import parse_time
from mmrec.wire.shown import shown

MAX_TITLE_BYTES: Final = 8_192
MAX_DESCRIPTION_BYTES: Final = 262_144
MAX_ATTRIBUTE_BYTES: Final = 8_192
"""Of an attribute's value, all of its parts together, and of a URI."""
MAX_NAME_BYTES: Final = 256
"""Of an attribute's name, a domain, a media type, a currency."""
MAX_ATTRIBUTES: Final = 256
DECODED: Final = 2
"""Texts behind the rules may be so many times as long: decoding entities lengthens some, "&nGt;" from 5 bytes to 6."""
_AVAILABILITY_PREFIX: Final = "AVAILABILITY_"


@dataclass(frozen=True, slots=True)
class KnownFields:
    """What a document holds of the fields that are asked for."""

    values: Mapping[str, Any]
    """By snake_case name; a field that is null is absent."""
    num_unknown: int


@lru_cache
def _forms(names: tuple[str, ...]) -> dict[str, str]:
    return {form: name for name in names for form in (name, camel_case(name))}


def known_fields(document: Mapping[str, Any], names: tuple[str, ...]) -> KnownFields:
    """Fields of a document in either spelling; one given in both is refused."""
    form_of, values, num_unknown = _forms(names), {}, 0
    for form, value in document.items():
        name = form_of.get(form)
        if name is None:
            num_unknown += 1
        elif value is not None:
            if name in values:
                raise ItemRefusedError(
                    ItemRejection.MALFORMED_JSON, f"{name} stands twice, as {name} and {camel_case(name)}; give one"
                )
            values[name] = value
    return KnownFields(values, num_unknown)


def wrong_type(name: str, value: object, right: str) -> ItemRefusedError:
    """The refusal of a value of another type."""
    return ItemRefusedError(ItemRejection.WRONG_TYPE, f"{name} is {shown(value)}; give {right}")


def text_field(fields: KnownFields, name: str, *, max_bytes: int) -> str:
    """A text, "" where absent."""
    return _text(name, fields.values.get(name, ""), max_bytes=max_bytes)


def _text(name: str, value: Any, *, max_bytes: int, right: str = "a string") -> str:
    if not isinstance(value, str):
        raise wrong_type(name, value, right)
    check_text(name, value)
    if len(value) * 4 > max_bytes and (num_bytes := len(value.encode("utf-8"))) > max_bytes:
        raise ItemRefusedError(ItemRejection.TOO_LARGE, f"{name} has {num_bytes} bytes; at most {max_bytes}")
    return value


def key_field(key: bytes | None) -> str:
    """The item id that a record's key is."""
    if not key:
        raise ItemRefusedError(ItemRejection.MISSING_ITEM_ID, "the record has no key; give the item id as key")
    try:
        item_id = key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemRefusedError(
            ItemRejection.BAD_ID, f"the key is {shown(key)}, which is no UTF-8 at byte {error.start}"
        ) from None
    if problem := id_problem("the key", item_id):
        raise ItemRefusedError(ItemRejection.BAD_ID, problem)
    return item_id


def id_field(fields: KnownFields, *, key: str) -> str:
    """The document's item id, which must be the record's key; "" where it has none."""
    value = fields.values.get("item_id", "")
    if not isinstance(value, str):
        raise wrong_type("item_id", value, "a string")
    if problem := id_problem("item_id", value):
        raise ItemRefusedError(ItemRejection.BAD_ID, problem)
    if value and value != key:
        raise ItemRefusedError(
            ItemRejection.KEY_MISMATCH, f"the key is {shown(key)} and item_id {shown(value)}; give the item id as key"
        )
    return value


def attributes_field(
    fields: KnownFields, name: str = "attributes", *, max_bytes: int = MAX_ATTRIBUTE_BYTES
) -> dict[str, str]:
    """Texts by name; several values of one name stand in one text."""
    value = fields.values.get(name, {})
    if not isinstance(value, dict):
        raise wrong_type(name, value, 'an object of strings, such as {"color": "red"}')
    if len(value) > MAX_ATTRIBUTES:
        raise ItemRefusedError(ItemRejection.TOO_LARGE, f"{name} has {len(value)} entries; at most {MAX_ATTRIBUTES}")
    for key, text in value.items():
        if not key.strip():
            raise ItemRefusedError(ItemRejection.WRONG_TYPE, f"{name} has a name {shown(key)}; give it a name to see")
        _text(f"a name of {name}", key, max_bytes=MAX_NAME_BYTES)
        _text(f"{name}.{shown(key)[1:-1]}", text, max_bytes=max_bytes, right=_right_attribute(text))
    return dict(value)


def _right_attribute(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return 'a string, such as "true", or leave it out'
    if isinstance(value, int | float):
        return f'the string "{value}"'
    if isinstance(value, list):
        return f'one string with "{VALUE_SEPARATOR}" between the values, such as "Action{VALUE_SEPARATOR}Comedy"'
    return "a string; names of nested objects become names of their own"


def price_field(fields: KnownFields, name: str = "price") -> float:
    """A price, 0 where absent, which is unknown; a string that holds a JSON number is one, as in proto3 JSON."""
    value = fields.values.get(name, 0.0)
    if isinstance(value, str) and JSON_NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        right = "a number without separators or currency, such as 1299.00; the currency stands in its own field"
        raise ItemRefusedError(ItemRejection.BAD_PRICE, f"{name} is {shown(value)}; give {right}")
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not 0 <= price < math.inf:
        raise ItemRefusedError(
            ItemRejection.BAD_PRICE, f"{name} is {price}; give a finite number >= 0, or none where it is unknown"
        )
    return price + 0.0  # -0.0 is 0


def availability_field(fields: KnownFields, name: str = "availability") -> Availability:
    """A name of Availability, with or without its prefix, in any case, or its number; unspecified where absent."""
    value = fields.values.get(name, 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        bare = value.upper().removeprefix(_AVAILABILITY_PREFIX)
        if bare in Availability.__members__:
            return Availability[bare]
        if value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value in _NUMBERS:
        return Availability(value)
    names = ", ".join(f"{each.name} ({each.value})" for each in Availability)
    raise ItemRefusedError(
        ItemRejection.UNKNOWN_AVAILABILITY,
        f"{name} is {shown(value)}; known, with or without {_AVAILABILITY_PREFIX}: {names}",
    )


_NUMBERS: Final = frozenset(int(each) for each in Availability)


def time_field(fields: KnownFields, name: str) -> float:
    """Epoch seconds to the microsecond, 0 where absent."""
    value = fields.values.get(name)
    if value is None:
        return 0.0
    time_s = parse_time(value) if isinstance(value, str) else None
    if time_s is None:
        raise ItemRefusedError(
            ItemRejection.BAD_TIME,
            f"{name} is {shown(value)}; give RFC 3339 of the years 1 to 9999, such as 2026-01-31T12:00:00Z",
        )
    return round(time_s * 1e6) / 1e6


def expire_field(fields: KnownFields) -> float:
    """`expire_time` as time_field() reads it; it must be later than `publish_time` where both are given."""
    expire_s, publish_s = time_field(fields, "expire_time"), time_field(fields, "publish_time")
    if expire_s and publish_s and expire_s <= publish_s:
        raise ItemRefusedError(
            ItemRejection.BAD_TIME,
            f"expire_time is {shown(fields.values['expire_time'])}, publish_time "
            f"{shown(fields.values['publish_time'])}: the item would never be shown; give a later expire_time or none",
        )
    return expire_s


def list_field(fields: KnownFields, name: str, *, max_length: int) -> Sequence[Any]:
    """A list, empty where absent."""
    value = fields.values.get(name, [])
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list")
    if len(value) > max_length:
        raise ItemRefusedError(ItemRejection.TOO_LARGE, f"{name} has {len(value)} entries; at most {max_length}")
    return value
