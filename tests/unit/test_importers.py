"""Importers read the forms that people have, and count every fault that was planted in them."""

import io
import json
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec.catalog.importers.event_rows import ImportedEvent
from mmrec.catalog.importers.importer import ImportSource
from mmrec.catalog.importers.mapping import ImportOptions, read_mapping
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.catalog.importers.registry import IMPORTERS, find_importer
from mmrec.catalog.item import Availability, CatalogItem
from mmrec.errors import ConfigurationError, InvalidRequestError, NotFoundError
from mmrec.events.behavior_rules import parse_behaviors
from mmrec.events.event_edits import document_of
from tests import fashion_form
from tests.public_data import public_data

RATED = ["rating>=4=like", "rating>0=watch"]
FASHION, MOVIELENS = public_data() / "fashion_catalog", public_data() / "movielens_small_posters"
TIANCHI, TAOBAO = public_data() / "ecomm_tianchi_multibehavior", public_data() / "taobao_userbehavior_cml"


def opened(path: Path, form: str, *, behaviors: list[str] | None = None, **said: Any) -> ImportSource:
    importer = find_importer(path)
    assert importer.name == form
    options = ImportOptions(**said, rules=parse_behaviors(behaviors))
    return importer.open(path, options.with_usual(importer.usual_behaviors))


def items_of(source: ImportSource) -> tuple[dict[str, CatalogItem], Reading]:
    reading = Reading()
    assert source.items is not None
    return {item.item_id: item for item in source.items.read(reading)}, reading


def events_of(source: ImportSource) -> tuple[list[ImportedEvent], Reading]:
    reading = Reading()
    assert source.events is not None
    return list(source.events.read(reading)), reading


def said_of(events: list[ImportedEvent]) -> list[tuple[str, str, str, float | None]]:
    return [(event.user_id, event.item_id, event.behavior, event.time_s) for event in events]


def lines(path: Path, *documents: object) -> None:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


def test_the_fashion_form_is_read_with_every_title_whole_and_every_fault_counted(tmp_path: Path) -> None:
    source = opened(fashion_form.write_fashion_form(tmp_path), "fashion")
    items, reading = items_of(source)
    assert len(items) == reading.num_items == fashion_form.NUM_ITEMS
    assert reading.count(Noticed.REJOINED_CELLS) == fashion_form.NUM_OVERFLOWING
    assert reading.count(Noticed.JUNK_COLUMN) == len(fashion_form.JUNK_COLUMNS)
    assert reading.count(Noticed.MISSING_FILE) == fashion_form.NUM_MISSING_FILES
    assert sum(reading.counts.values()) == 22 + 2 + 5
    for number, cells in enumerate(fashion_form.rows()):
        item = items[str(fashion_form.FIRST_ID + number)]
        assert item.title == cells[-1]
        assert dict(item.attributes) == dict(zip(fashion_form.COLUMNS[1:-1], cells[1:-1], strict=True))
        assert (item.image is None) == (number >= fashion_form.NUM_ITEMS - fashion_form.NUM_MISSING_FILES)
    assert source.items is not None
    assert source.items.files == (tmp_path / "styles.csv", tmp_path / "images")
    assert "productDisplayName -> title" in source.mapping


def test_a_column_of_the_fashion_form_that_is_named_for_a_field_is_that_field(tmp_path: Path) -> None:
    header = "id,gender,articleType,baseColour,cost,since,productDisplayName"
    rows = ['1,Men,Shirt,Blue,"1.299,50",2024-05-06T07:08:09Z,Blue Shirt', '2,Men,Shirt,Red,"99,90",,Red, Slim Shirt']
    (tmp_path / "styles.csv").write_text("\n".join([header, *rows, ""]))
    source = opened(tmp_path, "fashion", columns={"price": "cost", "publish_time": "since", "for": "gender"})
    items, reading = items_of(source)
    assert [items[i].price for i in "12"] == [1299.5, 99.9]
    assert [items[i].publish_time_s for i in "12"] == [1714979289.0, 0.0]
    assert items["2"].title == "Red, Slim Shirt"
    assert dict(items["1"].attributes) == {"for": "Men", "articleType": "Shirt", "baseColour": "Blue"}
    assert {"cost -> price", "since -> publish_time", "decimals of prices: ','"} <= set(source.mapping)
    assert not reading.count(Noticed.BAD_PRICE)


