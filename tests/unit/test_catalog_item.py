from mmrec.catalog.item import Availability, CatalogItem, Media, catalog_entry, from_json_value, to_json_value
from mmrec.catalog.rules import ItemChange, parse_change


def full_item() -> CatalogItem:
    return CatalogItem(
        item_id="b1",
        title="Rote Lippe – n°5",
        description="matt",
        domain="beauty",
        attributes={"color": "red", "genres": "Action|Comedy"},
        image=bytes(range(256)),
        media_type="image/png",
        media=(
            Media(modality="audio", content=b"RIFF", media_type="audio/wav"),
            Media(modality="reviews", content="très bien".encode()),
        ),
        price=12.5,
        currency="EUR",
        availability=Availability.OUT_OF_STOCK,
        publish_time_s=1_700_000_000.123456,
        update_time_s=1_700_000_001.25,
        expire_time_s=1_800_000_000.5,
    )


def test_an_item_survives_json() -> None:
    item = full_item()
    assert parse_change(b"b1", to_json_value(item)) == ItemChange(item_id="b1", item=item)
    assert from_json_value(to_json_value(item)) == item


def test_a_bare_item_survives_json() -> None:
    item = CatalogItem(item_id="x", title="X")
    assert parse_change(b"x", to_json_value(item)) == ItemChange(item_id="x", item=item)
    assert to_json_value(item) == b'{"item_id": "x", "title": "X"}'


def test_an_entry_keeps_the_serving_fields() -> None:
    entry = catalog_entry(full_item())
    assert entry.title == "Rote Lippe – n°5"
    assert entry.attributes["color"] == "red"
    assert not entry.availability.can_be_shown
