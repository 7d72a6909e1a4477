import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmrec.catalog.cleaning import (
    CleaningPolicy,
    CleaningReason,
    clean_item,
    cleaning_policy,
)
from mmrec.catalog.item import CatalogItem
from mmrec.catalog.values import attribute_values, folded, shown_text
from mmrec.config import CatalogSettings
from mmrec.simulator.settings import StorefrontConfig
from mmrec.simulator.storefront import Storefront


def png() -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").save(out, format="PNG")
    return out.getvalue()


def good_item() -> CatalogItem:
    return CatalogItem(item_id="a", title="Red shirt", attributes={"color": "red"}, image=png(), media_type="image/png")


def test_a_clean_item_is_left_alone() -> None:
    cleaned = clean_item(good_item(), CleaningPolicy())
    assert cleaned.item == good_item()
    assert cleaned.reasons == ()


@pytest.mark.parametrize("title", ["", "  ", "\x00\x01", "&nbsp;", "\u200b\ufeff"])
def test_an_item_without_a_title_is_dropped(title: str) -> None:
    cleaned = clean_item(replace(good_item(), title=title), CleaningPolicy())
    assert cleaned.item is None
    assert cleaned.reasons[0] is CleaningReason.MISSING_TITLE
    assert set(cleaned.reasons[1:]) <= {CleaningReason.ENTITIES, CleaningReason.CONTROL_CHARACTERS}


@pytest.mark.parametrize("image", [b"", b"no picture", png()[:200], png()[:-60], b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_broken_picture_is_taken_off_and_the_item_stays(image: bytes) -> None:
    cleaned = clean_item(replace(good_item(), image=image), CleaningPolicy())
    assert cleaned.item is not None
    assert (cleaned.item.image, cleaned.item.media_type) == (None, "")
    assert cleaned.reasons == (CleaningReason.BROKEN_IMAGE,)
    assert cleaned.image_problem


def test_a_missing_picture_is_counted_unless_there_is_a_place_to_fetch_it() -> None:
    bare = replace(good_item(), image=None)
    assert clean_item(bare, CleaningPolicy()).reasons == (CleaningReason.MISSING_IMAGE,)
    assert clean_item(replace(bare, image_uri="s3://x/y.jpg"), CleaningPolicy()).reasons == ()


def test_missing_values_are_left_out_or_become_unknown() -> None:
    item = replace(good_item(), attributes={"color": " | ", "usage": "", "season": "Summer"})
    cleaned = clean_item(item, CleaningPolicy())
    assert cleaned.item is not None
    assert cleaned.item.attributes == {"usage": "Unknown", "season": "Summer"}
    assert set(cleaned.reasons) == {CleaningReason.MISSING_VALUE, CleaningReason.UNKNOWN_VALUE}


def test_rare_values_become_other_and_frequent_ones_stay() -> None:
    items = [replace(good_item(), attributes={"kind": "A|B" if i else "C|B"}) for i in range(5)]
    policy = CleaningPolicy(rare_values={"kind": frozenset({"C"})})
    cleaned = [clean_item(item, policy).item for item in items]
    assert [c.attributes["kind"] for c in cleaned if c is not None] == ["Other|B", *["A|B"] * 4]


def test_junk_attributes_go() -> None:
    item = replace(good_item(), attributes={"Unnamed: 10": "x", "color": "red"})
    cleaned = clean_item(item, CleaningPolicy(junk_attributes=frozenset({"Unnamed: 10"})))
    assert cleaned.item is not None
    assert dict(cleaned.item.attributes) == {"color": "red"}
    assert cleaned.reasons == (CleaningReason.JUNK_ATTRIBUTE,)


@pytest.mark.parametrize(
    "title",
    [
        "Size 10½",
        "10¹² bytes",
        "Jeans 501™",
        "Cafe\u0301 ﬁne",
        "می\u200cخواهم",
        "👨\u200d👩\u200d👧 puzzle",
        "❤\ufe0f charm",
        "None",
        "NaN",
        "N/A",
        "a  b",
        "1 < 2 & 3",
        "AT&T &notit; &copy",
        "<b>bold</b>",
    ],
)
def test_texts_are_shown_as_they_were_sent(title: str) -> None:
    item = replace(good_item(), title=title, domain=title, attributes={"name": title, "country": "NA"})
    cleaned = clean_item(item, CleaningPolicy())
    assert (cleaned.item, cleaned.reasons) == (item, ())


def test_control_characters_become_spaces_and_are_counted() -> None:
    cleaned = clean_item(replace(good_item(), title=" Red \x00\n\tdress\x85"), CleaningPolicy())
    assert cleaned.item is not None
    assert cleaned.item.title == "Red dress"
    assert cleaned.reasons == (CleaningReason.CONTROL_CHARACTERS,)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Ben &amp; Jerry&#39;s", "Ben & Jerry's"),
        ("&amp;amp;", "&amp;"),
        ("Caf&eacute; &#x2013; &quot;x&quot;", 'Café – "x"'),
        ("5 &lt; 6", "5 < 6"),
        ("&#xD800;", "\ufffd"),
        ("a&#0;b&#10;c", "a\ufffdb c"),
    ],
)
def test_entities_are_decoded_once_and_counted(sent: str, shown: str) -> None:
    item = replace(good_item(), title=sent, description=sent, attributes={"brand": sent})
    cleaned = clean_item(item, CleaningPolicy())
    assert cleaned.item is not None
    assert {cleaned.item.title, cleaned.item.description, cleaned.item.attributes["brand"]} == {shown}
    assert CleaningReason.ENTITIES in cleaned.reasons
    left = clean_item(item, CleaningPolicy(decode_entities=False))
    assert left.item == item


