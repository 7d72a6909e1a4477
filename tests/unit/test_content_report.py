"""The content report is one page that needs nothing else, and says what was planted in catalogue and findings."""

import re
import subprocess
import sys
import tracemalloc
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mmrec.catalog.item import CatalogItem
from mmrec.config import CatalogSettings, Settings
from mmrec.errors import InvalidRequestError
from mmrec.evaluation.group_split import group_split
from mmrec.reports import bar_charts, charts
from mmrec.reports.catalogues import read_catalogue
from mmrec.reports.cleaning_html import cleaning_section
from mmrec.reports.data_pictures import class_balance, crossed, data_findings, missing_shares, value_counts
from mmrec.reports.encoded_catalogue import EncodedCatalogue
from mmrec.reports.findings import Findings, Text, write_findings
from mmrec.reports.findings_html import Shown, findings_section
from mmrec.reports.page import page, photograph
from mmrec.reports.spooled_items import SpooledItems, items_of
from mmrec.training.content_trainings import train_on_catalogue
from tests import fashion_form
from tests.damaged_pictures import damaged_avif
from tests.unit.test_findings import EVERY_KIND

EMPTY_TAGS = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags of a page: that they close, and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.num_pictures = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.num_pictures += tag == "img"
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "data", "action", "srcset"}]
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def item(item_id: str, **attributes: str) -> CatalogItem:
    return CatalogItem(item_id=item_id, title=f"Title {item_id}", attributes=attributes)


