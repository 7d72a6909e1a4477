"""Tables are read whatever way they were written, and every fault of theirs is counted with its place."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.importers.cells import cell_text, is_list, joined, list_values, without_tags
from mmrec.catalog.importers.csv_rows import rejoined
from mmrec.catalog.importers.instants import column_clock
from mmrec.catalog.importers.reading import MAX_EXAMPLES, Noticed, Reading
from mmrec.catalog.importers.table import Row, open_table
from mmrec.errors import InvalidRequestError, NotFoundError

TEXT = "Café – “Größe” 40 €"
"""In UTF-8, UTF-16 and Windows-1252."""
plain_cells = st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\0', exclude_categories=("Cs", "Cc")))


def rows_of(path: Path, *, overflow: str = "", encoding: str = "") -> tuple[list[Row], Reading]:
    reading = Reading()
    return list(open_table(path, encoding=encoding).rows(reading, overflow=overflow)), reading


def zstd(path: Path, content: bytes) -> None:
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(content)


@given(st.data())
@settings(max_examples=200)
def test_a_text_with_any_separators_in_any_column_is_joined_again(data: st.DataObject) -> None:
    others = data.draw(st.lists(st.text(st.characters(exclude_characters=",")), max_size=6))
    text, at = data.draw(st.text()), data.draw(st.integers(min_value=0, max_value=len(others)))
    row = [*others[:at], text, *others[at:]]
    cells = ",".join(row).split(",")
    assert rejoined(cells, len(cells) - len(row), at=at) == row


@given(st.lists(plain_cells.filter(str.strip), min_size=1, max_size=8), st.integers(min_value=0, max_value=3))
@settings(max_examples=60)
def test_a_file_whose_titles_overflow_gives_every_title_whole(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], place: int
) -> None:
    header = ["id", "color", "size"]
    header.insert(place, "title")
    lines = [",".join(header)]
    for number, title in enumerate(titles):
        cells = [str(number), "red", "xl"]
        cells.insert(place, f"x{title}")
        lines.append(",".join(cells))
    path = tmp_path_factory.mktemp("csv") / "items.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    found, reading = rows_of(path, overflow="title", encoding="utf-8")
    assert [row.cells["title"] for row in found] == [f"x{title}" for title in titles]
    assert [(row.cells["id"], row.cells["color"], row.cells["size"]) for row in found] == [
        (str(number), "red", "xl") for number in range(len(titles))
    ]
    assert reading.count(Noticed.REJOINED_CELLS) == sum("," in title for title in titles)


def test_cells_in_columns_without_names_are_overflow_and_empty_ones_nothing(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_text("id,title,Unnamed: 2,\n1,Shirt,,\n2,Shirt, blue,\n3,Shirt, blue, slim\n4,Shirt, a, b, c\n5,Shirt\n")
    found, reading = rows_of(path, overflow="title")
    titles = ["Shirt", "Shirt, blue", "Shirt, blue, slim", "Shirt, a, b, c", "Shirt"]
    assert [row.cells for row in found] == [{"id": str(n), "title": t} for n, t in enumerate(titles, start=1)]
    assert (reading.count(Noticed.REJOINED_CELLS), reading.count(Noticed.JUNK_COLUMN)) == (3, 2)
    assert reading.examples[Noticed.REJOINED_CELLS, ""][0] == "line 3: 'Shirt, blue'"


def test_rows_too_long_or_short_without_a_text_to_join_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user,item,behavior\nann,1,view,x\nann,2\n\nann,3,view\n")
    found, reading = rows_of(path)
    assert [tuple(row.cells.values()) for row in found] == [
        ("ann", "1", "view"),
        ("ann", "2", ""),
        ("ann", "3", "view"),
    ]
    assert [row.number for row in found] == [2, 3, 5]
    assert (reading.count(Noticed.LONG_ROW), reading.count(Noticed.SHORT_ROW), reading.num_rows) == (1, 1, 3)


@pytest.mark.parametrize("number", [0, 3, 1_500, 2_999])
def test_a_quote_that_is_never_closed_costs_no_row(tmp_path: Path, number: int) -> None:
    lines = [f"{each},Shirt {each},Blue" for each in range(3_000)]
    lines[number] = f'{number},"Shirt {number},Blue'
    (path := tmp_path / "items.csv").write_text("\n".join(["id,title,color", *lines, ""]))
    found, reading = rows_of(path, overflow="title")
    assert [row.cells["id"] for row in found] == [str(each) for each in range(3_000)]
    assert [row.number for row in found] == [each + 2 for each in range(3_000)]
    assert found[number].cells == {"id": str(number), "title": f'"Shirt {number}', "color": "Blue"}
    assert reading.examples[Noticed.OPEN_QUOTE, ""] == [f"line {number + 2}: '{number},\"Shirt {number},Blue'"]
    assert (reading.count(Noticed.OPEN_QUOTE), reading.num_rows) == (1, 3_000)


def test_a_quote_that_the_next_quoted_row_closes_costs_no_row(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('id,title,color\n1,"Shirt,Blue\n2,"Coat, long",Red\n3,"Hat",Green\n4,"He said ""hi""",Red\n')
    found, reading = rows_of(path, overflow="title")
    assert [tuple(row.cells.values()) for row in found] == [
        ("1", '"Shirt', "Blue"),
        ("2", "Coat, long", "Red"),
        ("3", "Hat", "Green"),
        ("4", 'He said "hi"', "Red"),
    ]
    assert reading.count(Noticed.OPEN_QUOTE) == 1


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",))), max_size=5)
)
@settings(max_examples=100)
def test_cells_that_are_quoted_as_they_should_be_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "items.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerows([("id", "title"), *((str(number), text) for number, text in enumerate(texts))])
    found, reading = rows_of(path, encoding="utf-8")
    assert [row.cells["title"] for row in found] == texts
    assert not reading.count(Noticed.OPEN_QUOTE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_encoding_and_line_end_gives_the_same_text(encoding: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(ending.join(["id;title", f'1;"{TEXT}"', f"2;{TEXT}", ""]).encode(encoding))
    found, reading = rows_of(path)
    assert [row.cells for row in found] == [{"id": "1", "title": TEXT}, {"id": "2", "title": TEXT}]
    assert reading.count(Noticed.ENCODING) == (2 if encoding == "cp1252" else 0)


def test_a_file_of_two_encodings_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b"id,title\n" + f"1,{TEXT}\n".encode() + f"2,{TEXT}\n".encode("cp1252") + b"3,\x81open\n")
    found, reading = rows_of(path)
    assert [row.cells["title"] for row in found] == [TEXT, TEXT, "\x81open"]
    assert reading.count(Noticed.ENCODING) == 2


def test_an_encoding_that_is_named_is_taken_and_an_unknown_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("id,title\n1,Ж\n".encode("koi8-r"))
    assert rows_of(path, encoding="koi8-r")[0][0].cells["title"] == "Ж"
    with pytest.raises(InvalidRequestError, match="encoding 'klingon' is not known"):
        open_table(path, encoding="klingon")


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_form_packed_in_every_way_gives_the_same_rows(suffix: str, packed: str, tmp_path: Path) -> None:
    rows = [{"id": str(number), "title": f"T {number}, {TEXT}"} for number in range(5_000)]
    path = tmp_path / f"items{suffix}{packed}"
    sign = "\t" if suffix == ".tsv" else ","
    lines = [sign.join(("id", "title")), *(f'{row["id"]}{sign}"{row["title"]}"' for row in rows)]
    written = [json.dumps(row) for row in rows] if suffix == ".jsonl" else lines
    content = ("\n".join(written) + "\n").encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "plain.parquet")
        content = (tmp_path / "plain.parquet").read_bytes()
    pack: dict[str, Callable[[Path, bytes], object]] = {
        "": Path.write_bytes,
        ".gz": lambda at, data: at.write_bytes(gzip.compress(data)),
        ".zst": zstd,
    }
    pack[packed](path, content)
    found, reading = rows_of(path)
    assert [row.cells for row in found] == rows
    assert (reading.num_rows, reading.lines()) == (5_000, [])