def test_only_what_is_configured_for_an_attribute_is_missing() -> None:
    settings = CatalogSettings(missing_values={"color": ("N/A", "-")}, unknown_attributes=("fit",))
    item = replace(good_item(), attributes={"color": "n/a", "country": "NA", "fit": "", "tags": "-|x", "size": "N/A"})
    cleaned = clean_item(item, cleaning_policy(settings))
    assert cleaned.item is not None
    assert cleaned.item.attributes == {"country": "NA", "fit": "Unknown", "tags": "-|x", "size": "N/A"}
    assert set(cleaned.reasons) == {CleaningReason.MISSING_VALUE, CleaningReason.UNKNOWN_VALUE}
    several = clean_item(replace(item, attributes={"color": "Red | n/a | Blue"}), cleaning_policy(settings))
    assert several.item is not None
    assert several.item.attributes == {"color": "Red|Blue"}
    assert several.reasons == (CleaningReason.MISSING_VALUE,)


def test_several_values_are_shown_as_they_were_sent_and_read_without_their_spaces() -> None:
    item = replace(good_item(), attributes={"genres": "Action | Comedy||"})
    cleaned = clean_item(item, CleaningPolicy())
    assert cleaned.item == item
    assert attribute_values("Action | Comedy||") == ("Action", "Comedy")
    assert attribute_values("red") == ("red",)
    assert attribute_values("") == attribute_values(" | ") == ()


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert shown_text(shown_text(text)) == shown_text(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Comedy", " comedy "),
        ("10½", "10½"),
        ("STRASSE", "Straße"),
        ("ＡＢＣ", "abc"),
        ("Cafe\u0301", "CAFÉ"),
        ("می\u200cخواهم", "میخواهم"),
        ("❤\ufe0f", "❤"),
    ],
)
def test_what_differs_in_case_or_form_alone_is_compared_as_one(one: str, other: str) -> None:
    assert folded(one) == folded(other) != ""


def test_cleaning_twice_is_cleaning_once() -> None:
    item = replace(good_item(), title=" Red\tshirt ", attributes={"usage": "", "color": "red|RED|red"})
    once = clean_item(item, CleaningPolicy()).item
    assert once is not None
    assert clean_item(once, CleaningPolicy()).item == once


def test_the_simulated_catalogue_is_clean_but_for_missing_pictures() -> None:
    config = StorefrontConfig(num_items=60, image_size=32, share_without_image=0.2)
    cleaned = [clean_item(item, CleaningPolicy()) for item in Storefront(config).catalog()]
    assert all(each.item is not None for each in cleaned)
    assert {reason for each in cleaned for reason in each.reasons} == {CleaningReason.MISSING_IMAGE}