def test_pictures_come_from_a_tar_as_from_a_folder(tmp_path: Path) -> None:
    folder = fashion_form.write_fashion_form(tmp_path)
    from_folder, _ = items_of(opened(folder, "fashion"))
    with tarfile.open(folder / "pictures.tar", "w") as archive:
        archive.add(folder / "images", arcname="some/where")
    from_tar, _ = items_of(opened(folder, "fashion", images=str(folder / "pictures.tar")))
    assert from_tar == from_folder
    with pytest.raises(NotFoundError, match="no folder or tar"):
        opened(folder, "fashion", images=str(folder / "none.tar"))
    with pytest.raises(InvalidRequestError, match="is no tar of pictures"):
        opened(folder, "fashion", images=str(folder / "styles.csv"))


def movielens_csv(folder: Path) -> Path:
    (folder / "movies.csv").write_text(
        "movieId,title,genres,,\n1,Toy Story (1995),Adventure|Children,,\n"
        '7,"Matrix, The (1999)",Action,,\n9,Odd,(no genres listed),,\n'
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,7,4.0,1260759144\n1,9,2.5,1260759145\n2,1,0.0,1260759146\n"
    )
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,Pixar,1\n2,1, pixar ,2\n2,1,fun,3\n")
    return folder


def test_movielens_as_csv_gives_films_and_the_behaviors_that_its_ratings_mean(tmp_path: Path) -> None:
    source = opened(movielens_csv(tmp_path), "movielens")
    items, reading = items_of(source)
    assert [item.title for item in items.values()] == ["Toy Story", "The Matrix", "Odd"]
    assert dict(items["m1"].attributes) == {"genres": "Adventure|Children", "decade": "1990s"}
    assert items["m1"].description == "Adventure, children film of 1995. Viewers say: pixar, fun."
    assert dict(items["m9"].attributes) == {}
    assert reading.count(Noticed.JUNK_COLUMN) == 2
    events, reading = events_of(source)
    assert said_of(events) == [
        ("u1", "m7", "rating>=4", 1260759144.0),
        ("u1", "m7", "rating>0", 1260759144.0),
        ("u1", "m9", "rating>0", 1260759145.0),
    ]
    assert reading.count(Noticed.NO_BEHAVIOR) == 1
    events, _ = events_of(opened(tmp_path, "movielens", behaviors=["rating<3=watch"]))
    assert [event.item_id for event in events] == ["m9", "m1"]


AMAZON_2014 = (
    {
        "asin": "B1",
        "title": "Soap",
        "price": 12.99,
        "imUrl": "https://a/1.jpg",
        "brand": "Sud",
        "categories": [["A", "B"]],
    },
    {
        "asin": "B1",
        "reviewerID": "U1",
        "overall": 5.0,
        "unixReviewTime": 1252800000,
        "summary": "Good",
        "reviewText": "Soft",
    },
    {
        "asin": "B1",
        "reviewerID": "U2",
        "overall": 2.0,
        "unixReviewTime": 1252800001,
        "reviewText": "Bad.",
        "helpful": [7, 8],
    },
)
AMAZON_2018 = (
    {
        **{"asin": "B1", "title": "Soap", "price": "$12.99", "brand": "Sud", "category": ["A", "B"]},
        **{"imageURLHighRes": ["https://a/1.jpg", "https://a/2.jpg"], "also_buy": ["B2"]},
    },
    {
        "asin": "B1",
        "reviewerID": "U1",
        "overall": 5.0,
        "unixReviewTime": 1252800000,
        "summary": "Good",
        "reviewText": "Soft",
    },
    {
        "asin": "B1",
        "reviewerID": "U2",
        "overall": 2.0,
        "unixReviewTime": 1252800001,
        "reviewText": "Bad.",
        "vote": "1,007",
    },
)
AMAZON_2023 = (
    {
        **{"parent_asin": "B1", "title": "Soap", "price": "12.99", "store": "Sud", "categories": ["A", "B"]},
        "images": [{"hi_res": None, "large": "https://a/1.jpg"}, {"hi_res": "https://a/2.jpg"}],
    },
    {
        **{"asin": "B1x", "parent_asin": "B1", "user_id": "U1", "rating": 5.0, "timestamp": 1252800000000},
        **{"title": "Good", "text": "Soft"},
    },
    {
        **{"asin": "B1y", "parent_asin": "B1", "user_id": "U2", "rating": 2.0, "timestamp": 1252800001000},
        **{"title": "", "text": "Bad.", "helpful_vote": 7},
    },
)


