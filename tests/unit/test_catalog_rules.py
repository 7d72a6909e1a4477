"""One rule table for catalogue records, whichever door they come through; every record is taken or refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec.catalog.item import Availability
from mmrec.catalog.media import media_modalities
from mmrec.catalog.refusals import ItemRefusal
from mmrec.catalog.rules import MAX_ITEM_BYTES, ItemChange, parse_change
from mmrec.collecting.upsert import encode_item
from mmrec.content.modalities.registry import MODALITIES
from mmrec.errors import InvalidRequestError
from mmrec.serving.item_record import read_item_update
from mmrec.v1.catalog_pb2 import CatalogItem, Image


def judged(**fields: Any) -> ItemChange | ItemRefusal:
    document = {"item_id": "a", "title": "Red dress", **fields}
    return parse_change(b"a", json.dumps(document).encode())


def taken(**fields: Any) -> Any:
    change = judged(**fields)
    assert isinstance(change, ItemChange), change
    assert change.item is not None
    return change.item


def refused(**fields: Any) -> tuple[str, str]:
    change = judged(**fields)
    assert isinstance(change, ItemRefusal), change
    return change.reason.value, change.detail


@pytest.mark.parametrize("spelling", ["HIDDEN", "AVAILABILITY_HIDDEN", "hidden", "Availability_Hidden", 3, 3.0, "3"])
def test_known_names_of_availability_work_in_every_spelling(spelling: Any) -> None:
    assert taken(availability=spelling).availability is Availability.HIDDEN


@pytest.mark.parametrize("absent", [None, 0, "AVAILABILITY_UNSPECIFIED", "unspecified"])
def test_an_availability_that_is_not_given_is_unspecified(absent: Any) -> None:
    assert taken(availability=absent).availability is Availability.UNSPECIFIED


@pytest.mark.parametrize("unknown", ["discontinued", 77, -1, 1.5, True, "", "77", [], {}, "HIDDEN ", "1" * 5000])
def test_an_unknown_availability_is_refused_with_the_names_that_exist(unknown: Any) -> None:
    reason, detail = refused(availability=unknown)
    assert reason == "unknown_availability"
    assert "HIDDEN (3)" in detail
    assert "OUT_OF_STOCK (2)" in detail


@pytest.mark.parametrize("price", [12.5, "12.5", "1.25e1"])
def test_a_price_may_be_a_number_or_its_text(price: Any) -> None:
    assert taken(price=price).price == 12.5


@pytest.mark.parametrize(
    "price", ["1,299.00", "12,50", "$5", "", " 5", -0.01, "-3", "NaN", "Infinity", 1e999, 10**400, True, [], {"a": 1}]
)
def test_a_price_that_is_none_is_refused_not_set_to_unknown(price: Any) -> None:
    value = json.dumps({"item_id": "a", "title": "x", "price": price}).replace("Infinity", "1e999")
    change = parse_change(b"a", value.encode())
    assert isinstance(change, ItemRefusal)
    assert change.reason.value == "bad_price"
    assert "give" in change.detail


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"i" * 3_002, "bad_id"),
        (b"a\x00b", "bad_id"),
        (b"a\nb", "bad_id"),
        ("a\x85".encode(), "bad_id"),
        (b"\xff\xfe", "bad_id"),
        (b"", "missing_item_id"),
        (None, "missing_item_id"),
    ],
)
@pytest.mark.parametrize("removal", [False, True])
def test_one_rule_for_ids_also_where_an_item_is_removed(key: bytes | None, reason: str, removal: bool) -> None:
    item_id = (key or b"").decode("utf-8", errors="replace")
    value = None if removal else json.dumps({"item_id": item_id, "title": "x"}).encode()
    change = parse_change(key, value)
    assert isinstance(change, ItemRefusal)
    assert change.reason.value == reason
    with pytest.raises(InvalidRequestError, match=reason):
        read_item_update(key, value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"item_id": None}, "missing_item_id"),
        ({"item_id": "b"}, "key_mismatch"),
        ({"item_id": 7}, "wrong_type"),
        ({"title": None}, "missing_title"),
        ({"title": " \u200b\x00"}, "missing_title"),
        ({"title": "&nbsp;"}, "missing_title"),
        ({"title": 7}, "wrong_type"),
        ({"title": "\ud83d"}, "malformed_json"),
        ({"title": "x" * 9_000}, "too_large"),
        ({"description": "é" * 200_000}, "too_large"),
        ({"attributes": []}, "wrong_type"),
        ({"attributes": {"": "red"}}, "wrong_type"),
        ({"attributes": {"size": 42}}, "wrong_type"),
        ({"attributes": {"vegan": True}}, "wrong_type"),
        ({"attributes": {"color": None}}, "wrong_type"),
        ({"attributes": {"color": ["red", "blue"]}}, "wrong_type"),
        ({"attributes": {"color": {"main": "red"}}}, "wrong_type"),
        ({"attributes": {"color": "\udc00"}}, "malformed_json"),
        ({"attributes": {"color": "x" * 9_000}}, "too_large"),
        ({"attributes": {str(n): "x" for n in range(300)}}, "too_large"),
        ({"images": {}}, "wrong_type"),
        ({"images": ["x"]}, "wrong_type"),
        ({"images": [{}] * 100}, "too_large"),
        ({"images": [{"content": "!"}]}, "bad_image"),
        ({"images": [{"content": "abcde"}]}, "bad_image"),
        ({"images": [{"content": "ü"}]}, "bad_image"),
        ({"images": [{"content": 7}]}, "wrong_type"),
        ({"images": [{"content": "YQ==", "uri": "s3://b/a.png"}]}, "bad_image"),
        ({"media": {}}, "wrong_type"),
        ({"media": ["x"]}, "wrong_type"),
        ({"media": [{}] * 300}, "too_large"),
        ({"media": [{"content": "YQ=="}]}, "bad_media"),
        ({"media": [{"modality": "smell", "content": "YQ=="}]}, "bad_media"),
        ({"media": [{"modality": "registry", "content": "YQ=="}]}, "bad_media"),
        ({"media": [{"modality": "text", "content": "YQ=="}]}, "bad_media"),
        ({"media": [{"modality": "audio"}]}, "bad_media"),
        ({"media": [{"modality": "audio", "content": ""}]}, "bad_media"),
        ({"media": [{"modality": "audio", "content": "!"}]}, "bad_media"),
        ({"media": [{"modality": "audio", "uri": "https://x.example/a.wav"}]}, "bad_media"),
        ({"media": [{"modality": "audio", "content": "YQ==", "uri": "https://x.example/a.wav"}]}, "bad_media"),
        ({"publish_time": "yesterday"}, "bad_time"),
        ({"publish_time": 1_700_000_000}, "bad_time"),
        ({"publish_time": "12026-01-01T00:00:00Z"}, "bad_time"),
        ({"update_time": "2026-02-30T00:00:00Z"}, "bad_time"),
        ({"publish_time": "2026-01-01T00:00:00Z", "publishTime": "2026-01-01T00:00:00Z"}, "malformed_json"),
    ],
)
def test_what_is_no_item_is_refused_with_a_reason_and_what_would_be_right(fields: dict[str, Any], reason: str) -> None:
    found, detail = refused(**fields)
    assert found == reason
    assert detail
    assert detail.isascii()


@pytest.mark.parametrize(
    ("value", "right"),
    [(42, 'the string "42"'), (["a", "b"], '"Action|Comedy"'), (True, '"true"'), ({"b": "c"}, "names of their own")],
)
def test_an_attribute_that_is_no_text_is_told_what_would_be_right(value: Any, right: str) -> None:
    _, detail = refused(attributes={"color": value})
    assert detail.startswith("attributes.color is ")
    assert right in detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"item_id":"a","item_id":"a"}', "malformed_json"),
        (b'{"price":NaN}', "malformed_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b" " * (MAX_ITEM_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_document_is_refused(value: bytes, reason: str) -> None:
    change = parse_change(b"a", value)
    assert isinstance(change, ItemRefusal)
    assert change.reason.value == reason


def test_both_spellings_a_byte_order_mark_and_unknown_fields_are_read() -> None:
    text = (
        '{"itemId":"a","title":"T","publishTime":"2026-01-02T03:04:05.5Z","new":{"x":1},"images":[{"mediaType":"b"}]}'
    )
    change = parse_change(b"a", b"\xef\xbb\xbf" + text.encode())
    assert isinstance(change, ItemChange)
    assert change.item is not None
    assert (change.item.publish_time_s, change.item.media_type, change.num_unknown_fields) == (1767323045.5, "b", 1)


@pytest.mark.parametrize("content", ["_-8=", "/+8=", "_-8", "/+8"])
def test_images_may_be_either_base64_with_or_without_padding(content: str) -> None:
    assert taken(images=[{"content": content}, {"uri": "second"}]).image == b"\xff\xef"


def test_media_of_a_modality_that_does_not_exist_are_told_those_that_do() -> None:
    _, detail = refused(media=[{"modality": "smell", "content": "YQ=="}])
    assert detail == "media[0].modality is 'smell'; known: audio, image, reviews"
    _, detail = refused(media=[{"modality": "attributes", "content": "YQ=="}])
    assert detail == "media[0].modality is 'attributes'; give it in attributes"


def test_media_may_be_of_every_modality_that_has_no_fields_of_its_own() -> None:
    assert {*media_modalities(), "text", "attributes"} == {each.name for each in MODALITIES}


def test_media_keep_their_order_and_pictures_among_them_follow_those_of_images() -> None:
    sounds = [{"modality": "audio", "content": c, "mediaType": "audio/wav", "new": 1} for c in ("YQ==", "Yg==")]
    picture = {"modality": "image", "uri": "https://x.example/a.png", "media_type": "image/png"}
    change = judged(media=[sounds[0], picture, sounds[1]])
    assert isinstance(change, ItemChange)
    assert change.item is not None
    assert [each.content for each in change.item.media] == [b"a", b"b"]
    assert {each.media_type for each in change.item.media} == {"audio/wav"}
    assert (change.item.image, change.item.image_uri, change.num_unknown_fields) == (None, picture["uri"], 2)
    assert taken(images=[{"content": "Yw=="}], media=[picture]).image == b"c"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_value_in_any_field_is_taken_or_refused(value: Any) -> None:
    for name in (
        "item_id",
        "title",
        "attributes",
        "images",
        "media",
        "price",
        "availability",
        "publish_time",
        "currency",
    ):
        judged(**{name: value})
        judged(attributes={"color": value}, images=[{"content": value}])
        judged(media=[value, {"modality": value, "content": value}])


@given(st.binary())
def test_any_bytes_are_taken_or_refused(value: bytes) -> None:
    assert isinstance(parse_change(value, value), ItemChange | ItemRefusal)
    assert isinstance(parse_change(b"a", value), ItemChange | ItemRefusal)


def test_a_message_is_judged_as_the_record_that_it_becomes() -> None:
    late = CatalogItem(item_id="a", title="x")
    late.publish_time.seconds = 10**15
    messages = {
        "": CatalogItem(item_id="a", title="x", images=[Image(content=b"\x89PNG")]),
        "unknown_availability": CatalogItem(item_id="a", title="x", availability=77),  # type: ignore[arg-type]
        "bad_price": CatalogItem(item_id="a", title="x", price=float("nan")),
        "bad_time": late,
        "bad_id": CatalogItem(item_id="i" * 3_002, title="x"),
    }
    for reason, message in messages.items():
        change = parse_change(*encode_item(message))
        assert (change.reason.value if isinstance(change, ItemRefusal) else "") == reason
