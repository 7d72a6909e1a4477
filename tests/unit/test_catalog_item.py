import pytest

from mmrec.catalog.item import (
    Availability,
    CatalogItem,
    attribute_values,
    catalog_entry,
    from_json_value,
    from_proto,
    to_json_value,
    to_proto,
)
from mmrec.errors import InvalidRequestError


def full_item() -> CatalogItem:
    return CatalogItem(
        item_id="b1",
        title="Rote Lippe – n°5",
        description="matt",
        domain="beauty",
        attributes={"color": "red", "genres": "Action|Comedy"},
        image=bytes(range(256)),
        media_type="image/png",
        price=12.5,
        currency="EUR",
        availability=Availability.OUT_OF_STOCK,
        publish_time_s=1_700_000_000.123456,
        update_time_s=1_700_000_001.25,
    )


def test_an_item_survives_json_and_proto() -> None:
    item = full_item()
    assert from_json_value(to_json_value(item)) == item
    assert from_proto(to_proto(item)) == item


def test_a_bare_item_survives_json() -> None:
    item = CatalogItem(item_id="x")
    assert from_json_value(to_json_value(item)) == item
    assert to_json_value(item) == b'{"item_id": "x"}'


def test_camel_case_and_unknown_fields_are_read() -> None:
    item = from_json_value(b'{"itemId":"a","publishTime":"2026-01-02T03:04:05.5Z","newField":{"x":1}}')
    assert item.item_id == "a"
    assert item.publish_time_s == 1767323045.5


@pytest.mark.parametrize(
    "value", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"item_id":7}', b'{"item_id":"a","price":"x"}']
)
def test_what_is_no_item_is_refused_with_a_reason(value: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        from_json_value(value)


def test_an_entry_keeps_the_serving_fields() -> None:
    entry = catalog_entry(full_item())
    assert entry.title == "Rote Lippe – n°5"
    assert entry.attributes["color"] == "red"
    assert not entry.availability.can_be_shown


def test_an_attribute_may_hold_several_values() -> None:
    assert attribute_values("Action|Comedy") == ("Action", "Comedy")
    assert attribute_values("red") == ("red",)
    assert attribute_values("") == ()
