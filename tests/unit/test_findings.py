"""Findings come back as they were written, and what cannot be drawn is refused where it was made, with its place."""

from pathlib import Path

import msgspec
import pytest

from mmrec.errors import InvalidRequestError
from mmrec.reports.findings import (
    FILE,
    Bars,
    Calibration,
    Curves,
    Figures,
    Findings,
    Heat,
    Histograms,
    Line,
    Scatter,
    Strip,
    Strips,
    Table,
    Text,
    read_findings,
    write_findings,
)

EVERY_KIND = Findings(
    title="Every kind of part",
    command="python -m jobs.train --task align",
    facts={"seed": "1"},
    parts=[
        Text(title="In words", paragraphs=["1 < 2 & 3"]),
        Figures(title="Named numbers", values={"recall_at_10": 0.72, "encoder": "minilm"}),
        Table(title="Heads", columns=["head", "accuracy"], rows=[["gender", 0.91], ["color", 0.62]]),
        Curves(title="Loss", x="epoch", y="loss", lines=[Line(name="plain", xs=[1, 2], ys=[4.0, 3.5])]),
        Bars(title="Weights", values={"image": 0.6, "text": 0.4}),
        Histograms(title="Cosines", x="cosine", edges=[-1, 0, 1], counts={"positives": [1, 9], "negatives": [8, 2]}),
        Heat(title="Cross", row_name="a", column_name="b", rows=["x"], columns=["y", "z"], values=[[1, 2]]),
        Calibration(title="Calibration", confidence=[0.2, 0.8], accuracy=[0.1, 0.9], counts=[5, 5], error=0.1),
        Scatter(title="Components", x="1", y="2", xs=[0.0, 1.0], ys=[1.0, 0.0], labels=["a", "b"]),
        Strips(title="Top 5", strips=[Strip(query="red dress", item_ids=["1", "2"], captions=["0.9", "0.8"])]),
    ],
)


def test_findings_of_every_kind_come_back_from_their_folder(tmp_path: Path) -> None:
    path = write_findings(tmp_path / "aligned", EVERY_KIND)
    found = read_findings(tmp_path / "aligned")
    assert read_findings(write_findings(tmp_path / "again", found)) == found == read_findings(path)
    assert msgspec.to_builtins(found) == msgspec.to_builtins(EVERY_KIND)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Line(name="a", xs=[1, 2], ys=[1]), "xs of 'a' has 2 entries and ys 1"),
        (lambda: Line(name="a", xs=[1], ys=[float("nan")]), "a value is nan; give finite"),
        (lambda: Line(name="a", xs=[], ys=[]), "0 points of 'a'; give 1 to 20,000"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(make, said) -> None:
    with pytest.raises(ValueError, match=said):
        Curves(title="Loss", x="x", y="y", lines=[make()])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Figures(title="t", values={"a": float("inf")}), "Figures 't': a value is inf"),
        (lambda: Table(title="t", columns=["a"], rows=[[1, 2]]), "a row has 2 entries and columns 1"),
        (lambda: Bars(title="t", values={"a": float("nan")}), "a value is nan"),
        (lambda: Histograms(title="t", x="x", edges=[0, 0], counts={}), "give ascending"),
        (lambda: Histograms(title="t", x="x", edges=[0, 1], counts={"a": [1, 2]}), "counts of 'a' has 2 entries"),
        (lambda: Heat(title="t", row_name="", column_name="", rows=["a"], columns=["b"], values=[]), "rows of values"),
        (lambda: Scatter(title="t", x="", y="", xs=[1], ys=[1], labels=[]), "xs has 1 entries and labels 0"),
        (lambda: Calibration(title="t", confidence=[1], accuracy=[1], counts=[], error=0), "counts 0"),
        (lambda: Strips(title="t", strips=[Strip(query="q", item_ids=["a"], captions=["b", "c"])]), "captions has 2"),
    ],
)
def test_parts_that_cannot_be_drawn_are_refused(make, said) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{", "see mmrec.reports.findings"),
        ('{"title": "a"}', "missing required field `parts`"),
        ('{"title": "a", "parts": [], "aside": 1}', "unknown field `aside`"),
        ('{"title": "a", "parts": [{"kind": "pie", "title": "t"}]}', "Invalid value 'pie' - at `$.parts[0].kind`"),
        ('{"title": "a", "parts": [{"kind": "bars", "title": "t", "values": {"a": "b"}}]}', "$.parts[0].values[...]"),
        ('{"title": "a", "parts": [{"kind": "table", "title": "t", "columns": [], "rows": [[1]]}]}', "a row has 1"),
    ],
)
def test_files_that_hold_something_else_are_refused_by_name_and_place(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / FILE).write_text(written, encoding="utf-8")
    with pytest.raises(InvalidRequestError) as refused:
        read_findings(tmp_path)
    assert said in str(refused.value) and str(tmp_path / FILE) in str(refused.value)


def test_a_folder_without_findings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="give a folder with report"):
        read_findings(tmp_path)
