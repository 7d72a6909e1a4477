"""Whatever stands in a file, an importer reads it, notes it, or says in one error what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmrec.catalog.cleaning import cleaning_policy
from mmrec.catalog.cleaning_report import CleaningReport
from mmrec.catalog.importers.cleaned import ItemFindings, cleaned_records
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.reading import Reading
from mmrec.catalog.importers.registry import find_importer
from mmrec.config import CatalogSettings
from mmrec.errors import MmrecError
from mmrec.events.behavior_rules import parse_behaviors

POLICY = cleaning_policy(CatalogSettings())
NAMES = (
    *("id", "item_id", "asin", "parent_asin", "user_id", "reviewerID", "title", "price", "timestamp", "rating"),
    *("overall", "behavior", "image", "images", "category", "availability", "description", "published", "quantity"),
)
ODD = ("12,5 €", "['a']", "[1", "<p>x</p>", "2020-01-01", "1e999", "9" * 30, "0001-01-01", "\ud83d", "\0", '"')

names = st.sampled_from(NAMES)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
loosely = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read_whole(path: Path) -> None:
    """Everything that an import does with a file, but for sending it."""
    try:
        importer = find_importer(path)
        options = ImportOptions(rules=parse_behaviors(["rating>=4=like"])).with_usual(importer.usual_behaviors)
        source = importer.open(path, options)
        findings = ItemFindings(report=CleaningReport(), reading=Reading())
        if source.items is not None:
            items = source.items.read(findings.reading)
            assert all(value for _, value in cleaned_records(items, POLICY, findings))
            assert findings.whole_report().lines()
        if source.events is not None:
            assert all(event.row().value for event in source.events.read(findings.reading))
        assert all(line.isprintable() for line in findings.reading.lines())
    except MmrecError as error:
        assert str(error)


@given(st.lists(st.dictionaries(names, values, max_size=8), min_size=1, max_size=4), st.booleans())
@loosely
def test_json_lines_of_anything(folder: Path, rows: list[dict[str, Any]], is_json: bool) -> None:
    lines = [json.dumps(row) if is_json else repr(row) for row in rows]
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode("utf-8", errors="surrogatepass"))
    read_whole(folder / "a.jsonl")


@given(
    st.lists(names, min_size=1, max_size=6),
    st.lists(st.lists(scalars, max_size=8), max_size=4),
    st.sampled_from(",;\t"),
)
@loosely
def test_csv_of_anything(folder: Path, header: list[str], rows: list[list[Any]], sign: str) -> None:
    lines = [sign.join(header), *(sign.join(map(str, row)) for row in rows)]
    (folder / "a.csv").write_bytes("\n".join(lines).encode("utf-8", errors="surrogatepass"))
    read_whole(folder / "a.csv")


@given(
    st.binary(max_size=200),
    st.sampled_from((".csv", ".jsonl", ".parquet", ".csv.gz", ".tsv.zst", ".parquet.gz")),
    st.sampled_from((b"", b"id,title\n", b"\xff\xfe", b'{"id":1,"title":')),
)
@loosely
def test_files_of_any_bytes(folder: Path, content: bytes, suffix: str, start: bytes) -> None:
    (folder / f"a{suffix}").write_bytes(start + content)
    read_whole(folder / f"a{suffix}")