def test_broken_lines_of_json_are_counted_and_python_literals_read(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    lines = ['{"asin": "1"}', "{'asin': '2', 'price': 3.5}", "{broken", "[1]", "", '{"asin": "\udce9"}', "7"]
    path.write_bytes("\n".join(lines).encode("utf-8", errors="surrogateescape"))
    found, reading = rows_of(path)
    assert [row.cells for row in found] == [{"asin": "1"}, {"asin": "2", "price": 3.5}, {"asin": "é"}]
    assert (reading.count(Noticed.UNREADABLE_ROW), reading.count(Noticed.PYTHON_LITERAL)) == (3, 1)
    assert reading.examples[Noticed.UNREADABLE_ROW, ""][0] == "line 3: b'{broken'"


def test_python_literals_are_read_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "meta.jsonl"
    mark = tmp_path / "mark"
    path.write_text(f"{{'asin': open({str(mark)!r}, 'w')}}\n{{'asin': 'b'}}\n")
    assert [row.cells for row in rows_of(path)[0]] == [{"asin": "b"}]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("items.csv", b"", "is empty"),
        ("items.csv", b"id,title,id\n", "names id more than once"),
        ("items.csv", b",Unnamed: 1,\n1,2,3\n", "names no columns"),
        ("items.xlsx", b"PK", "ends in '.xlsx'"),
        ("items.jsonl", b'[{"id": 1}]', "holds one JSON array"),
        ("items.jsonl", b"\n\n", "no JSON object"),
        ("items.parquet", b"no parquet", "is no Parquet file"),
        ("items.csv.gz", b"id,title\n", "cannot be read"),
        ("items.csv.zst", b"id,title\n", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_it_is(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequestError, match=said):
        open_table(tmp_path / name)


def test_a_packed_file_that_is_cut_raises_where_it_ends_and_a_missing_one_at_once(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    content = "".join(f"{number},{hash(str(number))}\n" for number in range(20_000))
    path.write_bytes(gzip.compress(f"id,title\n{content}".encode())[:-2_000])
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        rows_of(path)
    with pytest.raises(NotFoundError):
        open_table(tmp_path / "no.csv")


def test_examples_are_the_first_few_and_counts_are_of_all() -> None:
    reading = Reading()
    for number in range(1_000):
        reading.note(Noticed.HTML, f"line {number}", "<p>", column="title")
    assert reading.count(Noticed.HTML, "title") == 1_000
    assert len(reading.examples[Noticed.HTML, "title"]) == MAX_EXAMPLES
    assert reading.lines()[0].startswith("html of title: 1,000 (line 0: '<p>'; line 1")


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        *[('["Red", "Blue"]', ("Red", "Blue")), ("['Red', 'Blue']", ("Red", "Blue")), ("('a',)", ("a",))],
        *[([["A", "B"], ["A", "C"]], ("A", "B", "C")), ("[]", ()), ([None, " x "], ("x",)), ("[1, 2.0]", ("1", "2"))],
        *[("[sale] Shirt", ("[sale] Shirt",)), ("a|b", ("a|b",)), ("", ()), ("[broken", ("[broken",))],
    ],
)
def test_lists_are_read_in_every_spelling(cell: object, values: tuple[str, ...]) -> None:
    assert list_values(cell) == values
    assert is_list(cell) == (not isinstance(cell, str) or (cell[:1] in "[(" and cell[-1:] in "])" and cell != ""))


def test_a_separator_inside_of_a_value_does_not_make_two_values_of_it() -> None:
    assert joined(("S|M", "L")) == "S/M|L"


def test_scalars_become_the_texts_that_people_see() -> None:
    cells = [None, float("nan"), 2011.0, 2011, 0.5, True, b"caf\xc3\xa9", 10**20]
    assert [cell_text(cell) for cell in cells] == ["", "", "2011", "2011", "0.5", "true", "café", str(10**20)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Soft &amp; <b>warm</b></p><p>Blue</p>", "Soft &amp; warm Blue"),
        ('<a href="x?a=1&b=2">Link</a><br/>next', "Link next"),
        ("<style>p { color: red }</style><script>x < 3</script>Text<!-- a <b> -->", "Text"),
        *[("i <3 it", "i <3 it"), ("a < b and c > d", "a < b and c > d"), ("<Nike> Shoe", "<Nike> Shoe")],
    ],
)
def test_tags_are_taken_out_and_signs_stay(text: str, plain: str) -> None:
    assert without_tags(text) == plain


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_the_unit_of_a_column_of_numbers_is_seen_by_its_size(unit: str, factor: int) -> None:
    times = [789_652_009, 1_511_539_200, 2_000_000_000]
    for cells in ([time * factor for time in times], [str(time * factor) for time in times]):
        clock = column_clock(cells)
        assert clock.unit == unit
        found = [clock.read(cell) for cell in cells]
        assert [each.time_s for each in found if each] == pytest.approx(times)


