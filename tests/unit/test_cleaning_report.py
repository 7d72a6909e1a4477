"""A cleaning report states every fault that was planted, with its count and examples, and nothing else."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mmrec.catalog.cleaning import CleaningPolicy, CleaningReason, clean_item, cleaning_policy
from mmrec.catalog.cleaning_report import MAX_CLASSES, MAX_EXAMPLES, CatalogueReason, CleaningReport, rare_values
from mmrec.catalog.item import CatalogItem, to_json_value
from mmrec.catalog.topic_report import topic_report
from mmrec.config import CatalogSettings
from mmrec.events.producer import TopicRecord
from tests import fashion_form
from tests.public_data import public_data

POLICY = cleaning_policy(CatalogSettings(), form="fashion")


def item(item_id: str, title: str = "", image: bytes | None = None, **attributes: str) -> CatalogItem:
    return CatalogItem(item_id=item_id, title=title or f"Title {item_id}", image=image, attributes=attributes)


def reported(items: list[CatalogItem], policy: CleaningPolicy = POLICY, **kinds: int) -> CleaningReport:
    report = CleaningReport(**kinds)
    for each in items:
        report.add(clean_item(each, policy))
    return report


def made_items(folder: Path) -> list[CatalogItem]:
    with (folder / "styles.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[1:]
    titled = len(fashion_form.COLUMNS) - 1
    items = []
    for cells in lines:
        picture = folder / "images" / f"{cells[0]}.png"
        items.append(
            CatalogItem(
                item_id=cells[0],
                title=",".join(cells[titled:]).rstrip(","),
                attributes=dict(zip(fashion_form.COLUMNS[1:titled], cells[1:titled], strict=True)),
                image=picture.read_bytes() if picture.exists() else None,
            )
        )
    return items


def test_every_planted_fault_of_the_fashion_form_is_stated(tmp_path: Path) -> None:
    report = reported(made_items(fashion_form.write_fashion_form(tmp_path)))
    missing = {name: count for name, count in fashion_form.MISSING.items() if name != "productDisplayName"}
    assert report.missing() == missing
    assert report.num_dropped == report.count(CleaningReason.MISSING_TITLE) == 7
    assert report.count(CleaningReason.MISSING_IMAGE) == fashion_form.NUM_MISSING_FILES
    assert dict(report.rare("articleType")) == fashion_form.RARE["articleType"]
    assert report.rare("gender") == []
    examples = next(each for each in report.findings if each.attribute == "usage").examples
    assert len(examples) == MAX_EXAMPLES
    told = {(each.reason, each.attribute) for each in report.findings}
    assert told == {
        *((CleaningReason.MISSING_VALUE, name) for name in missing if name != "usage"),
        (CleaningReason.UNKNOWN_VALUE, "usage"),
        (CleaningReason.MISSING_TITLE, ""),
        (CleaningReason.MISSING_IMAGE, ""),
        (CatalogueReason.RARE_KEPT, "articleType"),
    }


def test_na_is_no_usage_in_the_fashion_form_and_namibia_elsewhere() -> None:
    sent = item("a", usage="NA", country="NA")
    assert dict(clean_item(sent, POLICY).item.attributes) == {"usage": "Unknown", "country": "NA"}
    assert dict(clean_item(sent, cleaning_policy(CatalogSettings())).item.attributes) == sent.attributes
    own = CatalogSettings(missing_values={"country": ("na",)}, import_missing_values={"plain": {"usage": ("none",)}})
    assert dict(clean_item(sent, cleaning_policy(own, form="plain")).item.attributes) == {"usage": "NA"}


def test_duplicates_are_told_by_id_folded_title_and_picture() -> None:
    no_picture = CleaningPolicy(picture_problem=lambda _: "")
    sent = [item("a", "Red  Shirt", b"x"), item("b", "red shirt", b"x"), item("b", "Blue", b"y"), item("c", image=b"x")]
    report = reported(sent, no_picture)
    assert report.count(CatalogueReason.DUPLICATE_ID) == 1
    assert report.count(CatalogueReason.DUPLICATE_TITLE) == 1
    assert report.count(CatalogueReason.DUPLICATE_IMAGE) == 2
    found = {each.reason: [example.place for example in each.examples] for each in report.findings}
    assert found[CatalogueReason.DUPLICATE_IMAGE] == ["b", "c"]


def test_rare_values_become_other_by_their_threshold_and_are_counted() -> None:
    items = [
        item(f"i{n}", kind="Shirt" if n < 8 else f"K{n}", brand=f"b{n}", tags="A|B" if n else "A|C") for n in range(10)
    ]
    rare = rare_values(items, POLICY, {"kind": 3, "tags": 2})
    assert rare == {"kind": {"K8", "K9"}, "tags": {"C"}}
    report = reported(items, replace(POLICY, rare_values=rare), rare_below=3)
    assert report.count(CleaningReason.RARE_VALUE, attribute="kind") == 2
    assert report.count(CleaningReason.RARE_VALUE, attribute="tags") == 1
    assert report.values()["kind"] == Counter({"Shirt": 8, "Other": 2})
    assert report.rare("kind") == []  # "Other" is no rare class
    assert len(report.rare("brand")) == 10
    assert rare_values(items, POLICY, {}) == {}


def test_attributes_of_very_many_values_have_no_rare_classes() -> None:
    items = [item(f"i{n}", brand=f"b{n}") for n in range(MAX_CLASSES + 1)]
    assert reported(items).rare("brand") == []
    assert len(reported(items[1:]).rare("brand")) == MAX_CLASSES


def test_what_reading_met_stands_beside_what_cleaning_met() -> None:
    report = reported([item("a", color="")])
    report.merge(
        [
            ("rejoined_cells", "title", 9, [f"line {line}: 'Slim, blue'" for line in range(9)]),
            ("junk_column", "Unnamed: 10", 1, []),
        ]
    )
    report.note("missing_file", place="a", detail="a.jpg")
    document = json.loads(json.dumps(report.document()))
    counts = {(each["reason"], each["attribute"]): each["count"] for each in document["findings"]}
    assert counts == {
        ("missing_value", "color"): 1,
        ("missing_image", ""): 1,
        ("missing_file", ""): 1,
        ("rejoined_cells", "title"): 9,
        ("junk_column", "Unnamed: 10"): 1,
    }
    text = "\n".join(report.lines())
    assert "line 4: 'Slim, blue'" in text and "line 5" not in text


def test_a_clean_catalogue_has_an_empty_report() -> None:
    report = reported(
        [item(f"i{n}", image=b"%d" % n, color="red") for n in range(10)], CleaningPolicy(picture_problem=lambda _: "")
    )
    assert report.findings == []
    assert "nothing was found" in report.lines()


def test_the_running_catalogue_is_reported_as_its_newest_records_say() -> None:
    def record(offset: int, sent: CatalogItem | bytes | None, item_id: str) -> TopicRecord:
        value = to_json_value(sent) if isinstance(sent, CatalogItem) else sent
        return TopicRecord(partition=0, offset=offset, key=item_id.encode(), value=value, timestamp_s=0.0)

    records = [
        record(0, item("a", color=""), "a"),
        record(1, item("b", color="", usage=""), "b"),
        record(2, item("a", title="Shirt", color="red"), "a"),
        record(3, item("c", title="shirt", color="n/a"), "c"),
        record(4, item("d", color=""), "d"),
        record(5, None, "d"),
        record(6, b"{", "e"),
    ]
    policy = cleaning_policy(CatalogSettings(missing_values={"color": ("N/A",)}))
    report = topic_report(lambda: iter(records), policy, rare_below=1)
    assert report.num_items == 3
    assert report.missing() == {"color": 2, "usage": 1}
    assert report.count(CatalogueReason.DUPLICATE_TITLE) == 1
    assert report.count("refused") == 1


@pytest.fixture(scope="module")
def fashion_table() -> pa.Table:
    path = public_data() / "fashion_catalog" / "items.parquet"
    if not path.exists():
        pytest.skip("needs fashion_catalog; set MMREC_DATA_DIR")
    return pq.read_table(path)


def test_every_missing_value_and_rare_class_of_the_real_fashion_catalogue_is_reported(fashion_table: pa.Table) -> None:
    names = fashion_form.COLUMNS[1:-1]
    report = CleaningReport()
    for row in fashion_table.to_pylist():
        values = {name: "" if row[name] is None else str(row[name]) for name in names}
        title = row["productDisplayName"] or ""
        report.add(clean_item(CatalogItem(item_id=str(row["id"]), title=title, attributes=values), POLICY))
    nulls = {name: fashion_table[name].null_count for name in names if fashion_table[name].null_count}
    assert report.missing() == nulls == {"usage": 317, "season": 21, "baseColour": 15, "year": 1}
    assert report.num_dropped == fashion_table["productDisplayName"].null_count == 7
    titled = fashion_table.filter(pc.is_valid(fashion_table["productDisplayName"]))
    for name in names:
        counts = {str(each["values"]): each["counts"] for each in pc.value_counts(titled[name]).to_pylist()}
        truth = {value: count for value, count in counts.items() if value != "None" and count < 10}
        assert dict(report.rare(name)) == truth, name
    # Folded by the obvious rule; titles of this set hold no other forms than upper and lower case and spaces.
    folded = Counter(" ".join(title.lower().split()) for title in titled["productDisplayName"].to_pylist())
    assert report.count(CatalogueReason.DUPLICATE_TITLE) == sum(count - 1 for count in folded.values())