@pytest.mark.parametrize("year", [AMAZON_2014, AMAZON_2018, AMAZON_2023])
def test_amazon_files_of_every_year_say_the_same(year: tuple[dict[str, Any], ...], tmp_path: Path) -> None:
    metadata, *reviews = year
    lines(tmp_path / "meta_Beauty.jsonl", metadata, {"asin": "B2", "title": "", "price": "call", "parent_asin": "B2"})
    lines(tmp_path / "Beauty.jsonl", *reviews)
    source = opened(tmp_path, "amazon")
    items, reading = items_of(source)
    item = items["B1"]
    assert (item.title, item.price, item.image_uri) == ("Soap", 12.99, "https://a/1.jpg")
    assert {name: item.attributes[name] for name in ("brand", "category")} == {"brand": "Sud", "category": "A|B"}
    assert [(each.modality, each.content) for each in item.media] == [("reviews", b"Bad."), ("reviews", b"Good Soft")]
    assert reading.count(Noticed.BAD_PRICE) == 1
    events, _ = events_of(source)
    assert said_of(events) == [
        ("U1", "B1", "rating>0", 1252800000.0),
        ("U1", "B1", "rating>=4", 1252800000.0),
        ("U2", "B1", "rating>0", 1252800001.0),
    ]
    assert [event.context for event in events] == [{"rating": "5"}, {"rating": "5"}, {"rating": "2"}]


def test_amazon_metadata_of_python_literals_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meta_Beauty.json"
    path.write_text("{'asin': 'B1', 'title': \"Nail's\", 'categories': [['A']]}\n{'asin': 'B2', 'title': 'X'}\n")
    items, reading = items_of(opened(path, "amazon"))
    assert (items["B1"].title, reading.count(Noticed.PYTHON_LITERAL)) == ("Nail's", 2)


def test_retailrocket_gives_the_newest_properties_and_the_categories_above(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,355,\n1433221332118,1,addtocart,355,\n"
        "1433221332119,1,transaction,355,44\n,2,view,355,\nnever,2,view,355,\n"
    )
    (tmp_path / "item_properties_part1.csv").write_text(
        "timestamp,itemid,property,value\n1435460400000,355,categoryid,9\n1435460400000,355,available,1\n"
        "1435460400000,355,790,n12000.000\n1435460400000,8,888,1 n5.0\n"
    )
    (tmp_path / "item_properties_part2.csv").write_text(
        "timestamp,itemid,property,value\n1436065200000,355,categoryid,12\n1434000000000,355,available,0\n"
        "1434000000000,8,available,0\n"
    )
    (tmp_path / "category_tree.csv").write_text("categoryid,parentid\n12,4\n4,1\n1,\n9,4\n")
    source = opened(tmp_path, "retailrocket", columns={"price": "790"})
    items, _ = items_of(source)
    assert items["355"].title == "Item 355"
    assert (items["355"].availability, items["355"].price) == (Availability.AVAILABLE, 12_000.0)
    assert dict(items["355"].attributes) == {"category": "1|4|12"}
    assert items["8"].availability == Availability.OUT_OF_STOCK
    events, reading = events_of(source)
    assert [(event.behavior, event.time_s) for event in events] == [
        *[("view", 1433221332.117), ("addtocart", 1433221332.118), ("transaction", 1433221332.119), ("view", None)]
    ]
    assert [event.context for event in events] == [{}, {}, {"transaction": "44"}, {}]
    assert reading.count(Noticed.BAD_TIME) == 1