def test_numbers_that_are_times_in_no_unit_are_refused_with_what_to_say() -> None:
    with pytest.raises(InvalidRequestError, match="column position holds numbers such as 7, which are times"):
        column_clock([3, 7, 9], column="position")


@pytest.mark.parametrize(
    ("cell", "text", "is_day"),
    [
        *[
            ("2018-09-27T13:45:00Z", "2018-09-27T13:45:00", False),
            ("2018-09-27 13:45:00", "2018-09-27T13:45:00", False),
        ],
        *[("2018-09-27", "2018-09-27T12:00:00", True), ("09 27, 2018", "2018-09-27T12:00:00", True)],
        ("2018-09-27 13:45:00 UTC", "2018-09-27T13:45:00", False),
        ("2018-09-27 13", "2018-09-27T13:00:00", False),
    ],
)
def test_times_are_read_as_people_write_them_and_a_day_stands_at_noon(cell: str, text: str, is_day: bool) -> None:
    clock = column_clock([])
    wanted = clock.read(f"{text}Z")
    found = clock.read(cell)
    assert wanted is not None
    assert found is not None
    assert (found.time_s, found.is_day) == (wanted.time_s, is_day)


def test_a_time_without_a_zone_is_in_the_zone_given() -> None:
    berlin, utc = (
        column_clock([], zone="Europe/Berlin").read("2018-07-01 12:00"),
        column_clock([]).read("2018-07-01 12:00"),
    )
    assert berlin is not None
    assert utc is not None
    assert utc.time_s - berlin.time_s == 7_200
    for cell in ("yesterday", "", None, "31/12/2018 25:00", "9999999999999999999"):
        assert column_clock([]).read(cell) is None


def test_numbers_beyond_every_float_are_no_times() -> None:
    huge = 10**400
    assert column_clock([huge, 1_260_759_144]).unit == "s"
    assert column_clock([], unit="s").read(huge) is None
    assert column_clock([], unit="s").read(float("inf")) is None