def drawings(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a quick run on the simulated shop, with a short training and an earlier one's findings."""
    folder = tmp_path_factory.mktemp("report")
    write_findings(folder / "trained", EVERY_KIND)
    out = folder / "page.html"
    config = folder / "mmrec.toml"
    config.write_text("[training.align]\nepochs = 2\nnum_heads = 1\n", encoding="utf-8")
    asked = ["--config", str(config), "--quick", "--max-items", "80", "--num-threads", "1", "--train", "align"]
    asked += ["--findings", str(folder / "trained"), "--out", str(out)]
    environment = {"MMREC_CACHE_DIR": str(folder / "cache"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-m", "jobs.report_content", *asked], check=True, env=environment, cwd=root)
    return out.read_text(encoding="utf-8")


def test_a_quick_report_on_the_simulated_shop_is_one_page_that_loads_nothing(written: str) -> None:
    found = Page(written)
    assert found.open == []
    assert found.references and all(each.startswith("data:image/") for each in found.references)
    assert not re.search(r"url\(|@import|<script|<link|<iframe", written)
    assert found.headings[:4] == ["Cleaning", "Pictures of the data", "What frozen encoders know", EVERY_KIND.title]
    assert len(found.headings) == 5 and "Alignment" in found.headings[4]
    assert found.num_pictures > 30


def test_its_drawings_are_well_formed_and_hold_finite_places(written: str) -> None:
    drawn = drawings(written)
    assert len(drawn) >= 15
    for one in drawn:
        assert "nan" not in ET.tostring(one, encoding="unicode").lower().replace("nanny", "")


def test_a_report_says_what_frozen_encoders_and_trainings_found(written: str) -> None:
    for said in ("5-NN category", "color of", "Text to image before alignment", "principal components", "Like an item"):
        assert said in written, said
    assert "recall at 10" in written and "red dress" in written and "1 &lt; 2 &amp; 3" in written


def test_every_fault_of_the_fashion_form_is_in_the_report_of_its_file(tmp_path: Path) -> None:
    fashion_form.write_fashion_form(tmp_path)
    catalogue = read_catalogue(str(tmp_path), data_folder="", settings=CatalogSettings())
    report = catalogue.report
    missing = {name: count for name, count in fashion_form.MISSING.items() if name != "productDisplayName"}
    assert report.missing() == missing
    assert report.count("rejoined_cells") == fashion_form.NUM_OVERFLOWING
    assert report.count("missing_file") == fashion_form.NUM_MISSING_FILES
    assert report.num_dropped == fashion_form.MISSING["productDisplayName"]
    (junk,) = [each for each in report.findings if each.reason == "junk_column"]
    assert junk.count == len(fashion_form.JUNK_COLUMNS)
    assert [example.place for example in junk.examples] == ["column 11 of styles.csv", "column 12 of styles.csv"]
    assert dict(report.rare("articleType")) == fashion_form.RARE["articleType"]
    titles = {each.item_id: each.title for each in catalogue.items}
    for number in range(fashion_form.NUM_OVERFLOWING):
        assert titles[str(fashion_form.FIRST_ID + 10 + number)] == fashion_form.overflowing_title(number)
    told = cleaning_section(report)
    assert re.search(">rejoined cells</td><td>[^<]*</td><td>22</td>", told)
    assert "Ipad (1), Umbrellas (3)" in told


def test_rare_classes_become_other_in_a_second_pass(tmp_path: Path) -> None:
    fashion_form.write_fashion_form(tmp_path)
    settings = CatalogSettings(rare_below={"articleType": 4})
    catalogue = read_catalogue(str(tmp_path), data_folder="", settings=settings)
    assert catalogue.report.values()["articleType"]["Other"] == 4
    assert catalogue.report.count("rare_value", attribute="articleType") == 4


@pytest.mark.parametrize("dataset", ["nowhere", "movielens"])
def test_a_data_set_that_is_not_there_is_refused_with_what_would_be_right(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(InvalidRequestError, match="give storefront, such a folder, or a path"):
        read_catalogue(dataset, data_folder=str(tmp_path), settings=CatalogSettings())


def test_pictures_of_the_data_count_what_is_there() -> None:
    items = [
        item("a", gender="Men", kind="Shirt|Red"),
        item("b", gender="Women", kind="Shirt"),
        item("c", gender="Men"),
    ]
    assert value_counts(items)["kind"] == {"Shirt": 2, "Red": 1}
    cross = crossed(items, "gender", "kind")
    assert (cross.rows, cross.columns, cross.values) == (["Men", "Women"], ["Shirt", "Red"], [[1, 1], [1, 0]])
    shares = missing_shares([*items, item("d", gender="Unknown")])
    assert (shares["gender"], shares["kind"], shares["image"]) == (0.25, 0.5, 1.0)


def test_the_balance_after_a_split_is_the_share_of_each_class_in_each_part() -> None:
    items = [item(f"i{n}", kind="a" if n % 4 else "b") for n in range(40)]
    parts = {"train": np.arange(0, 20), "test": np.arange(20, 40)}
    balance = class_balance(items, "kind", parts)
    assert balance.rows == [["items", 20, 20], ["a", 0.75, 0.75], ["b", 0.25, 0.25]]
    drawn = data_findings(items, parts=group_split([each.title for each in items], seed=1))
    assert "Balance of kind after the split" in [part.title for part in drawn.parts]


def test_an_empty_catalogue_draws_nothing() -> None:
    assert missing_shares([]) == {}
    assert charts.line_chart("t", [], x="x", y="y") == charts.scatter_chart("t", [], [], [], x="x", y="y") == ""
    assert bar_charts.bar_chart("t", {}) == bar_charts.heat_map("t", [], [], [], row_name="a", column_name="b") == ""


def test_more_bars_than_fit_are_counted() -> None:
    drawn = bar_charts.bar_chart("many", {f"v{n}": float(n) for n in range(bar_charts.MAX_BARS + 7)})
    assert "and 7 more" in drawn and len(ET.fromstring(drawn).findall(".//{*}rect")) == bar_charts.MAX_BARS


def test_one_constant_value_is_drawn_without_a_gap() -> None:
    for drawn in (
        charts.line_chart("t", [charts.Line(name="a", points=[(1, 0.0), (1, 0.0)])], x="x", y="y", from_zero=False),
        charts.scatter_chart("t", [2.0], [3.0], ["a"], x="x", y="y"),
        charts.histogram_chart("t", [0.0, 1.0], {"a": [0]}, x="x"),
        bar_charts.bar_chart("t", {"a": 0.0, "b": -1.0}),
    ):
        assert "nan" not in drawn and ET.fromstring(drawn).tag.endswith("svg")


def test_texts_of_findings_are_never_markup() -> None:
    cruel = "<script>alert('x')</script>"
    section = findings_section(
        Findings(title=cruel, facts={cruel: cruel}, parts=[Text(title=cruel, paragraphs=[cruel], note=cruel)]),
        lambda item_id: Shown(title=item_id),
    )
    assert "<script" not in section
    assert Page(page(cruel, [section])).open == []


def test_a_broken_picture_leaves_a_blank_place_and_a_large_one_is_made_smaller() -> None:
    assert photograph(None) == photograph(b"no picture") == photograph(damaged_avif()) == '<div class="blank"></div>'


def test_a_training_that_the_catalogue_has_not_enough_for_says_so_in_the_report(tmp_path: Path) -> None:
    vectors = np.eye(30, dtype=np.float32)
    items = tuple(item(f"i{number}", category="all alike") for number in range(30))
    encoded = EncodedCatalogue(items=items, images={"eyes": vectors}, text_encoder="reader", texts_ID=vectors)
    told: list[str] = []
    found = train_on_catalogue(
        ["attributes"], encoded, Settings(), tmp_path, tell=lambda event, **figures: told.append(event)
    )
    assert told == ["not_trained"]
    (part,) = found[0].parts
    assert isinstance(part, Text)
    assert part.paragraphs[0].startswith("no attribute can be learned: category")


def test_items_come_back_as_they_were_and_their_pictures_are_not_held_in_memory() -> None:
    drawn = np.random.default_rng(0)
    pictures = [drawn.bytes(1 << 20) if number % 3 else None for number in range(24)]
    spooled = SpooledItems()
    tracemalloc.start()
    try:
        for number, picture in enumerate(pictures):
            spooled.append(replace(item(f"i{number}", color="red"), image=picture))
        assert sum(len(each.image or b"") for each in spooled) == 16 << 20
        assert tracemalloc.get_traced_memory()[0] < 3 << 20
    finally:
        tracemalloc.stop()
    expected = [replace(item(f"i{number}", color="red"), image=picture) for number, picture in enumerate(pictures)]
    assert list(spooled) == expected
    assert (spooled[-1], list(spooled[3:7]), len(spooled)) == (expected[-1], expected[3:7], 24)
    some = items_of(spooled, [5, 0, 7])
    assert [each.item_id for each in some] == ["i5", "i0", "i7"]
    assert list(items_of(some, [2])) == [expected[7]]
    with pytest.raises(IndexError):
        _ = spooled[24]