SHOP = (
    "SKU;Product Name;Preis;Farbe;Bilder;Lagerstatus;released\n"
    "a1;Hose;1.299,00 €;Blau;https://x/a.jpg;in stock;2020-05-01\n"
    'a2;<b>Hut</b>;12,50;"[""Rot"", ""Gelb""]";b.png;sold out;\n'
    ";namenlos;3;x;;;\n"
    "a3;Rock;viel;Rot;c.png;vielleicht;31.12.\n"
)


def test_a_shop_s_own_csv_is_read_by_given_and_guessed_columns(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(SHOP)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.png").write_bytes(b"png")
    columns = {"price": "Preis", "color": "Farbe", "availability": "Lagerstatus", "publish_time": "released"}
    source = opened(path, "plain", columns={**columns, "image": "Bilder"}, domain="mode")
    items, reading = items_of(source)
    assert items["a1"] == CatalogItem(
        item_id="a1",
        title="Hose",
        domain="mode",
        attributes={"color": "Blau"},
        image_uri="https://x/a.jpg",
        price=1299.0,
        currency="EUR",
        availability=Availability.AVAILABLE,
        publish_time_s=1588334400.0,
    )
    assert (items["a2"].title, items["a2"].attributes["color"], items["a2"].price) == ("Hut", "Rot|Gelb", 12.5)
    assert (items["a2"].image, items["a2"].media_type) == (b"png", "image/png")
    assert (items["a3"].price, items["a3"].availability, items["a3"].publish_time_s) == (0.0, Availability.HIDDEN, 0.0)
    assert {(str(reason), column): n for (reason, column), n in reading.counts.items()} == {
        ("html", "Product Name"): 1,
        ("list", "Farbe"): 1,
        ("missing_id", "item_id"): 1,
        ("bad_price", "Preis"): 1,
        ("unknown_availability", "Lagerstatus"): 1,
        ("bad_time", "released"): 1,
        ("day_only", "released"): 1,
        ("missing_file", ""): 1,
    }
    assert "SKU -> item_id (its name)" in source.mapping
    assert "Farbe -> attribute color (given)" in source.mapping


def test_columns_are_guessed_by_their_contents_where_their_names_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "things.jsonl"
    rows = [
        {
            "k": f"x{n}",
            "wort": f"Ein Ding {n}",
            "lang": f"Ding {n} " * 60,
            "bild": f"https://x/{n}.png",
            "p": f"{n},50 €",
        }
        for n in range(20)
    ]
    lines(path, *rows)
    source = opened(path, "plain")
    items, _ = items_of(source)
    assert (items["x3"].title, items["x3"].price, items["x3"].image_uri) == ("Ein Ding 3", 3.5, "https://x/3.png")
    assert items["x3"].description.startswith("Ding 3 Ding 3")
    assert [line for line in source.mapping if "its contents" in line] == [
        *[f"{name} -> {field} (its contents)" for name, field in zip(rows[0], FIELDS, strict=True)]
    ]


FIELDS = ("item_id", "title", "description", "image", "price")


def test_events_of_a_plain_table_have_ids_that_stay_when_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    head = "visitor,sku,action,date,rating\nann,1,view,2020-01-01,5\nann,1,view,2020-01-01,5\nbob,2,buy,2020-01-02,1\n"
    path.write_text(head)
    before, reading = events_of(opened(path, "plain", behaviors=["rating>=4=like"]))
    assert Counter(event.behavior for event in before) == {"view": 2, "rating>=4": 2, "buy": 1}
    assert len({event.event_id for event in before}) == 5
    assert reading.count(Noticed.DAY_ONLY) == 3
    path.write_text(head + "bob,3,view,2020-01-03,\n,4,view,2020-01-03,\n")
    after, reading = events_of(opened(path, "plain", behaviors=["rating>=4=like"]))
    assert after[:5] == before
    assert reading.count(Noticed.MISSING_ID) == 1
    path.write_text(head)
    again, _ = events_of(opened(path, "plain", behaviors=["rating>=3=like"]))
    assert [event.event_id for event in again] == [event.event_id for event in before]
    document = document_of(before[0].row().value)
    assert document == {
        **{"event_id": before[0].event_id, "user_id": "ann", "item_id": "1", "behavior": "view"},
        **{"event_time": "2020-01-01T12:00:00Z", "context": {"rating": "5"}},
    }


def test_ratings_without_a_rule_are_refused_with_one_that_would_do(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("user,item,stars\n1,2,3\n")
    with pytest.raises(InvalidRequestError, match="--behavior 'stars>=4=like'"):
        opened(path, "plain")
    with pytest.raises(InvalidRequestError, match="has no column 'rating'; it has user, item, stars"):
        opened(path, "plain", behaviors=["rating>=4=like"])
    with pytest.raises(InvalidRequestError, match="has no column 'name' for title"):
        opened(path, "plain", columns={"title": "name"})


def test_a_folder_may_hold_items_and_events_of_two_forms(tmp_path: Path) -> None:
    lines(tmp_path / "products.jsonl", {"id": "1", "title": "A"}, {"id": "2", "title": "B", "tags": ["x", "y"]})
    table = {"user_id": ["u"], "item_id": [1], "behavior": ["view"], "timestamp": [1_600_000_000_000]}
    pq.write_table(pa.table(table), tmp_path / "events.parquet")
    source = opened(tmp_path, "plain")
    assert items_of(source)[0]["2"].attributes["tags"] == "x|y"
    assert said_of(events_of(source)[0]) == [("u", "1", "view", 1_600_000_000.0)]
    only = opened(tmp_path, "plain", kind="events")
    assert only.items is None
    assert only.events is not None


def test_a_mapping_file_says_what_flags_do_and_flags_say_more(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(
        '[columns]\ntitle = "name"\ncolor = "Farbe"\n[behaviors]\n"rating>=4" = "like"\nview = "browse"\n'
        '[reading]\ndecimal = ","\nkind = "items"\nignore = ["note"]\n'
    )
    said = ImportOptions(columns={"title": "titel"}, kind="events", rules=parse_behaviors(["view=cart"]))
    options = read_mapping(path, said)
    assert options.columns == {"title": "titel", "color": "Farbe"}
    assert options.rules.table == {"view": "cart", "rating>=4": "like"}
    assert (options.decimal, options.kind, options.ignore) == (",", "events", ("note",))
    for text, what in [
        ("[colums]\n", "did you mean 'columns'"),
        ('[reading]\ndecimal = ";"\n', "reading.decimal"),
        ('[behaviors]\n"rating>=high" = "like"\n', "'high' is no number"),
        ("[columns\n", "is no TOML"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=what):
            read_mapping(path, said)
    with pytest.raises(ConfigurationError, match="no file"):
        read_mapping(tmp_path / "none.toml", said)


def test_what_no_importer_knows_is_refused_with_all_forms(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("hello")
    with pytest.raises(InvalidRequestError, match="is of no known form") as caught:
        find_importer(tmp_path)
    assert [importer.name for importer in IMPORTERS if f"{importer.name}: " not in str(caught.value)] == []
    with pytest.raises(InvalidRequestError, match="no form 'excel'; there are"):
        find_importer(tmp_path, "excel")
    with pytest.raises(NotFoundError):
        find_importer(tmp_path / "none")
    for importer in IMPORTERS:
        with pytest.raises(InvalidRequestError):
            importer.open(tmp_path, ImportOptions())


def test_pictures_beyond_what_a_record_holds_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title,image\n1,Big,1.jpg\n2,Small,2.jpg\n")
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for name, size in (("1.jpg", 6_000_000), ("2.jpg", 10)):
            facts = tarfile.TarInfo(name)
            facts.size = size
            archive.addfile(facts, io.BytesIO(bytes(size)))
    items, reading = items_of(opened(path, "plain"))
    assert (items["1"].image, items["2"].image) == (None, bytes(10))
    assert (reading.count(Noticed.LARGE_FILE), reading.count(Noticed.MISSING_FILE)) == (1, 0)


def test_a_folder_with_the_name_of_a_picture_is_none(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1,Shirt\n")
    (tmp_path / "images" / "1.jpg").mkdir(parents=True)
    items, _ = items_of(opened(path, "plain"))
    assert items["1"].image is None


def test_a_price_beyond_every_float_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": 1, "title": "Shirt", "price": 1%s}\n' % ("0" * 400))
    items, reading = items_of(opened(path, "plain"))
    assert items["1"].price == 0.0
    assert reading.count(Noticed.BAD_PRICE) == 1


def test_columns_that_are_named_are_there_or_refused(tmp_path: Path) -> None:
    fashion = fashion_form.write_fashion_form(tmp_path)
    with pytest.raises(InvalidRequestError, match="has no column 'Colour' for color"):
        opened(fashion, "fashion", columns={"color": "Colour"})
    lines(tmp_path / "meta_x.json", {"asin": "B1", "title": "Soap"})
    with pytest.raises(InvalidRequestError, match="--column title=name: the form amazon says itself"):
        opened(tmp_path / "meta_x.json", "amazon", columns={"title": "name"})


@pytest.mark.skipif(not FASHION.is_dir(), reason=f"no {FASHION}")
def test_the_fashion_catalogue_is_read_whole() -> None:
    items, reading = items_of(opened(FASHION, "fashion"))
    assert (len(items), reading.num_rows) == (44_446, 44_446)
    assert sum(item.image is not None for item in items.values()) == 9_583
    assert reading.counts.total() == 0
    empty = Counter(name for item in items.values() for name, value in item.attributes.items() if not value)
    assert empty == {"usage": 317, "season": 21, "baseColour": 15, "year": 1}


@pytest.mark.skipif(not MOVIELENS.is_dir(), reason=f"no {MOVIELENS}")
def test_movielens_has_the_ids_and_texts_of_the_data_set_of_that_name() -> None:
    from mmrec.catalog.movielens import MovieLens

    source, reading = opened(MOVIELENS, "movielens"), Reading()
    assert source.items is not None
    items = {item.item_id: item for item in islice(source.items.read(reading), 1_500)}
    known = {item.item_id: item for item in islice(MovieLens(MOVIELENS).catalog(), 1_500)}
    assert items.keys() == known.keys()
    assert all((items[i].title, items[i].image) == (item.title, item.image) for i, item in known.items())
    assert sum(items[i].description != item.description for i, item in known.items()) < 100  # tags of the live part
    assert reading.counts.total() == 0


@pytest.mark.skipif(not TIANCHI.is_dir() or not TAOBAO.is_dir(), reason=f"no {TIANCHI} or no {TAOBAO}")
def test_logs_of_shops_are_read_by_the_plain_form() -> None:
    source, reading = opened(TIANCHI, "plain", kind="events"), Reading()
    assert source.events is not None
    events = list(islice(source.events.read(reading), 10_000))
    assert {event.behavior for event in events} == {"pv", "fav", "cart", "buy"}
    assert len({event.event_id for event in events}) == 10_000  # rows that are alike among them
    assert len(set(said_of(events))) < 10_000
    assert reading.count(Noticed.DAY_ONLY) == 10_000
    source = opened(TAOBAO, "plain")
    assert source.events is not None
    first = next(iter(source.events.read(Reading())))
    assert (first.user_id, first.behavior, first.time_s) == ("29924", "fav", 1_511_539_200.0)
