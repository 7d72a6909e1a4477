import io
import math
from dataclasses import replace

import pytest
from PIL import Image

from mmrec.catalog.cleaning import (
    CleaningPolicy,
    CleaningReason,
    CleaningReport,
    clean_item,
    clean_text,
    find_rare_values,
)
from mmrec.catalog.item import CatalogItem
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


@pytest.mark.parametrize("title", ["", "  ", "\x00\x01", "nan", "N/A"])
def test_an_item_without_a_title_is_dropped(title: str) -> None:
    cleaned = clean_item(replace(good_item(), title=title), CleaningPolicy())
    assert cleaned.item is None
    assert cleaned.reasons == (CleaningReason.MISSING_TITLE,)


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
    item = replace(good_item(), attributes={"color": "nan", "usage": "", "season": "Summer"})
    cleaned = clean_item(item, CleaningPolicy())
    assert cleaned.item is not None
    assert cleaned.item.attributes == {"usage": "Unknown", "season": "Summer"}
    assert set(cleaned.reasons) == {CleaningReason.MISSING_VALUE, CleaningReason.UNKNOWN_VALUE}


def test_rare_values_become_other_and_frequent_ones_stay() -> None:
    items = [replace(good_item(), attributes={"kind": "A|B" if i else "C|B"}) for i in range(5)]
    rare = find_rare_values(items, min_count=2)
    assert rare == {"kind": frozenset({"C"})}
    policy = CleaningPolicy(rare_values=rare)
    cleaned = [clean_item(item, policy).item for item in items]
    assert [c.attributes["kind"] for c in cleaned if c is not None] == ["Other|B", *["A|B"] * 4]


def test_junk_attributes_and_impossible_prices_go() -> None:
    item = replace(good_item(), attributes={"Unnamed: 10": "x", "color": "red"}, price=math.nan)
    cleaned = clean_item(item, CleaningPolicy(junk_attributes=frozenset({"Unnamed: 10"})))
    assert cleaned.item is not None
    assert (dict(cleaned.item.attributes), cleaned.item.price) == ({"color": "red"}, 0.0)
    assert set(cleaned.reasons) == {CleaningReason.JUNK_ATTRIBUTE, CleaningReason.BAD_PRICE}


def test_text_has_one_form() -> None:
    assert clean_text("  Cafe\u0301 \x00\n\tﬁne ") == "Café fine"


def test_cleaning_twice_is_cleaning_once() -> None:
    item = replace(good_item(), title=" Red\tshirt ", attributes={"usage": "", "color": "red|RED|red"})
    once = clean_item(item, CleaningPolicy()).item
    assert once is not None
    assert clean_item(once, CleaningPolicy()).item == once


def test_the_report_counts_every_finding() -> None:
    report = CleaningReport()
    for item in (good_item(), replace(good_item(), title=""), replace(good_item(), image=b"x")):
        report.add(clean_item(item, CleaningPolicy()))
    assert (report.num_items, report.num_dropped) == (3, 1)
    assert report.counts == {"missing_title": 1, "broken_image": 1}


def test_the_simulated_catalogue_is_clean_but_for_missing_pictures() -> None:
    config = StorefrontConfig(num_items=60, image_size=32, share_without_image=0.2)
    report = CleaningReport()
    for item in Storefront(config).catalog():
        report.add(clean_item(item, CleaningPolicy()))
    assert report.num_dropped == 0
    assert set(report.counts) == {"missing_image"}
